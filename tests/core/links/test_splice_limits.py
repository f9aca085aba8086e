"""Calls that are passed on, at the limits and with strangers at either end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from loopsy_core.errors import (
    Busy,
    LoopsyError,
    NotFound,
    ProtocolViolation,
)
from loopsy_core.links import PASSED_ON, Asked
from loopsy_core.wire import MAX_MESSAGE, WINDOW, Ask, Credit, Data, End, Fault, Raw, encode
from loopsy_core.wire.calls import MAX_OPEN
from tests.core.links.links_world import (
    Recorder,
    Tell,
    Told,
    echo,
    never,
    open_row,
    open_two,
    open_with_stranger,
)
from tests.play import NOTHING

if TYPE_CHECKING:
    from trio.testing import MockClock

# Requests and answers at the limits, on their way through.


def largest_params(number: int) -> bytes:
    """Return params with which the Ask with this id fills a message to the last byte."""
    head = len(encode([1, number, "tell", Raw(encode({"text": "x" * 70_000}))]))
    return encode({"text": "x" * (MAX_MESSAGE - head + 70_000)})


async def test_a_request_that_does_not_fit_onward_is_refused_and_the_host_stays(
    autojump_clock: MockClock,
) -> None:
    async with open_two(echo) as (onward, _):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        for _ in range(200):  # so that an id takes more bytes there than here
            await onward.ask(Tell())
        async with open_with_stranger(pass_on) as (_, stranger):
            ask = encode([1, 1, "tell", Raw(largest_params(1))])
            assert len(ask) == MAX_MESSAGE
            await stranger.says(ask)
            fault = await stranger.hears()
            assert isinstance(fault, Fault)
            assert fault.code == "bad_request"
        assert await onward.ask(Tell(text="hi")) == Told("tell:hi")


async def test_an_answer_that_does_not_fit_onward_becomes_a_fault(
    autojump_clock: MockClock,
) -> None:
    head = len(encode([2, 1, Raw(encode(Told("x" * 70_000)))]))
    large = Told("x" * (MAX_MESSAGE - head + 70_000))

    async def answer(asked: Asked) -> object:
        return large if b"large" in bytes(asked.params) else await echo(asked)

    async with open_row(answer) as row:
        for _ in range(200):
            row.asker.calls.ask("tell", encode(Tell()))
        with pytest.raises(LoopsyError, match="too large"):
            await row.asker.ask(Tell(text="large"))
        assert await row.onward.ask(Tell(text="hi")) == Told("tell:hi")
        assert await row.asker.ask(Tell(text="hi")) == Told("tell:hi")


async def test_a_host_with_too_many_calls_is_busy_for_the_asker(autojump_clock: MockClock) -> None:
    async with open_row(never) as row, trio.open_nursery() as nursery:
        for _ in range(MAX_OPEN):
            nursery.start_soon(row.onward.ask, Tell())
        await wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await row.asker.ask(Tell())
        nursery.cancel_scope.cancel()


async def test_an_asker_that_gives_credit_it_cannot_have_hurts_itself_alone(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Recorder()
    async with open_two(seen) as (onward, _):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_with_stranger(pass_on) as (node, stranger):
            await stranger.says(Ask(1, "tell", NOTHING), Credit(1, 2**62))
            assert isinstance(await node.wait_closed(), ProtocolViolation)
        await wait_all_tasks_blocked()
        assert not onward.closed
        assert seen.cancelled == len(seen.asked)
    assert "credit" in caplog.text


async def test_an_asker_that_reads_nothing_is_not_collected_for(autojump_clock: MockClock) -> None:
    sent = 0

    async def flood(asked: Asked) -> None:
        nonlocal sent
        while True:
            await asked.send(bytes(1000))
            sent += 1000

    async with open_two(flood) as (onward, _):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_with_stranger(pass_on, streams=lockstep_stream_pair) as (node, stranger):
            await stranger.says(Ask(1, "tell", NOTHING))
            for _ in range(10):
                await stranger.says(Credit(1, WINDOW))
            await wait_all_tasks_blocked()
            assert sent < WINDOW
            await stranger.says(Credit(1, 2 * WINDOW))
            assert isinstance(await node.wait_closed(), ProtocolViolation)


async def test_pieces_after_the_end_break_the_protocol_here_and_not_onward(
    autojump_clock: MockClock,
) -> None:
    seen = Recorder()
    async with open_two(seen) as (onward, _):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_with_stranger(pass_on) as (node, stranger):
            await stranger.says(Ask(1, "tell", NOTHING))
            await stranger.says(End(1), Data(1, b"more"))
            assert isinstance(await node.wait_closed(), ProtocolViolation)
        await wait_all_tasks_blocked()
        assert seen.cancelled == len(seen.asked)
        assert not onward.closed


async def test_a_fault_for_a_person_crosses_with_its_details(autojump_clock: MockClock) -> None:
    async with open_with_stranger(opener=True) as (onward, host):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_with_stranger(pass_on) as (_, stranger):
            await stranger.says(Ask(1, "tell", NOTHING))
            ask = await host.hears()
            assert isinstance(ask, Ask)
            await host.says(Fault(ask.id, "teapot", "short", Raw(encode({"stout": True}))))
            assert await stranger.hears() == Fault(
                1, "teapot", "short", Raw(encode({"stout": True}))
            )


async def test_not_found_is_not_found_whoever_says_it(autojump_clock: MockClock) -> None:
    async def nothing_here(_asked: Asked) -> None:
        raise NotFound("no such session")

    async with open_row(nothing_here) as row:
        with pytest.raises(NotFound, match="no such session"):
            async with row.asker.open_call(Tell()) as call:
                await call.send(bytes(10 * WINDOW))
