"""Calls that are passed on: everything crosses in order, nothing is held, and nobody is stuck."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from loopsy_core.errors import (
    BadRequest,
    Busy,
    Gone,
    LoopsyError,
    Misconfigured,
    ProtocolViolation,
    Refused,
)
from loopsy_core.links import PASSED_ON, Asked
from loopsy_core.wire import WINDOW, cost
from tests.core.links.links_world import (
    Recorder,
    Tell,
    Told,
    echo,
    in_one_row,
    never,
    open_row,
    open_two,
    open_with_stranger,
    receive_all,
    repeat,
)
from tests.play import bounded
from tests.vectors.write import fill

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_an_ask_and_its_answer_cross(autojump_clock: MockClock) -> None:
    async with open_row(echo) as row:
        for text in ("hi", "and again"):
            assert await row.asker.ask(Tell(text=text)) == Told(f"tell:{text}")


@pytest.mark.parametrize("kind", [LoopsyError, BadRequest, Refused, Gone, Busy, Misconfigured])
async def test_an_error_crosses_by_its_code(
    autojump_clock: MockClock, kind: type[LoopsyError]
) -> None:
    async def fail(_asked: Asked) -> None:
        raise kind("from the far end")

    async with open_row(fail) as row:
        with pytest.raises(LoopsyError, match=r"^from the far end$") as caught:
            await row.asker.ask(Tell())
        assert type(caught.value) is kind


@bounded(15)
@given(
    st.lists(st.integers(0, 2**60) | st.integers(0, 100_000).map(fill), max_size=8),
    st.sampled_from([memory_stream_pair, lockstep_stream_pair]),
)
async def test_bytes_and_values_cross_in_order_both_ways(
    pieces: list[bytes | int], streams: object
) -> None:
    async with (
        open_row(repeat, streams=streams) as row,
        row.asker.open_call(Tell()) as call,
        trio.open_nursery() as nursery,
    ):

        @nursery.start_soon
        async def send() -> None:
            for piece in pieces:
                if isinstance(piece, bytes):
                    await call.send(piece)
                else:
                    await call.send_item(piece)
            call.end()

        assert await receive_all(call) == in_one_row(pieces)
        assert msgspec.msgpack.decode(await call.answer()) == {"text": "that was all"}


async def test_what_came_before_the_splice_goes_first(autojump_clock: MockClock) -> None:
    going = trio.Event()
    async with (
        open_row(repeat, before=going) as row,
        row.asker.open_call(Tell()) as call,
        trio.open_nursery() as nursery,
    ):

        @nursery.start_soon
        async def send() -> None:
            for number in range(10):
                await call.send_item(number)
                await call.send(fill(50_000))
            call.end()

        await wait_all_tasks_blocked()  # a whole window has come, and waits at the node
        assert call.room < 50_000
        going.set()
        received = await receive_all(call)
    assert received[::2] == list(range(10))
    assert received[1::2] == [fill(50_000)] * 10


async def test_an_end_that_came_before_the_splice_crosses(autojump_clock: MockClock) -> None:
    going = trio.Event()
    async with open_row(repeat, before=going) as row, row.asker.open_call(Tell()) as call:
        await call.send(b"all that I have to say")
        call.end()
        await wait_all_tasks_blocked()
        going.set()
        assert await receive_all(call) == [b"all that I have to say"]


async def test_a_big_transfer_arrives_intact_in_both_directions(autojump_clock: MockClock) -> None:
    much = fill(4 << 20)

    async def swap(asked: Asked) -> Told:
        digest = sha256()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.send, much)
            while (piece := await asked.receive()) is not None:
                assert isinstance(piece, bytes)
                digest.update(piece)
        return Told(digest.hexdigest())

    async with open_row(swap) as row, row.asker.open_call(Tell()) as call:
        received = sha256()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send() -> None:
                await call.send(much)
                call.end()

            while (piece := await call.receive()) is not None:
                assert isinstance(piece, bytes)
                received.update(piece)
        told = msgspec.msgpack.decode(await call.answer(), type=Told).text
    assert received.hexdigest() == told == sha256(much).hexdigest()


async def test_the_far_ends_pace_each_other(autojump_clock: MockClock) -> None:
    seen = Recorder()
    sent = 0
    async with open_row(seen) as row, row.asker.open_call(Tell()) as call:
        with trio.move_on_after(10):
            while True:
                await call.send(bytes(1000))
                sent += 1000
        # Over two connections, but not a byte more than one window is under way.
        assert WINDOW * 0.9 < sent < WINDOW
        [asked] = seen.asked
        taken = 0
        while taken < WINDOW // 2:
            piece = await asked.receive()
            assert isinstance(piece, bytes)
            taken += cost(piece)
        await wait_all_tasks_blocked()
        assert await call.wait_room() == taken - cost(b"") + WINDOW - sent // 1000 * 1016


async def test_a_slow_asker_paces_the_far_answerer(autojump_clock: MockClock) -> None:
    sent = 0

    async def flood(asked: Asked) -> None:
        nonlocal sent
        while True:
            await asked.send(bytes(1000))
            sent += 1000

    async with open_row(flood) as row, row.asker.open_call(Tell()) as call:
        await wait_all_tasks_blocked()
        assert WINDOW * 0.9 < sent < WINDOW
        for _ in range(1000):
            await call.receive()
        await wait_all_tasks_blocked()
        assert sent < WINDOW + 1_000_000


async def test_one_calls_flood_leaves_the_others_alone(autojump_clock: MockClock) -> None:
    async def answer(asked: Asked) -> object:
        return await (never(asked) if b"flood" in bytes(asked.params) else echo(asked))

    async with (
        open_row(answer) as row,
        row.asker.open_call(Tell(text="flood")) as flood,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(flood.send, bytes(10 * WINDOW))
        await wait_all_tasks_blocked()
        assert await row.asker.ask(Tell(text="hi")) == Told("tell:hi")
        nursery.cancel_scope.cancel()


async def test_dropping_crosses(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_row(seen) as row:
        with trio.move_on_after(5):
            await row.asker.ask(Tell())
        await wait_all_tasks_blocked()
        assert (len(seen.asked), seen.cancelled) == (1, 1)
        assert seen.asked[0].dropped
        assert not row.onward.closed


async def test_an_asker_that_is_lost_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_two(seen) as (onward, _):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        for _ in range(3):
            async with open_two(pass_on) as (asker, _), trio.open_nursery() as nursery:
                for _ in range(5):

                    @nursery.start_soon
                    async def ask(asker: object = asker) -> None:
                        with pytest.raises(Gone):
                            await asker.ask(Tell())

                await wait_all_tasks_blocked()
                asker.lose(Gone("its battery is empty"))
        await wait_all_tasks_blocked()
        assert seen.cancelled == len(seen.asked) == 15
        assert not any(asked.dropped for asked in seen.asked)  # nobody has wished so
        assert not onward.closed


async def test_a_host_that_is_lost_ends_the_calls_on_it_only(autojump_clock: MockClock) -> None:
    async def pass_on(asked: Asked) -> object:
        if b"hi" in bytes(asked.params):
            return await echo(asked)
        asked.pass_on(onward, asked.op, bytes(asked.params))
        return PASSED_ON

    seen = Recorder()
    async with open_two(seen) as (onward, host), open_two(pass_on) as (asker, _):
        async with trio.open_nursery() as nursery:
            for _ in range(5):

                @nursery.start_soon
                async def ask() -> None:
                    with pytest.raises(Gone, match="the connection was"):
                        await asker.ask(Tell())

            await wait_all_tasks_blocked()
            assert len(seen.asked) == 5
            await host._channel.aclose()  # noqa: SLF001 - the host dies
        with pytest.raises(Gone):  # from now on at once
            await asker.ask(Tell())
        assert await asker.ask(Tell(text="hi")) == Told("tell:hi")


async def test_a_host_that_breaks_the_protocol_is_an_error_for_the_asker(
    autojump_clock: MockClock,
) -> None:
    async with open_with_stranger(opener=True) as (onward, host):

        async def pass_on(asked: Asked) -> object:
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_two(pass_on) as (asker, _), trio.open_nursery() as nursery:

            @nursery.start_soon
            async def ask() -> None:
                with pytest.raises(ProtocolViolation):
                    await asker.ask(Tell())

            await host.hears()
            await host.says(b"garbage")


async def test_an_asker_who_left_before_the_splice_is_passed_on_to_nobody(
    autojump_clock: MockClock,
) -> None:
    seen, going = Recorder(), trio.Event()
    async with open_two(seen) as (onward, _):

        async def pass_on_late(asked: Asked) -> object:
            with trio.CancelScope(shield=True):  # the cancellation comes after the next await
                await going.wait()
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_two(pass_on_late) as (asker, _):
            with trio.move_on_after(5):
                await asker.ask(Tell())
            await wait_all_tasks_blocked()
            going.set()
            await wait_all_tasks_blocked()
            assert seen.asked == []
