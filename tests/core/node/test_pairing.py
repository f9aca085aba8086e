"""Pairing at the door: the right code, wrong ones, and offers that are gone."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone, Refused
from loopsy_core.home import parse_peer_id
from loopsy_core.links import SealedChannel, receive_one
from loopsy_core.wire import (
    PRESETS,
    Hello,
    PairLink,
    PhoneConnected,
    PhoneLeft,
    PhonePaired,
    Preset,
    WrongCode,
    greet_with_offer,
    offer_id,
    pairing_key,
)
from tests.core.node.phones_world import (
    EPOCH,
    Porch,
    a_call,
    at_the_door,
    half_paired,
    last_word,
    open_porch,
    word,
)
from tests.world import Phone, open_phone, wrong


@pytest.mark.parametrize("preset", PRESETS)
async def test_the_right_code_makes_a_contact_with_the_grants_of_the_preset(
    preset: Preset, autojump_clock: trio.abc.Clock
) -> None:
    phone = Phone("pixel")
    with open_porch() as porch:
        offer = await porch.offer(preset=preset, expires=EPOCH + 9e6)
        greeting = phone.with_code(offer.pair_url, offer.code)
        async with open_phone(porch.serve, greeting) as client:
            hello = await client.ask(Hello())
            assert porch.events.items == [
                PhonePaired(phone.id, "pixel"),
                PhoneConnected(phone.id, "pixel"),
            ]
            assert [info.connected for info in porch.phones.list()] == [True]

        assert hello.grants == sorted(PRESETS[preset])
        assert hello.contact == phone.id
        assert hello.node_id == porch.identity.id
        contact = porch.book.get(phone.id)
        assert contact is not None
        assert (contact.name, contact.kind) == ("pixel", "phone")
        assert contact.grants == PRESETS[preset]
        assert contact.relay_client == "a phone's account"
        assert contact.expires_at == EPOCH + 9e6
        assert contact.last_seen is not None
        await wait_all_tasks_blocked()
        assert porch.published(PhoneLeft) == [PhoneLeft(phone.id, "pixel")]


async def test_a_paired_phone_comes_back_without_a_code_and_an_unpaired_one_does_not() -> None:
    known, stranger = Phone("known"), Phone("stranger")
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        async with open_phone(porch.serve, known.with_code(offer.pair_url, offer.code)):
            pass
        async with open_phone(porch.serve, known.again(porch.identity.id)) as client:
            assert (await client.ask(Hello())).contact == known.id

        said = await word(porch.serve, stranger.again(porch.identity.id).first_message)
        assert said == "unknown_key"
        assert len(porch.phones.list()) == 1


async def test_three_wrong_codes_burn_the_offer_and_each_is_published() -> None:
    phone = Phone()
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        right = half_paired(phone, offer)
        bad = phone.with_code(offer.pair_url, wrong(offer.code)).first_message

        said = [await word(porch.serve, each) for each in (bad, bad, bad, bad, right)]

        assert said == ["wrong_code:2", "wrong_code:1", "wrong_code:0", "offer_gone", "offer_gone"]
        assert porch.events.items == [WrongCode(2), WrongCode(1), WrongCode(0)]
        assert not porch.phones.list()
        assert not porch.let_in


async def test_two_wrong_codes_leave_the_third_try_to_the_right_one() -> None:
    phone = Phone()
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        bad = phone.with_code(offer.pair_url, wrong(offer.code)).first_message
        assert await word(porch.serve, bad) == "wrong_code:2"
        assert await word(porch.serve, bad) == "wrong_code:1"

        async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
            assert porch.book.get(phone.id)


async def test_wrong_codes_at_once_are_all_counted() -> None:
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        said: list[str] = []

        async def guess() -> None:
            greeting = Phone().with_code(offer.pair_url, wrong(offer.code))
            said.append(await word(porch.serve, greeting.first_message))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(guess)

        assert sorted(said) == ["offer_gone"] * 17 + [f"wrong_code:{n}" for n in range(3)]


async def test_an_offer_ends_with_its_time(autojump_clock: trio.abc.Clock) -> None:
    with open_porch() as porch:
        offer = await porch.offer(ttl=60.0)
        assert offer.expires_at == pytest.approx(EPOCH + trio.current_time() + 60.0)
        await trio.sleep(60.0)

        assert await word(porch.serve, half_paired(Phone(), offer)) == "offer_gone"
        assert not porch.published(WrongCode)


async def test_an_offer_that_another_phone_used_is_gone() -> None:
    one, other = Phone("one"), Phone("other")
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        async with open_phone(porch.serve, one.with_code(offer.pair_url, offer.code)):
            assert await word(porch.serve, half_paired(other, offer)) == "offer_gone"

        assert [info.name for info in porch.phones.list()] == ["one"]


async def test_of_two_phones_with_the_right_code_at_once_the_slower_is_told_that_it_is_gone() -> (
    None
):
    fast, slow = Phone("fast"), Phone("slow")
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                greeting = slow.with_code(offer.pair_url, offer.code)
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                async with open_phone(porch.serve, fast.with_code(offer.pair_url, offer.code)):
                    await SealedChannel(near, established.connection).send([a_call()])
                    assert await last_word(near) == "offer_gone"

        assert [info.name for info in porch.phones.list()] == ["fast"]
        assert [asker.name for asker in porch.let_in] == ["phone fast"]


async def test_an_offer_is_good_for_the_node_that_made_it_only() -> None:
    with trio.fail_after(5), open_porch() as porch, open_porch() as elsewhere:
        offer = await porch.offer()
        theirs = await elsewhere.offer()
        link = PairLink.parse(offer.pair_url)
        phone = Phone()
        for_another_key = greet_with_offer(
            phone.private,
            parse_peer_id(elsewhere.identity.id),
            offer_id(link.secret),
            pairing_key(link.secret, offer.code),
            phone.introduction,
        )

        assert await word(porch.serve, half_paired(phone, theirs)) == "offer_gone"
        assert await word(porch.serve, for_another_key.first_message) == "wrong_code:2"
        assert not porch.phones.list()


async def test_pairing_again_brings_the_grants_of_the_new_offer() -> None:
    phone = Phone("before")
    with trio.fail_after(5), open_porch() as porch:
        for preset in ("phone", "viewer"):
            offer = await porch.offer(preset=preset)
            async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
                pass

        assert [info.grants for info in porch.phones.list()] == [["view"]]


async def test_without_a_relay_that_answers_nothing_is_offered() -> None:
    with trio.fail_after(5), open_porch() as porch:
        porch.relay.reachable = False
        for _ in range(40):  # more than may be open at once: none of them stays
            with pytest.raises(Gone):
                await porch.offer()
        porch.relay.reachable = True
        assert await porch.offer()


async def test_a_pairing_that_would_end_in_the_past_is_refused() -> None:
    with trio.fail_after(5), open_porch() as porch:
        with pytest.raises(Refused, match="past"):
            await porch.offer(expires=EPOCH - 1.0)
        assert not porch.relay.tokens


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("pi\x1b[31mxel\n\x00", "pi[31mxel"),
        ("\u202egnp.exe", "gnp.exe"),
        ("  Ännis Händy 📱 ", "Ännis Händy 📱"),
        ("x" * 64, "x" * 64),
    ],
)
async def test_a_name_is_kept_without_what_cannot_be_printed(said: str, kept: str) -> None:
    with trio.fail_after(5), open_porch() as porch:
        await pair(porch, Phone(said))
        assert [info.name for info in porch.phones.list()] == [kept]
        assert [event.name for event in porch.published(PhonePaired)] == [kept]


@pytest.mark.parametrize("said", ["", " ", "\x00\x1b\r\n"])
async def test_a_phone_without_a_name_is_given_one(said: str) -> None:
    with trio.fail_after(5), open_porch() as porch:
        await pair(porch, Phone(said))
        (info,) = porch.phones.list()
        assert info.name.startswith("phone-")


async def pair(porch: Porch, phone: Phone) -> None:
    offer = await porch.offer()
    async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
        pass
