"""What is no greeting, from nobody we know, or said before by somebody else gets nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.links import receive_one
from loopsy_core.node.door import FIRST_WORDS
from loopsy_core.wire import Greeting, Introduction, greet, greet_with_offer
from tests.core.node.phones_world import (
    Porch,
    a_call,
    at_the_door,
    half_paired,
    last_word,
    open_porch,
    word,
)
from tests.world import Phone, open_phone

if TYPE_CHECKING:
    from loopsy_core.peers import Contact


async def paired(porch: Porch) -> tuple[Phone, Contact]:
    """Pair a phone, and hang up; return it and what is known of it."""
    phone = Phone()
    offer = await porch.offer()
    async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
        pass
    await trio.testing.wait_all_tasks_blocked()
    contact = porch.book.get(phone.id)
    assert contact is not None
    porch.events.items.clear()
    porch.let_in.clear()
    return phone, contact


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello, is anybody there?", id="text"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(b"\x01", id="IK and nothing more"),
        pytest.param(b"\x01" + bytes(31), id="half a key"),
        pytest.param(b"\x02" + bytes(16) + bytes(31), id="an offer and half a key"),
        pytest.param(b"\x03" + bytes(32), id="XX, which is for later"),
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(b"\xff" * (1 << 20), id="1 MiB"),
    ],
)
async def test_what_is_no_greeting_ends_the_connection_and_tells_nothing(first: bytes) -> None:
    with trio.fail_after(5), open_porch() as porch:
        await paired(porch)
        assert await word(porch.serve, first) == "protocol"
        assert not porch.let_in
        assert not porch.events.items


@pytest.mark.parametrize("size", [32, 96, 1 << 20])
async def test_noise_that_looks_like_a_greeting_is_an_unknown_key(size: int) -> None:
    with trio.fail_after(5), open_porch() as porch:
        await paired(porch)
        assert await word(porch.serve, b"\x01" + os.urandom(size)) == "unknown_key"
        assert await word(porch.serve, b"\x01" + bytes(size)) == "unknown_key"
        assert await word(porch.serve, b"\x02" + os.urandom(16 + size)) == "offer_gone"


async def test_two_messages_where_one_is_due_end_the_connection() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, before = await paired(porch)
        first = phone.again(porch.identity.id).first_message

        assert await word(porch.serve, first, first) == "protocol"
        assert porch.book.get(phone.id) == before


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x01", b"\x92\xa1x\x05", b"x" * 60_000])
async def test_an_introduction_that_is_none_ends_the_connection(
    payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, before = await paired(porch)
        with monkeypatch.context() as patch:
            patch.setattr("loopsy_core.wire.greeting.encode", lambda _: payload)
            first = phone.again(porch.identity.id).first_message

        assert await word(porch.serve, first) == "protocol"
        assert porch.book.get(phone.id) == before


async def test_a_name_of_more_than_64_characters_ends_the_connection() -> None:
    with trio.fail_after(5), open_porch() as porch:
        offer = await porch.offer()
        phone = Phone("x" * 65)
        assert await word(porch.serve, half_paired(phone, offer)) == "protocol"
        assert not porch.phones.list()


async def test_whoever_says_nothing_is_shown_the_door(autojump_clock: trio.abc.Clock) -> None:
    with open_porch() as porch:
        assert await word(porch.serve) == "protocol"
        assert trio.current_time() == pytest.approx(FIRST_WORDS, abs=0.1)


async def test_a_replayed_greeting_of_a_paired_phone_gets_nothing(
    autojump_clock: trio.abc.Clock,
) -> None:
    with open_porch() as porch:
        phone, _ = await paired(porch)
        greeting = phone.again(porch.identity.id)
        async with open_phone(porch.serve, greeting):
            pass
        await trio.sleep(100)
        before = porch.book.get(phone.id)
        porch.events.items.clear()
        porch.let_in.clear()
        began = trio.current_time()

        assert await word(porch.serve, greeting.first_message) == "protocol"

        assert trio.current_time() - began == pytest.approx(FIRST_WORDS, abs=0.1)
        assert porch.book.get(phone.id) == before
        assert not porch.events.items, "nobody is told that the phone is there"
        assert not porch.let_in


async def test_a_replayed_greeting_with_a_code_gets_nothing_and_uses_nothing_up(
    autojump_clock: trio.abc.Clock,
) -> None:
    phone = Phone()
    with open_porch() as porch:
        offer = await porch.offer()

        assert await word(porch.serve, half_paired(phone, offer)) == "protocol"

        assert trio.current_time() == pytest.approx(FIRST_WORDS, abs=0.1)
        assert not porch.phones.list()
        assert not porch.events.items
        async with open_phone(porch.serve, phone.with_code(offer.pair_url, offer.code)):
            assert len(porch.phones.list()) == 1, "the offer is still good"


async def test_records_that_do_not_open_are_no_proof() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, before = await paired(porch)
        for record in (b"", b"x", os.urandom(64), os.urandom(60_000)):
            async with trio.open_nursery() as nursery:
                with at_the_door(nursery, porch.serve) as near:
                    await near.send([phone.again(porch.identity.id).first_message])
                    await receive_one(near)
                    await near.send([record])
                    assert await last_word(near) == "protocol"

        assert porch.book.get(phone.id) == before
        assert not porch.let_in
        assert not porch.events.items


async def test_a_record_of_another_connection_is_no_proof() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone, before = await paired(porch)
        seen: list[bytes] = []
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                with at_the_door(nursery, porch.serve) as near:
                    greeting = phone.again(porch.identity.id)
                    await near.send([greeting.first_message])
                    established = greeting.finish(await receive_one(near))
                    if not seen:
                        seen += established.connection.seal(a_call())
                    else:
                        await near.send(seen)
                        assert await last_word(near) == "protocol"

        assert porch.book.get(phone.id) == before
        assert not porch.let_in


async def test_half_a_message_is_no_proof_however_long_it_dribbles(
    autojump_clock: trio.abc.Clock,
) -> None:
    with open_porch() as porch:
        phone, before = await paired(porch)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                greeting = phone.again(porch.identity.id)
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                pieces = established.connection.seal(bytes(1 << 20))
                assert len(pieces) > 10
                for piece in pieces[:4]:
                    await near.send([piece])
                    await trio.sleep(2)
                assert await last_word(near) == "protocol"

        assert trio.current_time() - began == pytest.approx(FIRST_WORDS, abs=0.1)
        assert porch.book.get(phone.id) == before


async def test_a_greeting_for_another_node_is_an_unknown_key() -> None:
    with trio.fail_after(5), open_porch() as porch, open_porch() as elsewhere:
        phone, _ = await paired(porch)
        misled = phone.again(elsewhere.identity.id)
        assert await word(porch.serve, misled.first_message) == "unknown_key"


async def test_a_phone_that_leaves_in_the_middle_leaves_nothing() -> None:
    introduction = Introduction("gone", "1")
    with trio.fail_after(5), open_porch() as porch:
        phone, before = await paired(porch)
        node = porch.identity.public
        greetings: list[Greeting] = [
            greet(phone.private, node, introduction),
            greet_with_offer(phone.private, node, bytes(16), bytes(32), introduction),
        ]
        async with trio.open_nursery() as nursery:
            for greeting in greetings:
                with at_the_door(nursery, porch.serve) as near:
                    await near.send([greeting.first_message])
            with at_the_door(nursery, porch.serve):
                pass

        assert porch.book.get(phone.id) == before
        assert not porch.let_in
