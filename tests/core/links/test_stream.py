"""The stream of a call: order, backpressure, ends, and calls that do not wait for each other."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from loopsy_core.errors import BadRequest, Gone, LoopsyError, NotFound, Refused
from loopsy_core.wire import (
    CHUNK,
    WIDE,
    WINDOW,
    FilesMoved,
    Item,
    PushFiles,
    cost,
    encode,
)
from loopsy_core.wire.calls import WIDE_CHUNK
from tests.core.links.links_world import (
    Counting,
    Recorder,
    Tell,
    Told,
    echo,
    in_one_row,
    open_two,
    receive_all,
    repeat,
)
from tests.play import bounded
from tests.vectors.write import fill

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from loopsy_core.links import Asked, Stream

HALF = WINDOW // 2


@bounded(20)
@given(
    st.lists(st.integers() | st.integers(0, 100_000).map(fill), max_size=8),
    st.sampled_from([memory_stream_pair, lockstep_stream_pair]),
)
async def test_bytes_and_values_of_any_size_keep_their_order(
    pieces: list[bytes | int], streams: object
) -> None:
    pieces = [piece if isinstance(piece, bytes) else piece % 2**60 for piece in pieces]
    async with (
        open_two(repeat, streams=streams) as (near, _),
        near.open_call(Tell()) as call,
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


async def test_far_more_than_a_window_flows_when_it_is_read(autojump_clock: MockClock) -> None:
    much = fill(20 * WINDOW)
    received = bytearray()

    async def read(asked: Asked) -> Told:
        while (piece := await asked.receive()) is not None:
            assert isinstance(piece, bytes)
            assert len(piece) <= CHUNK
            received.extend(piece)
        return Told(str(len(received)))

    async with open_two(read) as (near, _), near.open_call(Tell()) as call:
        await call.send(much)
        call.end()
        await call.answer()
    assert received == much


async def test_files_flow_in_larger_pieces_once_they_are_seen_to_be_fast(
    autojump_clock: MockClock,
) -> None:
    much = fill(20 * WIDE)
    received: list[bytes] = []

    async def read(asked: Asked) -> FilesMoved:
        while (piece := await asked.receive()) is not None:
            assert isinstance(piece, bytes)
            received.append(piece)
        return FilesMoved(1, len(much))

    async with open_two(read) as (near, _), near.open_call(PushFiles(path=b"there")) as call:
        await call.send(much)
        call.end()
        await call.answer()
    assert b"".join(received) == much
    assert median(map(len, received)) == WIDE_CHUNK


async def test_files_that_come_slowly_leave_no_more_under_way_than_other_calls(
    autojump_clock: MockClock,
) -> None:
    async def read(asked: Asked) -> FilesMoved:
        while await asked.receive() is not None:  # noqa: ASYNC110 - it is slow, it does not wait
            await trio.sleep(0.1)
        return FilesMoved(1, 1)

    async with open_two(read) as (near, _), near.open_call(PushFiles(path=b"there")) as call:
        for _ in range(50):
            assert await call.wait_room() <= WINDOW
            await call.send(bytes(CHUNK))
        call.end()
        await call.answer()


async def test_nothing_more_comes_after_the_end(autojump_clock: MockClock) -> None:
    async with open_two(repeat) as (near, _), near.open_call(Tell()) as call:
        await call.send(b"x")
        call.end()
        with pytest.raises(LoopsyError, match="ended"):
            await call.send(b"y")
        assert await receive_all(call) == [b"x"]
        for _ in range(3):
            assert await call.receive() is None
        assert msgspec.msgpack.decode(await call.answer()) == {"text": "that was all"}


async def test_an_end_with_nothing_before_it(autojump_clock: MockClock) -> None:
    async with open_two(repeat) as (near, _), near.open_call(Tell()) as call:
        call.end()
        call.end()
        assert await call.receive() is None


async def test_what_was_sent_before_the_answer_can_be_read_after_it(
    autojump_clock: MockClock,
) -> None:
    async def answer(asked: Asked) -> Told:
        await asked.send(b"1")
        await asked.send_item(2)
        await asked.send(b"3")
        return Told("done")

    async with open_two(answer) as (near, _), near.open_call(Tell()) as call:
        await wait_all_tasks_blocked()
        assert await receive_all(call) == [b"1", 2, b"3"]


async def test_asking_passes_over_what_is_in_the_stream(autojump_clock: MockClock) -> None:
    async def answer(asked: Asked) -> Told:
        await asked.send(bytes(10 * WINDOW))
        return Told("done")

    async with open_two(answer) as (near, _):
        assert await near.ask(Tell()) == Told("done")


async def test_what_came_before_a_fault_is_read_and_then_it_is_raised(
    autojump_clock: MockClock,
) -> None:
    async def answer(asked: Asked) -> Told:
        await asked.send(b"half of it")
        raise NotFound("the rest is not here")

    async with open_two(answer) as (near, _), near.open_call(Tell()) as call:
        await wait_all_tasks_blocked()
        assert await call.receive() == b"half of it"
        for _ in range(2):
            with pytest.raises(NotFound, match="the rest"):
                await call.receive()
        with pytest.raises(NotFound, match="the rest"):
            await call.answer()


async def test_what_is_sent_with_the_request_and_with_the_answer_arrives_whole(
    autojump_clock: MockClock,
) -> None:
    async def reverse(asked: Asked) -> Told:
        data = await asked.receive_all(5 * WINDOW, "it")
        await asked.send_last(data[::-1])
        return Told(str(len(data)))

    async with open_two(reverse) as (near, _):
        for size in (0, 1, CHUNK, CHUNK + 1, WINDOW, 4 * WINDOW):
            assert await near.ask(Tell(), body=fill(size)) == Told(str(size))
            async with near.open_call(Tell()) as call:
                await call.send_last(fill(size))
                call.end()
                assert await call.receive_all(5 * WINDOW, "it") == fill(size)[::-1]
        assert await near.fetch(Tell(), 10, "it") == (b"", Told("0"))


async def test_too_much_or_a_value_where_bytes_are_due_is_refused_by_its_name(
    autojump_clock: MockClock,
) -> None:
    async def take_ten(asked: Asked) -> Told:
        await asked.receive_all(10, "a name")
        return Told("fine")

    async with open_two(take_ten) as (near, _):
        with pytest.raises(BadRequest, match="a name has at most 10 bytes"):
            await near.ask(Tell(), body=bytes(11))
        async with near.open_call(Tell()) as call:
            await call.send_item(1)
            with pytest.raises(BadRequest, match="a name comes as Data"):
                await call.answer()


async def test_a_fault_ends_the_sending_of_a_long_body(autojump_clock: MockClock) -> None:
    async def refuse(_: Asked) -> Told:
        raise Refused("no")

    async with open_two(refuse) as (near, _):
        with pytest.raises(Refused, match="no"):
            await near.ask(Tell(), body=bytes(4 * WINDOW))


async def test_a_small_call_leaves_and_is_answered_in_one_write_each(
    autojump_clock: MockClock,
) -> None:
    async def answer(asked: Asked) -> Told:
        assert await asked.receive_all(100, "it") == b""
        await asked.send_last(b"x")
        return Told("fine")

    one, other = map(Counting, memory_stream_pair())
    async with open_two(answer, streams=lambda: (one, other)) as (near, _):
        assert await near.fetch(Tell(), 100, "it") == (b"x", Told("fine"))
        assert (one.writes, other.writes) == (1, 1)


async def test_answers_that_are_ready_together_leave_together(mock_clock: MockClock) -> None:
    # On a clock that stands, all of it happens at the same time.
    asked: list[Asked] = []
    all_asked = trio.Event()

    async def answer(call: Asked) -> Told:
        asked.append(call)
        if len(asked) == 50:
            all_asked.set()
        await all_asked.wait()
        return Told("fine")

    near_socket, far_socket = map(trio.SocketStream, trio.socket.socketpair())
    counting = Counting(near_socket)
    async with open_two(answer, streams=lambda: (counting, far_socket)) as (near, _):
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(near.ask, Tell())
        assert counting.reads <= 2  # the first, at once; and all others


async def test_receive_nowait_takes_what_is_there(autojump_clock: MockClock) -> None:
    async with open_two(repeat) as (near, _), near.open_call(Tell()) as call:
        with pytest.raises(trio.WouldBlock):
            call.receive_nowait()
        await call.send(b"x")
        await call.send_item(5)
        await wait_all_tasks_blocked()
        assert call.receive_nowait() == b"x"
        item = call.receive_nowait()
        assert isinstance(item, Item)
        assert call.read(item, int) == 5
        with pytest.raises(BadRequest):
            call.read(item, str)
        with pytest.raises(trio.WouldBlock):
            call.receive_nowait()


async def test_several_may_receive_and_each_piece_goes_to_one(autojump_clock: MockClock) -> None:
    received: list[object] = []
    async with open_two(repeat) as (near, _), near.open_call(Tell()) as call:
        for number in range(5):
            await call.send_item(number)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for _ in range(10):

                @nursery.start_soon
                async def receive() -> None:
                    while (piece := await call.receive()) is not None:
                        assert isinstance(piece, Item)
                        received.append(call.read(piece, int))

            await wait_all_tasks_blocked()
            for number in range(5, 30):
                await call.send_item(number)
            call.end()
    assert sorted(received) == list(range(30))


# Backpressure.


async def test_a_reader_that_stops_makes_its_sender_wait_and_nobody_else(
    autojump_clock: MockClock,
) -> None:
    reading = trio.Event()

    async def read_later(asked: Asked) -> Told:
        if b"hi" in bytes(asked.params):
            return await echo(asked)
        await reading.wait()
        received = sum([len(piece) async for piece in bytes_of(asked)])
        return Told(str(received))

    sent = 0
    async with open_two(read_later) as (near, _), near.open_call(Tell()) as call:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send() -> None:
                nonlocal sent
                for _ in range(100):
                    await call.send(bytes(10_000))
                    sent += 10_000
                call.end()

            await wait_all_tasks_blocked()
            assert WINDOW - 20_000 < sent < WINDOW
            assert call.room < 1
            assert await near.ask(Tell(text="hi")) == Told("tell:hi")
            reading.set()
        assert sent == 1_000_000
        assert msgspec.msgpack.decode(await call.answer()) == {"text": "1000000"}


async def bytes_of(stream: Stream):  # noqa: ANN201 - an async generator of bytes
    while (piece := await stream.receive()) is not None:
        assert isinstance(piece, bytes)
        yield piece


async def test_an_answerer_waits_for_its_asker_to_read(autojump_clock: MockClock) -> None:
    sent: list[int] = []

    async def flood(asked: Asked) -> Told:
        for _ in range(100):
            await asked.send(bytes(10_000))
            sent.append(10_000)
        return Told("done")

    async with open_two(flood) as (near, _), near.open_call(Tell()) as call:
        await wait_all_tasks_blocked()
        assert sum(sent) < WINDOW
        assert sum([len(piece) async for piece in bytes_of(call)]) == 1_000_000


async def test_room_is_what_the_other_side_takes_now(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_two(seen) as (near, _), near.open_call(Tell()) as call:
        assert call.room == await call.wait_room() == WINDOW - cost(b"")
        call.send_nowait(bytes(call.room))
        assert call.room < 1
        with pytest.raises(LoopsyError, match="credit"):
            call.send_nowait(b"x")
        await wait_all_tasks_blocked()
        [asked] = seen.asked
        asked.receive_nowait()
        assert await call.wait_room() == WINDOW - cost(b"")


async def test_a_value_waits_until_there_is_room_for_all_of_it(autojump_clock: MockClock) -> None:
    seen = Recorder()
    value = bytes(HALF + 1)
    async with open_two(seen) as (near, _), near.open_call(Tell()) as call:
        await call.send_item(value)
        with trio.move_on_after(100):
            await call.send_item(value)
            raise AssertionError("there was no room for it")
        await call.send(b"less fits well")
        [asked] = seen.asked
        asked.receive_nowait()
        await call.send_item(value)
        await wait_all_tasks_blocked()
        assert asked.receive_nowait() == b"less fits well"
        assert isinstance(asked.receive_nowait(), Item)


async def test_a_value_larger_than_a_window_could_never_go_and_is_refused(
    autojump_clock: MockClock,
) -> None:
    largest = bytes(WINDOW - cost(b"") - 5)  # five bytes say that it is a binary, and how long
    assert cost(encode(largest)) == WINDOW
    seen = Recorder()
    async with open_two(seen) as (near, _), near.open_call(Tell()) as call:
        with pytest.raises(LoopsyError, match="too large"):
            await call.send_item(largest + b"x")
        await call.send_item(largest)
        await wait_all_tasks_blocked()
        assert len(seen.asked) == 1


# Ends on the way.


async def test_an_answer_wakes_whoever_still_wants_to_send(autojump_clock: MockClock) -> None:
    answering = trio.Event()

    async def answer(_asked: Asked) -> Told:
        await answering.wait()
        return Told("enough")

    async with open_two(answer) as (near, _), near.open_call(Tell()) as call:
        async with trio.open_nursery() as nursery:
            for send in (lambda: call.send(bytes(2 * WINDOW)), lambda: call.send_item(bytes(HALF))):

                @nursery.start_soon
                async def wait(send: Callable[[], Awaitable[None]] = send) -> None:
                    with pytest.raises(Gone, match="over"):
                        await send()

                await wait_all_tasks_blocked()
            answering.set()
        with pytest.raises(Gone, match="over"):
            await call.send(b"x")
        assert msgspec.msgpack.decode(await call.answer()) == {"text": "enough"}


async def test_a_fault_wakes_senders_and_receivers(autojump_clock: MockClock) -> None:
    refusing = trio.Event()

    async def refuse(_asked: Asked) -> None:
        await refusing.wait()
        raise Refused("no more of this")

    async with (
        open_two(refuse) as (near, _),
        near.open_call(Tell()) as call,
        trio.open_nursery() as nursery,
    ):
        for wait_for in (lambda: call.send(bytes(2 * WINDOW)), call.receive, call.answer):

            @nursery.start_soon
            async def wait(wait_for: Callable[[], Awaitable[object]] = wait_for) -> None:
                with pytest.raises(Refused):
                    await wait_for()

        await wait_all_tasks_blocked()
        refusing.set()


async def test_a_lost_connection_wakes_senders_and_receivers_on_both_sides(
    autojump_clock: MockClock,
) -> None:
    seen = Recorder()
    async with (
        open_two(seen) as (near, far),
        near.open_call(Tell(text="a")) as silent,
        near.open_call(Tell(text="b")) as full,
        trio.open_nursery() as nursery,
    ):
        await wait_all_tasks_blocked()
        silent_there, full_there = sorted(seen.asked, key=lambda asked: bytes(asked.params))
        for waits in (
            silent.receive,
            silent_there.receive,
            lambda: full.send(bytes(2 * WINDOW)),
            lambda: full_there.send(bytes(2 * WINDOW)),
        ):

            @nursery.start_soon
            async def wait(waits: Callable[[], Awaitable[object]] = waits) -> None:
                with pytest.raises(Gone):
                    await waits()

        await wait_all_tasks_blocked()
        far.lose(Gone("a cable was pulled"))
        near.lose(Gone("a cable was pulled"))


async def test_whoever_asked_can_be_waited_for_to_leave(autojump_clock: MockClock) -> None:
    seen = Recorder()
    left = trio.Event()
    async with trio.open_nursery() as nursery:
        async with open_two(seen) as (near, _), near.open_call(Tell()):
            await seen.came.wait()

            @nursery.start_soon
            async def wait() -> None:
                await seen.asked[0].wait_left()
                left.set()

            await wait_all_tasks_blocked()
            assert not left.is_set()
        await left.wait()


@bounded(60)
@given(st.lists(st.integers(0, 40_000), max_size=20), st.data())
async def test_what_is_offered_first_and_what_is_received_are_together_all_in_order(
    sizes: list[int], data: st.DataObject
) -> None:
    # More than a window in all, so that it only gets through if each byte's credit comes back.
    sent = [fill(size) for size in [*sizes, *[30_000] * 12]]
    got = bytearray()

    def take(offered: bytes) -> bytes:
        taken = data.draw(st.sampled_from([0, 1, len(offered) // 2, len(offered)]))
        got.extend(offered[:taken])
        return offered[taken:]

    async def read(asked: Asked) -> Told:
        asked.offer_first(take)
        while (piece := await asked.receive()) is not None:
            if data.draw(st.booleans()):
                await trio.lowlevel.checkpoint()  # what comes meanwhile must not get ahead of this
            assert isinstance(piece, bytes)
            got.extend(piece)
        return Told("all")

    async with open_two(read) as (near, _), near.open_call(Tell()) as call:
        for piece in sent:
            await call.send(piece)
        call.end()
        await call.answer()
    assert got == b"".join(sent)
