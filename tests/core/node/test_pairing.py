"""Phones at the door: who pairs, who is known again, who hears nothing, and who is cut off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from loopsy_core.errors import Busy, Gone, Refused
from loopsy_core.links import receive_one
from loopsy_core.node import phones as phones_module
from loopsy_core.peers import Contact
from loopsy_core.peers.pairing import MAX_OFFERS
from loopsy_core.wire import (
    PRESETS,
    Hello,
    PairLink,
    PhoneConnected,
    PhoneLeft,
    PhonePaired,
    PhoneRevoked,
    WrongCode,
    encode,
)
from loopsy_core.wire.messages import Ask
from tests.core.node.doorstep import Doorstep, open_doorstep
from tests.world import Phone, PhoneLine, memory_channels, open_knock, open_phone, wrong

if TYPE_CHECKING:
    from loopsy_core.wire import Greeting, Preset

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def pair(door: Doorstep, phone: Phone, preset: Preset = "phone") -> None:
    """Pair, hang up, and let the door forget the visit."""
    async with open_phone(door.serve, phone.with_code(*await door.offer(preset))):
        pass
    while not isinstance(await anext(door.events), PhoneLeft):
        pass


async def turned_away(door: Doorstep, greeting: Greeting) -> str:
    """Return the word with which a phone is turned away."""
    with pytest.raises(Refused) as caught:
        async with open_phone(door.serve, greeting):
            pass
    return str(caught.value)


async def word_for(door: Doorstep, *messages: bytes) -> str | None:
    """Say `messages` at the door as they are, then nothing; return the word at the end."""
    near, line = memory_channels(PhoneLine)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_and_close, door, line)
        for message in messages:
            await near.send([message])
        with pytest.raises((Gone, Refused)):
            while True:
                await near.receive()
    return near.last_word


async def serve_and_close(door: Doorstep, line: PhoneLine) -> None:
    await door.serve(line)  # type: ignore[arg-type]
    await line.aclose()


# Pairing.


async def test_a_phone_with_the_right_code_is_let_in_and_in_the_book() -> None:
    async with open_doorstep() as door:
        phone = Phone("Ann's pixel")
        async with open_phone(door.serve, phone.with_code(*await door.offer())) as client:
            hello = await client.ask(Hello())
            assert hello.contact == phone.id
            assert hello.node_id == door.identity.id
            assert set(hello.grants) == PRESETS["phone"]
            contact = door.book.get(phone.id)
            assert contact is not None
            assert (contact.name, contact.kind) == ("Ann's pixel", "phone")
            assert contact.grants == PRESETS["phone"]
            assert contact.relay_client == PhoneLine.client
            assert contact.last_seen == pytest.approx(time.time(), abs=60)
            [info] = door.phones.list()
            assert info.connected
        assert await anext(door.events) == PhonePaired(phone.id, "Ann's pixel")
        assert await anext(door.events) == PhoneConnected(phone.id, "Ann's pixel")
        assert await anext(door.events) == PhoneLeft(phone.id, "Ann's pixel")
        assert not door.phones.list()[0].connected


async def test_a_paired_phone_is_known_again() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        await pair(door, phone, "viewer")
        async with open_phone(door.serve, phone.again(door.identity.id)) as client:
            assert (await client.ask(Hello())).grants == ["view"]


async def test_three_wrong_codes_burn_an_offer_also_for_the_right_one() -> None:
    async with open_doorstep() as door:
        link, code = await door.offer()
        phone = Phone()
        for left in (2, 1, 0):
            word = await turned_away(door, phone.with_code(link, wrong(code)))
            assert word == f"wrong_code:{left}"
            assert await anext(door.events) == WrongCode(left)
        assert await turned_away(door, phone.with_code(link, code)) == "offer_gone"
        assert door.book.all("phone") == []
        assert door.inside == []


async def test_a_wrong_code_is_counted_whoever_tries() -> None:
    async with open_doorstep() as door:
        link, code = await door.offer()
        for left in (2, 1):
            word = await turned_away(door, Phone().with_code(link, wrong(code)))
            assert word == f"wrong_code:{left}"
        async with open_phone(door.serve, Phone().with_code(link, code)):
            assert len(door.inside) == 1


async def test_an_expired_offer_is_gone() -> None:
    async with open_doorstep() as door:
        greeting = Phone().with_code(*await door.offer(ttl=-1.0))
        assert await turned_away(door, greeting) == "offer_gone"


async def test_an_offer_is_for_one_phone() -> None:
    async with open_doorstep() as door:
        offer = await door.offer()
        first, second = Phone("first"), Phone("second")
        async with open_phone(door.serve, first.with_code(*offer)):
            assert await turned_away(door, second.with_code(*offer)) == "offer_gone"
        assert [phone.name for phone in door.phones.list()] == ["first"]


async def test_of_two_phones_at_the_same_time_the_one_that_speaks_first_pairs() -> None:
    async with open_doorstep() as door:
        offer = await door.offer()
        first, second = Phone("first"), Phone("second")
        async with (
            open_knock(door.serve, first.with_code(*offer)) as (one, _),
            open_knock(door.serve, second.with_code(*offer)) as (other, _),
        ):
            hello = encode(Ask(1, Hello.op, encode_nothing()))
            await other.send([hello])
            assert await other.receive()
            await one.send([hello])
            with pytest.raises(Refused, match="offer_gone"):
                await one.receive()
        assert [phone.name for phone in door.phones.list()] == ["second"]


def encode_nothing() -> bytes:
    return encode({})


async def test_an_offer_of_another_node_is_gone() -> None:
    async with open_doorstep() as door, open_doorstep() as other:
        link, code = await other.offer()
        assert await turned_away(door, Phone().with_code(link, code)) == "offer_gone"
        # Our offer, but the other's key: somebody put another machine's link together with ours.
        mixed = attrs.evolve(
            PairLink.parse((await door.offer())[0]), node=PairLink.parse(link).node
        )
        assert (await turned_away(door, Phone().with_code(str(mixed), code))).startswith("wrong")


async def test_pairing_again_brings_the_new_rights_and_ends_the_old_connection() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        await pair(door, phone)
        before = door.book.get(phone.id)
        assert before is not None
        with pytest.raises((Gone, Refused)):
            async with open_phone(door.serve, phone.again(door.identity.id)) as old:
                async with open_phone(door.serve, phone.with_code(*await door.offer("viewer"))):
                    assert door.inside[-1].grants == {"view"}
                    await old.ask(Hello())
        after = door.book.get(phone.id)
        assert after is not None
        assert (after.grants, after.created_at) == ({"view"}, before.created_at)


@pytest.mark.parametrize(
    ("name", "clean"),
    [("\x1b[31mred\x07", "[31mred"), ("  two\nlines ", "twolines"), ("\u202eevil", "evil")],
)
async def test_a_phones_name_for_itself_is_cleaned(name: str, clean: str) -> None:
    async with open_doorstep() as door:
        await pair(door, Phone(name))
        assert [phone.name for phone in door.phones.list()] == [clean]


@pytest.mark.parametrize("name", ["", " \n", "\x00\x1b"])
async def test_a_phone_without_a_name_gets_one(name: str) -> None:
    async with open_doorstep() as door:
        await pair(door, Phone(name))
        assert door.phones.list()[0].name.startswith("phone-")


async def test_a_relay_that_cannot_be_reached_leaves_no_offer_behind() -> None:
    async with open_doorstep() as door:
        door.relay.reachable = False
        for _ in range(MAX_OFFERS + 1):
            with pytest.raises(Gone, match="cannot be reached"):
                await door.offer()
        door.relay.reachable = True
        for _ in range(MAX_OFFERS):
            await door.offer()
        with pytest.raises(Busy):
            await door.offer()


async def test_a_pairing_cannot_expire_in_the_past() -> None:
    async with open_doorstep() as door:
        with pytest.raises(Refused, match="in the past"):
            await door.offer(lasts=-1.0)


# Strangers.


async def test_an_unknown_key_is_turned_away() -> None:
    async with open_doorstep() as door:
        assert await turned_away(door, Phone().again(door.identity.id)) == "unknown_key"
        assert door.inside == []
        assert door.book.all("phone") == []


async def test_a_phone_that_means_another_node_is_turned_away() -> None:
    async with open_doorstep() as door, open_doorstep() as other:
        phone = Phone()
        await pair(door, phone)
        assert await turned_away(door, phone.again(other.identity.id)) == "unknown_key"


async def test_whoever_has_only_a_phones_public_key_is_turned_away() -> None:
    async with open_doorstep() as door:
        phone, thief = Phone(), Phone()
        await pair(door, phone)
        thief.public = phone.public
        assert await turned_away(door, thief.again(door.identity.id)) == "unknown_key"


@pytest.mark.parametrize(
    "message", [b"\x00", b"\x03" + bytes(48), b"\x01", b"\x02" + bytes(47), b"\xff" * 100, b"GET /"]
)
async def test_what_is_no_greeting_is_turned_away_without_a_reply(message: bytes) -> None:
    async with open_doorstep() as door:
        assert await word_for(door, message) == "protocol"


@pytest.mark.parametrize("first", [1, 2])
async def test_a_greeting_of_noise_is_turned_away(first: int) -> None:
    async with open_doorstep() as door:
        word = await word_for(door, bytes([first]) + bytes(range(200)))
        assert word == ("unknown_key" if first == 1 else "offer_gone")


async def test_whoever_says_nothing_is_not_waited_for() -> None:
    async with open_doorstep() as door:
        assert await word_for(door) == "protocol"
        assert trio.current_time() == pytest.approx(phones_module.FIRST_WORDS)


async def test_a_replayed_pairing_gets_nothing_and_takes_nothing() -> None:
    async with open_doorstep() as door:
        offer = await door.offer()
        phone = Phone()
        replayed = phone.with_code(*offer).first_message
        assert await word_for(door, replayed) == "protocol"
        assert await word_for(door, replayed, b"noise") == "protocol"
        assert door.book.all("phone") == []
        assert door.inside == []
        async with open_phone(door.serve, phone.with_code(*offer)):  # the offer is still there
            assert len(door.inside) == 1


async def test_a_replayed_greeting_of_a_known_phone_gets_nothing_and_marks_nothing() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        await pair(door, phone)
        greeting = phone.again(door.identity.id)
        async with open_phone(door.serve, greeting):
            pass
        while not isinstance(await anext(door.events), PhoneLeft):
            pass
        contact = door.book.get(phone.id)
        visits = len(door.inside)
        near, line = memory_channels(PhoneLine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_and_close, door, line)
            await near.send([greeting.first_message])
            await receive_one(near)  # the handshake is answered, as it must be
            await trio.testing.wait_all_tasks_blocked()
            assert not door.phones.presence.connected(phone.id)
            with pytest.raises(Gone):
                await near.receive()
        assert near.last_word == "protocol"
        assert door.book.get(phone.id) == contact
        assert len(door.inside) == visits


async def test_a_slow_phone_has_some_seconds_for_its_first_word() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        async with open_knock(door.serve, phone.with_code(*await door.offer())) as (sealed, _):
            await trio.sleep(phones_module.FIRST_WORDS - 1)
            await sealed.send([encode(Ask(1, Hello.op, encode_nothing()))])
            assert await sealed.receive()


# Cutting off.


async def test_a_revoked_phone_is_out_at_once_and_the_others_stay() -> None:
    async with open_doorstep() as door:
        ann, bob = Phone("ann"), Phone("bob")
        await pair(door, ann)
        await pair(door, bob)
        node = door.identity.id
        async with (
            open_knock(door.serve, ann.again(node)) as (one, _),
            open_knock(door.serve, ann.again(node)) as (other, _),
            open_phone(door.serve, bob.again(node)) as staying,
        ):
            for channel in (one, other):
                await channel.send([encode(Ask(1, Hello.op, encode_nothing()))])
                assert await channel.receive()
            await door.revoke(ann)
            for channel in (one, other):
                with pytest.raises(Refused, match="revoked"):
                    await channel.receive()
            assert (await staying.ask(Hello())).contact == bob.id
        assert [phone.name for phone in door.phones.list()] == ["bob"]
        assert door.relay.revoked == [PhoneLine.client]
        assert await turned_away(door, ann.again(node)) == "unknown_key"


async def test_what_is_published_of_a_revoked_phone() -> None:
    async with open_doorstep() as door:
        ann = Phone("ann")
        await pair(door, ann)
        with pytest.raises((Gone, Refused)):
            async with (
                open_phone(door.serve, ann.again(door.identity.id)),
                open_phone(door.serve, ann.again(door.identity.id)) as client,
            ):
                assert await anext(door.events) == PhoneConnected(ann.id, "ann")
                await door.revoke(ann)
                await client.ask(Hello())
        assert await anext(door.events) == PhoneRevoked(ann.id, "ann")
        assert await anext(door.events) == PhoneLeft(ann.id, "ann")
        with trio.move_on_after(1) as nothing_more:
            await anext(door.events)
        assert nothing_more.cancelled_caught


async def test_a_phone_that_is_revoked_before_its_first_word_is_not_let_in() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        await pair(door, phone)
        visits = len(door.inside)
        async with open_knock(door.serve, phone.again(door.identity.id)) as (sealed, _):
            await door.revoke(phone)
            await sealed.send([encode(Ask(1, Hello.op, encode_nothing()))])
            with pytest.raises(Refused, match="unknown_key"):
                await sealed.receive()
        assert len(door.inside) == visits


async def test_a_phone_is_revoked_although_the_relay_cannot_be_reached() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        await pair(door, phone)
        door.relay.reachable = False
        await door.revoke(phone)
        assert await turned_away(door, phone.again(door.identity.id)) == "unknown_key"


async def test_a_pairing_that_expires_is_cut_when_it_does() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        began = trio.current_time()
        greeting = phone.with_code(*await door.offer(lasts=3600.0))
        with pytest.raises((Gone, Refused)):
            async with open_phone(door.serve, greeting) as client:
                await trio.sleep(3500.0)
                await client.ask(Hello())
                await trio.sleep(101.0)
                await client.ask(Hello())
        assert trio.current_time() - began == pytest.approx(3601.0, abs=30.0)


async def test_an_expired_pairing_is_not_let_in() -> None:
    async with open_doorstep() as door:
        phone = Phone()
        await door.book.put(
            Contact(phone.id, "old", "phone", PRESETS["phone"], 1.0, expires_at=time.time() - 1)
        )
        assert await turned_away(door, phone.again(door.identity.id)) == "unknown_key"
        assert door.book.get(phone.id) is not None  # its user still sees it in the list


async def test_a_phone_that_comes_twice_is_one_phone() -> None:
    async with open_doorstep() as door:
        phone = Phone("ann")
        await pair(door, phone)
        async with open_phone(door.serve, phone.again(door.identity.id)):
            async with open_phone(door.serve, phone.again(door.identity.id)):
                assert await anext(door.events) == PhoneConnected(phone.id, "ann")
            await trio.sleep(1)
            assert door.phones.list()[0].connected
        assert await anext(door.events) == PhoneLeft(phone.id, "ann")
