"""Cancelling, at any point: the far side hears of it, and nothing is lost, stuck or left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from loopsy_core.errors import Gone, NotFound
from loopsy_core.links import Asked, open_conversation
from loopsy_core.wire import WINDOW, Ask, Drop, End, Item
from loopsy_core.wire.calls import MAX_OPEN
from tests.core.links.links_world import (
    Recorder,
    Tell,
    Told,
    channels,
    echo,
    open_row,
    open_two,
    open_with_stranger,
)
from tests.play import NOTHING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from loopsy_core.links import Conversation

MOST_STEPS = 60
"""Turns of the scheduler after which every exchange here is over by itself."""

both_pairs = pytest.mark.parametrize("streams", [memory_stream_pair, lockstep_stream_pair])


async def cancel_after(steps: int, what: Callable[[], Awaitable[object]]) -> bool:
    """Cancel `what` after so many turns of the scheduler; return whether it was cancelled."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def cancel() -> None:
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            await what()
            nursery.cancel_scope.cancel()
    return scope.cancelled_caught


async def as_many_calls_as_ever(near: Conversation, seen: Recorder) -> None:
    """Check that no call is left behind on either side: as many as ever can be opened."""
    await wait_all_tasks_blocked()
    assert seen.cancelled == len(seen.asked)
    async with trio.open_nursery() as nursery:
        before = len(seen.asked)
        for _ in range(MAX_OPEN):
            nursery.start_soon(near.ask, Tell())
        await wait_all_tasks_blocked()
        assert len(seen.asked) == before + MAX_OPEN
        nursery.cancel_scope.cancel()
    await wait_all_tasks_blocked()
    assert seen.cancelled == len(seen.asked)


async def test_a_cancelled_ask_cancels_the_far_answerer(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_two(seen) as (near, far):
        with trio.move_on_after(5):
            await near.ask(Tell())
        await wait_all_tasks_blocked()
        assert (len(seen.asked), seen.cancelled) == (1, 1)
        assert not far.closed


async def test_a_cancelled_ask_is_said_once(autojump_clock: MockClock) -> None:
    async with open_with_stranger(opener=True) as (ours, stranger):
        with trio.move_on_after(5):
            await ours.ask(Tell())
        assert isinstance(await stranger.hears(), Ask)
        assert await stranger.hears() == End(1)
        assert await stranger.hears() == Drop(1)


async def test_a_call_taken_back_before_it_was_written_was_never_said(
    autojump_clock: MockClock,
) -> None:
    async with open_with_stranger(opener=True) as (ours, stranger):
        async with ours.open_call(Tell()):
            pass  # no moment in which the writer could run
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.ask, Tell(text="the next"))
            ask = await stranger.hears()
            assert isinstance(ask, Ask)
            assert ask.id == 3
            nursery.cancel_scope.cancel()


@both_pairs
async def test_an_ask_may_be_cancelled_at_any_point(
    autojump_clock: MockClock, streams: object
) -> None:
    seen = Recorder()
    steps = 0

    async def answer(asked: Asked) -> object:
        return await (seen(asked) if b"never" in bytes(asked.params) else echo(asked))

    async with open_two(answer, streams=streams) as (near, _):
        for text in ("never", "hi"):
            cancelled = True
            for steps in range(MOST_STEPS):
                cancelled = await cancel_after(steps, lambda text=text: near.ask(Tell(text=text)))
                assert await near.ask(Tell(text="still there?")) == Told("tell:still there?")
            assert cancelled == (text == "never")
        assert seen.cancelled == len(seen.asked) > MOST_STEPS // 2
        assert steps == MOST_STEPS - 1


@both_pairs
async def test_an_exchange_may_be_cancelled_at_any_point(
    autojump_clock: MockClock, streams: object
) -> None:
    seen = Recorder()

    async def answer(asked: Asked) -> object:
        if b"never" in bytes(asked.params):
            return await seen(asked)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.send, bytes(2 * WINDOW))
            async with trio.open_nursery() as inner:
                inner.start_soon(asked.receive)
                inner.start_soon(asked.send_item, 5)
        return Told("done")

    async with open_two(answer, streams=streams) as (near, far):

        async def exchange() -> None:
            async with near.open_call(Tell()) as call:
                await call.send(bytes(100_000))
                await call.send_item(7)
                call.end()
                await call.answer()

        for steps in range(MOST_STEPS):
            await cancel_after(steps, exchange)
        await exchange()
        assert not near.closed
        assert not far.closed
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_OPEN):
                nursery.start_soon(near.ask, Tell(text="never"))
            await wait_all_tasks_blocked()
            assert len(seen.asked) == MAX_OPEN
            nursery.cancel_scope.cancel()


