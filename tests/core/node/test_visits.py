"""What a node makes of a phone's connections: one phone however many, and nobody on its behalf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone, Refused
from loopsy_core.node.phones import FIRST_WORDS
from loopsy_core.wire import Hello, PhoneConnected, PhoneLeft, PhoneRevoked
from tests.core.node.phones_world import Porch, a_call, open_porch, word
from tests.world import Phone, open_knock, open_phone

if TYPE_CHECKING:
    from loopsy_core.wire import Greeting


async def paired(porch: Porch, name: str = "pixel") -> tuple[Phone, Greeting]:
    """Pair a phone and let it leave; return it with a greeting for its next visit."""
    phone = Phone(name)
    offer = await porch.offer()
    async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
        pass
    await wait_all_tasks_blocked()
    porch.events.items.clear()
    return phone, phone.again(porch.identity.id)


async def test_a_phone_that_comes_twice_is_one_phone() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, greeting = await paired(porch)
        async with open_phone(porch.serve, greeting):
            async with open_phone(porch.serve, phone.again(porch.identity.id)):
                pass
            await wait_all_tasks_blocked()
            assert porch.phones.list()[0].connected
            assert porch.events.items == [PhoneConnected(phone.id, "pixel")]
        await wait_all_tasks_blocked()
        assert not porch.phones.list()[0].connected
        assert porch.events.items[1:] == [PhoneLeft(phone.id, "pixel")]


async def test_a_phone_with_two_connections_that_is_revoked_left_once() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, greeting = await paired(porch)
        async with (
            open_phone(porch.serve, greeting),
            open_phone(porch.serve, phone.again(porch.identity.id)) as client,
        ):
            porch.events.items.clear()
            await porch.phones.revoke("pixel", porch.relaying)
            with pytest.raises((Gone, Refused)):
                await client.ask(Hello())
        await wait_all_tasks_blocked()
        who = (phone.id, "pixel")
        assert porch.events.items == [PhoneRevoked(*who), PhoneLeft(*who)]


async def test_a_slow_phone_has_some_seconds_for_its_first_word(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with open_porch() as porch:
        _, greeting = await paired(porch)
        async with open_knock(porch.serve, greeting) as (sealed, _):
            await trio.sleep(FIRST_WORDS - 1)
            await sealed.send([a_call()])
            assert await sealed.receive()


async def test_whoever_knows_only_a_phones_public_key_is_a_stranger() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, _ = await paired(porch)
        thief = Phone("thief")
        thief.public = phone.public
        first = thief.again(porch.identity.id).first_message
        assert await word(porch.serve, first) == "unknown_key"
        assert porch.events.items == []
