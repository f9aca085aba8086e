"""Phones that are in: revoked, expired or forgotten they are out at once, and others stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone, LoopsyError, NotFound, Refused
from loopsy_core.links import receive_one
from loopsy_core.wire import (
    PRESETS,
    Hello,
    PhoneConnected,
    PhoneLeft,
    PhoneRevoked,
    encode,
    greet,
)
from tests.core.node.phones_world import (
    EPOCH,
    Porch,
    a_call,
    at_the_door,
    last_word,
    open_porch,
    word,
)
from tests.world import Phone, open_phone

if TYPE_CHECKING:
    from tests.world import MemoryChannel


async def paired(porch: Porch, name: str, *, expires: float | None = None) -> Phone:
    phone = Phone(name)
    offer = await porch.offer(expires=expires)
    async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
        pass
    await wait_all_tasks_blocked()
    porch.events.items.clear()
    return phone


async def test_a_revoked_phone_is_out_at_once_and_another_stays() -> None:
    with trio.fail_after(5), open_porch() as porch:
        bad, good = await paired(porch, "bad"), await paired(porch, "good")
        again = good.again(porch.identity.id)
        async with open_phone(porch.serve, again) as stays, trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                await talk(near, bad, porch)
                info = await porch.phones.revoke("bad", porch.relaying)

                assert await last_word(near) == "revoked"
                assert (info.id, info.connected) == (bad.id, False)
            assert (await stays.ask(Hello())).contact == good.id

            assert porch.published(PhoneRevoked) == [PhoneRevoked(bad.id, "bad")]
            assert [event.name for event in porch.published(PhoneLeft)] == ["bad"]
            assert [each.name for each in porch.phones.list()] == ["good"]
            assert porch.relay.revoked == ["a phone's account"]
        assert await word(porch.serve, bad.again(porch.identity.id).first_message) == "unknown_key"


async def test_all_connections_of_a_revoked_phone_end() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        async with trio.open_nursery() as nursery:
            with (
                at_the_door(nursery, porch.serve) as one,
                at_the_door(nursery, porch.serve) as other,
            ):
                await talk(one, phone, porch)
                await talk(other, phone, porch)
                assert porch.published(PhoneConnected) == [PhoneConnected(phone.id, "pixel")]
                await porch.phones.revoke(phone.id[:10], porch.relaying)

                assert [await last_word(near) for near in (one, other)] == ["revoked"] * 2
        assert PhoneLeft(phone.id, "pixel") in porch.events.items


async def test_a_phone_that_is_revoked_while_it_proves_itself_is_not_let_in() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        porch.let_in.clear()
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                greeting = phone.again(porch.identity.id)
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                await porch.phones.revoke("pixel", porch.relaying)
                await near.send(established.connection.seal(a_call()))

                assert await last_word(near) == "unknown_key"
        assert not porch.let_in
        assert not porch.phones.list()


async def test_revoking_works_although_the_relay_cannot_be_reached() -> None:
    with trio.fail_after(5), open_porch() as porch:
        await paired(porch, "pixel")
        porch.relay.reachable = False
        await porch.phones.revoke("pixel", porch.relaying)
        assert not porch.phones.list()
        with pytest.raises(NotFound):
            await porch.phones.revoke("pixel", porch.relaying)


async def test_a_pairing_that_expires_cuts_its_live_connection(
    autojump_clock: trio.abc.Clock,
) -> None:
    with open_porch() as porch:
        stays = await paired(porch, "stays")
        brief = await paired(porch, "brief", expires=EPOCH + 20)
        async with open_phone(porch.serve, stays.again(porch.identity.id)) as other:
            async with trio.open_nursery() as nursery:
                with at_the_door(nursery, porch.serve) as near:
                    await talk(near, brief, porch)
                    await trio.sleep(19 - trio.current_time())
                    assert near.last_word is None
                    with trio.fail_after(2):
                        await last_word(near)
            assert porch.published(PhoneLeft) == [PhoneLeft(brief.id, "brief")]
            assert (await other.ask(Hello())).contact == stays.id
        said = await word(porch.serve, brief.again(porch.identity.id).first_message)
        assert said == "unknown_key"


async def test_a_clock_that_is_set_ahead_ends_a_pairing_within_a_minute(
    autojump_clock: trio.abc.Clock,
) -> None:
    """As after the sleep of a machine, during which no timer of ours runs."""
    with open_porch() as porch:
        phone = await paired(porch, "pixel", expires=EPOCH + 3600)
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                await talk(near, phone, porch)
                porch.calendar.ahead = 7200.0
                with trio.fail_after(60):
                    await last_word(near)


async def test_a_pairing_that_has_expired_when_it_is_made_lets_nobody_in(
    autojump_clock: trio.abc.Clock,
) -> None:
    phone = Phone()
    with open_porch() as porch:
        offer = await porch.offer(expires=EPOCH + 5, ttl=60)
        await trio.sleep(6)
        greeting = phone.with_code(offer.pair_url, offer.code)
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                await near.send(established.connection.seal(a_call()))
                assert await last_word(near) == "unknown_key"
        assert not porch.let_in
        assert not porch.published(PhoneConnected)


async def test_a_pairing_that_expires_between_greeting_and_proof_lets_nobody_in(
    autojump_clock: trio.abc.Clock,
) -> None:
    with open_porch() as porch:
        phone = await paired(porch, "brief", expires=EPOCH + 5)
        porch.let_in.clear()
        await trio.sleep(4 - trio.current_time())
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                greeting = phone.again(porch.identity.id)
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                await trio.sleep(3)
                await near.send(established.connection.seal(a_call()))
                assert await last_word(near) == "unknown_key"
        assert not porch.let_in
        assert not porch.published(PhoneConnected)


async def test_a_phone_is_seen_when_it_comes_and_when_it_leaves(
    autojump_clock: trio.abc.Clock,
) -> None:
    with open_porch() as porch:
        phone = await paired(porch, "pixel")
        await trio.sleep(1000)
        async with open_phone(porch.serve, phone.again(porch.identity.id)):
            assert seen(porch, phone) == pytest.approx(1000, abs=1)
            await trio.sleep(500)
        await wait_all_tasks_blocked()
        assert seen(porch, phone) == pytest.approx(1500, abs=1)


async def test_a_phone_that_breaks_the_protocol_is_out_and_still_paired() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                greeting = phone.again(porch.identity.id)
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                await near.send(established.connection.seal(encode(["no", "message"])))

                assert await last_word(near) == "protocol"
        assert [info.name for info in porch.phones.list()] == ["pixel"]


async def test_the_call_of_a_phone_that_is_cut_off_fails_clearly() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        async with open_phone(porch.serve, phone.again(porch.identity.id)) as client:
            await porch.phones.revoke("pixel", porch.relaying)
            with pytest.raises(LoopsyError) as said:
                await client.ask(Hello())
            assert isinstance(said.value, Gone | Refused)


async def test_the_node_introduces_itself_and_a_machine_in_the_middle_cannot() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                greeting = greet(phone.private, porch.identity.public, phone.introduction)
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                assert established.remote == porch.identity.public
                assert established.introduction.name == "kai"


async def test_pairing_again_with_fewer_grants_takes_them_from_live_connections_too() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as old:
                await talk(old, phone, porch)
                offer = await porch.offer(preset="viewer")
                greeting = phone.with_code(offer.pair_url, offer.code)
                async with open_phone(porch.serve, greeting) as client:
                    await last_word(old)
                    assert (await client.ask(Hello())).grants == sorted(PRESETS["viewer"])


async def talk(near: MemoryChannel, phone: Phone, porch: Porch) -> None:
    """Come in and say a first word over `near`, by hand."""
    greeting = phone.again(porch.identity.id)
    await near.send([greeting.first_message])
    established = greeting.finish(await receive_one(near))
    await near.send(established.connection.seal(a_call()))
    for sealed in await near.receive():
        assert established.connection.open(sealed) is not None


def seen(porch: Porch, phone: Phone) -> float:
    contact = porch.book.get(phone.id)
    assert contact is not None
    assert contact.last_seen is not None
    return contact.last_seen - EPOCH
