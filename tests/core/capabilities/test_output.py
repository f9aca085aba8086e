"""A job's output: one reader at a time gets all of it, whatever it was cut into and lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from loopsy_core.capabilities.output import MOST_BEHIND, PIECE_COST, SMALL, Output
from loopsy_core.errors import BadRequest, Busy
from tests.play import bounded

if TYPE_CHECKING:
    from loopsy_core.capabilities.output import Reader
    from loopsy_core.wire import OutputName

BEGINNING: dict[OutputName, int] = {"stdout": 0, "stderr": 0}

pieces = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]), st.binary(max_size=30) | st.just(bytes(SMALL))
    ),
    max_size=30,
)


async def read_all(reader: Reader, most: int = 1 << 20) -> dict[OutputName, bytes]:
    """Return what a reader gets until the end."""
    got: dict[OutputName, bytes] = {"stdout": b"", "stderr": b""}
    while (stream := await reader.wait()) is not None:
        got[stream] += reader.take(most)
    return got


def written(pieces: list[tuple[OutputName, bytes]]) -> dict[OutputName, bytes]:
    whole: dict[OutputName, bytes] = {"stdout": b"", "stderr": b""}
    for stream, data in pieces:
        whole[stream] += data
    return whole


@bounded(100)
@given(pieces, st.integers(1, 40))
def test_a_reader_gets_everything_in_order(
    pieces: list[tuple[OutputName, bytes]], most: int
) -> None:
    async def play() -> None:
        output = Output()
        reader = output.reader
        order: list[tuple[OutputName, bytes]] = []

        async def read() -> None:
            while (stream := await reader.wait()) is not None:
                data = reader.take(most)
                assert 0 < len(data) <= most
                order.append((stream, data))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for stream, data in pieces:
                output.append(stream, data)
                await trio.lowlevel.checkpoint()
            output.close()
        assert b"".join(data for _, data in order) == b"".join(data for _, data in pieces)
        assert written(order) == written(pieces)

    trio.run(play)


@bounded(100)
@given(pieces, pieces, st.data())
def test_a_reader_that_comes_back_goes_on_where_it_was(
    before: list[tuple[OutputName, bytes]],
    after: list[tuple[OutputName, bytes]],
    data: st.DataObject,
) -> None:
    async def play() -> None:
        output = Output()
        for stream, piece in before:
            output.append(stream, piece)
        whole = written(before)
        had = {name: data.draw(st.integers(0, len(text))) for name, text in whole.items()}
        reader = output.read_from(had)
        for stream, piece in after:
            output.append(stream, piece)
        output.close()
        rest = await read_all(reader)
        assert {name: whole[name][: had[name]] + rest[name] for name in had} == written(
            before + after
        )

    trio.run(play)


@bounded(100)
@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.integers(1, 300))), st.data())
def test_memory_is_bounded_and_nothing_is_lost_that_was_not_read(
    writes: list[tuple[OutputName, int]], data: st.DataObject
) -> None:
    async def play() -> None:
        kept, behind = 2000, 1000
        output = Output(kept, behind)
        reader = output.reader
        taken = dict(BEGINNING)
        for number, (stream, size) in enumerate(writes):
            with trio.move_on_after(0) as blocked:
                await output.wait_room()
            if blocked.cancelled_caught or data.draw(st.booleans()):
                while reader.at != output.ends and data.draw(st.integers(0, 3)):
                    name = await reader.wait()
                    assert name is not None
                    piece = reader.take(data.draw(st.integers(1, 500)))
                    assert piece == bytes([_at(name, taken[name] + i) for i in range(len(piece))])
                    taken[name] += len(piece)
                continue
            end = output.ends[stream]
            output.append(stream, bytes(_at(stream, end + i) for i in range(size)))
            assert output._kept <= kept + 300 + PIECE_COST, number  # noqa: SLF001

    trio.run(play)


def _at(stream: OutputName, offset: int) -> int:
    return (offset * 7 + (stream == "stderr")) % 251


async def test_a_writer_waits_for_a_reader_that_is_far_behind() -> None:
    output = Output()
    output.append("stdout", bytes(MOST_BEHIND))
    room = trio.Event()

    async def write() -> None:
        await output.wait_room()
        room.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        assert not room.is_set()
        output.reader.take(1000)
        await wait_all_tasks_blocked()
        assert room.is_set()


async def test_last_words_wait_for_no_reader() -> None:
    output = Output()
    output.append("stdout", bytes(MOST_BEHIND))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.wait_room)
        await wait_all_tasks_blocked()
        output.let_go()
    assert len(output.reader.take(1 << 20)) == MOST_BEHIND


async def test_what_is_not_kept_any_more_is_passed_over() -> None:
    output = Output(kept=1000, most_behind=500)
    for number in range(50):
        output.append("stderr" if number == 0 else "stdout", bytes([number]) * SMALL)
        output.reader.take(SMALL)
    late = output.read_from(BEGINNING)
    # Of the one stream the end is there; of the other nothing, and its reader is at its end.
    assert late.at == {"stdout": 47 * SMALL, "stderr": SMALL}
    output.close()
    rest = await read_all(late)
    assert rest == {"stdout": bytes([48]) * SMALL + bytes([49]) * SMALL, "stderr": b""}
    assert late.at == output.ends


async def test_an_offset_that_never_was_is_refused() -> None:
    output = Output()
    output.append("stdout", b"abc")
    with pytest.raises(BadRequest, match="stdout has 3 bytes, so none from 4 on"):
        output.read_from({"stdout": 4, "stderr": 0})
    assert output.reader.at == BEGINNING  # who reads has not changed


async def test_whoever_read_until_then_learns_of_another_reader() -> None:
    output = Output()
    old = output.reader
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(Busy, match="another connection"):
                await old.wait()

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        new = output.read_from(BEGINNING)
    output.append("stdout", b"abc")
    with pytest.raises(Busy, match="another connection"):
        old.take(1)
    assert (old.replaced, new.replaced) == (True, False)
    assert new.take(10) == b"abc"


async def test_the_end_wakes_a_reader_and_a_cancelled_one_has_lost_nothing() -> None:
    output = Output()
    with trio.move_on_after(0):
        await output.reader.wait()
    output.append("stderr", b"x")
    assert await output.reader.wait() == "stderr"
    assert output.reader.take(9) == b"x"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_all, output.reader)
        await wait_all_tasks_blocked()
        output.close()