async def test_a_call_passed_on_may_be_cancelled_at_any_point(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_row(seen) as row:
        for steps in range(MOST_STEPS):
            await cancel_after(steps, lambda: row.asker.ask(Tell()))
        assert len(seen.asked) > MOST_STEPS // 2
        await as_many_calls_as_ever(row.asker, seen)


async def test_a_call_is_dropped_in_the_moment_in_which_it_is_passed_on(
    autojump_clock: MockClock,
) -> None:
    for steps in range(20):
        seen, going = Recorder(), trio.Event()
        async with open_row(seen, before=going) as row:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(row.asker.ask, Tell())
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
                for _ in range(steps):
                    with trio.CancelScope(shield=True):
                        await trio.lowlevel.checkpoint()
                going.set()
            await as_many_calls_as_ever(row.asker, seen)


async def test_a_cancelled_receive_loses_no_piece(autojump_clock: MockClock) -> None:
    async def count(asked: Asked) -> Told:
        for number in range(MOST_STEPS):
            await asked.send_item(number)
            await trio.sleep(1)
        return Told("done")

    received: list[object] = []
    async with open_two(count) as (near, _), near.open_call(Tell()) as call:

        async def receive() -> None:
            piece = await call.receive()
            if isinstance(piece, Item):
                received.append(call.read(piece, int))

        for number in range(3 * MOST_STEPS):
            await cancel_after(number % 7, receive)
            await trio.sleep(0.5)
    assert received == list(range(MOST_STEPS))


async def test_a_cancelled_send_has_sent_a_beginning(autojump_clock: MockClock) -> None:
    data = bytes(range(256)) * 4096
    received = bytearray()

    async def read(asked: Asked) -> Told:
        while (piece := await asked.receive()) is not None:
            assert isinstance(piece, bytes)
            received.extend(piece)
            await trio.sleep(1)
        return Told("done")

    for steps in range(0, 40, 3):
        received.clear()
        async with open_two(read) as (near, _), near.open_call(Tell()) as call:
            await cancel_after(steps, lambda call=call: call.send(data))
            await call.send(b"and what came later")
            call.end()
            await call.answer()
        assert received.endswith(b"and what came later")
        assert data.startswith(received.removesuffix(b"and what came later"))


async def test_a_cancelled_value_was_sent_whole_or_not_at_all(autojump_clock: MockClock) -> None:
    seen = Recorder()
    for steps in range(12):
        async with open_two(seen) as (near, _), near.open_call(Tell()) as call:
            sent = not await cancel_after(steps, lambda call=call: call.send_item([1, 2]))
            await call.send_item("next")
            await wait_all_tasks_blocked()
            asked = seen.asked[-1]
            pieces = [asked.read(asked.receive_nowait(), object) for _ in range(1 + sent)]
            assert pieces == [[1, 2], "next"][-1 - sent :]
            with pytest.raises(trio.WouldBlock):
                asked.receive_nowait()


async def test_an_answerer_whose_tasks_all_wait_for_the_asker_ends_quietly(
    autojump_clock: MockClock,
) -> None:
    async def show(asked: Asked) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.send, bytes(2 * WINDOW))
            nursery.start_soon(asked.receive)
            nursery.start_soon(asked.wait_left)
            await trio.sleep_forever()

    async def answer(asked: Asked) -> object:
        return await (show(asked) if b"show" in bytes(asked.params) else echo(asked))

    async with open_two(answer) as (near, far):
        with trio.move_on_after(5):
            async with near.open_call(Tell(text="show")):
                await trio.sleep_forever()
        assert await near.ask(Tell(text="still there?")) == Told("tell:still there?")
        assert not far.closed
        async with near.open_call(Tell(text="show")):
            await wait_all_tasks_blocked()
            near.lose(Gone("now without a goodbye"))
            await trio.aclose_forcefully(near._channel._stream)  # noqa: SLF001 - a cable is pulled
            await far.wait_closed()


async def test_an_answerer_that_does_not_end_at_once_cannot_be_piled_up(
    autojump_clock: MockClock,
) -> None:
    at_work = most_at_work = 0

    async def slow_to_leave(_asked: Asked) -> None:
        nonlocal at_work, most_at_work
        at_work += 1
        most_at_work = max(at_work, most_at_work)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            at_work -= 1

    async with open_with_stranger(slow_to_leave) as (ours, stranger):
        for number in range(1, 10_000, 2):
            await stranger.says(Ask(number, "tell", NOTHING), Drop(number))
        await wait_all_tasks_blocked()
        assert 0 < most_at_work <= 1024
        await trio.sleep(6)
        assert at_work == 0
        assert not ours.closed


async def test_cancelling_the_block_closes_the_channel(autojump_clock: MockClock) -> None:
    for steps in range(20):
        one, other = channels(lockstep_stream_pair)

        async def converse(one: object = one) -> None:
            async with open_conversation(one, opener=True) as ours:
                await ours.ask(Tell())

        began = trio.current_time()
        await cancel_after(steps, converse)
        assert trio.current_time() == began
        with pytest.raises(Gone):
            await one.send([b"x"])
        await other.aclose()


async def test_a_block_that_fails_ends_its_answerers_before_it_is_left(
    autojump_clock: MockClock,
) -> None:
    seen = Recorder()
    one, other = channels()
    async with open_conversation(one, opener=True) as near, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def ask() -> None:
            with pytest.raises(Gone):
                await near.ask(Tell())

        try:
            async with open_conversation(other, opener=False, answer=seen):
                await seen.came.wait()
                raise NotFound("something else")
        except* NotFound:
            assert seen.cancelled == 1
