"""ByteLog against the simplest model there is: all bytes ever appended."""

from __future__ import annotations

import sys

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.kit import ByteLog, Lagged

_PIECES = st.one_of(
    st.binary(max_size=40),
    # Around the size of a block, where its arithmetic could go wrong.
    st.integers(65_500, 65_600).map(lambda size: bytes(range(256)) * (size // 256 + 1)),
    st.integers(1, 300_000).map(lambda size: (b"%08d" % size) * (size // 8 + 1)),
)


@given(
    capacity=st.one_of(st.integers(1, 100), st.integers(60_000, 200_000)),
    pieces=st.lists(_PIECES, max_size=12),
    data=st.data(),
)
def test_any_appends_read_back_as_the_end_of_the_whole_stream(
    capacity: int, pieces: list[bytes], data: st.DataObject
) -> None:
    log = ByteLog(capacity)
    whole = b""
    for piece in pieces:
        log.append(data.draw(st.sampled_from([bytes, bytearray, memoryview]))(piece))
        whole += piece
        assert log.end == len(whole)
        assert log.start == max(0, len(whole) - capacity)
        offset = data.draw(st.integers(0, len(whole)))
        most = data.draw(st.integers(1, 70_000))
        if offset < log.start:
            with pytest.raises(Lagged) as lagged:
                log.peek(offset, most)
            assert lagged.value.start == log.start
        else:
            found = log.peek(offset, most)
            assert found == whole[offset : offset + len(found)]
            assert len(found) <= most
            assert bool(found) == (offset < len(whole))
    assert _all_of(log) == whole[log.start :]


def test_reading_on_from_each_answer_gives_everything_in_whole_blocks() -> None:
    log = ByteLog(1 << 20)
    log.append(b"a" * 200_000)
    assert [len(log.peek(at)) for at in (0, 65_536, 131_072, 196_608)] == [65_536] * 3 + [3_392]


def test_memory_stays_near_the_capacity() -> None:
    log = ByteLog(100_000)
    for _ in range(2_000):
        log.append(b"x" * 999)
    blocks = log._blocks  # noqa: SLF001 - memory cannot be seen from outside
    assert sum(map(sys.getsizeof, blocks)) < 100_000 + 2 * 65_536


def test_an_idle_log_costs_next_to_nothing() -> None:
    log = ByteLog(4 << 20)
    log.append(b"$ ")
    assert sum(map(sys.getsizeof, log._blocks)) < 200  # noqa: SLF001


async def test_a_reader_waits_for_growth(autojump_clock: trio.testing.MockClock) -> None:
    log = ByteLog(100)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            await trio.sleep(7)
            log.append(b"")  # nothing, so nobody is woken for it
            await trio.sleep(1)
            log.append(b"hello")

        assert await log.read(0) == b"hello"
        assert trio.current_time() >= 8


async def test_every_reader_has_an_offset_of_its_own() -> None:
    log = ByteLog(100)
    got: list[bytes] = []

    async def read(offset: int) -> None:
        got.append(await log.read(offset))

    log.append(b"abc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, 1)
        nursery.start_soon(read, 3)
        await trio.testing.wait_all_tasks_blocked()
        log.append(b"de")
    assert sorted(got) == [b"bc", b"de"]


async def test_a_waiting_reader_may_have_lagged_by_the_time_it_runs() -> None:
    log = ByteLog(4)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read() -> None:
            with pytest.raises(Lagged) as lagged:
                await log.read(0)
            assert lagged.value.start == 5

        await trio.testing.wait_all_tasks_blocked()
        log.append(b"abc")
        log.append(b"defghi")


async def test_closing_wakes_waiting_readers_and_lets_others_drain() -> None:
    log = ByteLog(100)
    log.append(b"last words")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read() -> None:
            assert await log.read(log.end) == b""

        await trio.testing.wait_all_tasks_blocked()
        log.close()
    assert log.closed
    assert await log.read(5) == b"words"
    assert await log.read(10) == b""
    with pytest.raises(trio.ClosedResourceError):
        log.append(b"more")


async def test_a_cancelled_read_takes_nothing_out(autojump_clock: trio.testing.MockClock) -> None:
    log = ByteLog(100)
    with trio.move_on_after(1) as scope:
        await log.read(0)
    assert scope.cancelled_caught
    log.append(b"still here")
    assert await log.read(0) == b"still here"


async def test_reading_is_a_checkpoint_even_when_there_is_something() -> None:
    log = ByteLog(100)
    log.append(b"x")
    with trio.testing.assert_checkpoints():
        await log.read(0)


@pytest.mark.parametrize(("offset", "most"), [(-1, 10), (4, 10), (0, 0)])
async def test_offsets_that_never_were_are_refused(offset: int, most: int) -> None:
    log = ByteLog(100)
    log.append(b"abc")
    with pytest.raises(ValueError, match=r"offset|at least one"):
        log.peek(offset, most)
    with pytest.raises(ValueError, match=r"offset|at least one"):
        await log.read(offset, most)


def test_a_log_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        ByteLog(0)


def _all_of(log: ByteLog) -> bytes:
    at = log.start
    pieces = []
    while piece := log.peek(at):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
