"""Output and size changes in exact order, for whoever reads them from whatever place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.kit import Lagged
from loopsy_core.sessions.output import LOG_SIZE, MAX_RESIZES, Output, Place
from loopsy_core.wire import Resized

if TYPE_CHECKING:
    from collections.abc import Sequence

steps = st.lists(
    st.binary(min_size=1, max_size=20) | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    max_size=40,
)


def after(happened: Sequence[bytes | tuple[int, int]]) -> Output:
    output = Output(80, 24)
    for step in happened:
        if isinstance(step, bytes):
            output.log.append(step)
        else:
            output.resize(*step)
    return output


def told(output: Output, place: Place, most: int = 7) -> list[bytes | Resized]:
    """Return all that comes after `place`, with pieces of output joined."""
    found: list[bytes | Resized] = []
    while (piece := output.take(place, most)) is not None:
        if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def joined(happened: Sequence[bytes | tuple[int, int]]) -> list[bytes | Resized]:
    found: list[bytes | Resized] = []
    for step in happened:
        if not isinstance(step, bytes):
            found.append(Resized(*step))
        elif found and isinstance(found[-1], bytes):
            found[-1] += step
        else:
            found.append(step)
    return found


@given(steps, st.integers(1, 30))
def test_everything_is_told_in_its_order(
    happened: list[bytes | tuple[int, int]], most: int
) -> None:
    output = after(happened)
    place = Place()
    assert told(output, place, most) == joined(happened)
    assert place == output.end


@given(steps, steps)
def test_a_place_in_the_middle_is_gone_on_from(
    before: list[bytes | tuple[int, int]], behind: list[bytes | tuple[int, int]]
) -> None:
    place = after(before).end
    output = after([*before, *behind])
    assert output.size_at(place) == after(before).size
    assert output.has(place)
    assert told(output, place) == joined(behind)


@given(steps, steps)
def test_who_resumes_at_an_offset_knows_the_size_there_or_is_told_that_nobody_does(
    before: list[bytes | tuple[int, int]], behind: list[bytes | tuple[int, int]]
) -> None:
    output = after([*before, *behind])
    offset = after(before).end.offset
    changes = 0
    at = 0
    for step in (*before, *behind):
        if isinstance(step, bytes):
            at += len(step)
        elif at == offset:
            changes += 1
    place = output.place_at(offset)
    if changes > 1:
        assert place is None
    else:
        assert place is not None
        assert place.offset == offset
        following = output.take(place.copy(), 1)
        assert following is None or isinstance(following, bytes)


def test_who_has_missed_size_changes_is_told_so() -> None:
    output = Output(80, 24)
    output.log.append(b"one")
    for number in range(MAX_RESIZES):
        output.resize(10 + number, 10)
    assert not output.has(Place(3, 0))
    with pytest.raises(Lagged):
        output.take(Place(3, 0))
    assert output.has(Place(3, 1))
    assert output.take(Place(3, 1)) == Resized(11, 10)
    assert output.place_at(3) is None


def test_who_has_missed_output_is_told_so_and_may_go_on_with_a_gap() -> None:
    output = Output(80, 24)
    output.log.append(b"x" * 100)
    output.resize(10, 10)
    output.log.append(bytes(LOG_SIZE))
    place = Place(0, 0)
    assert not output.has(place)
    with pytest.raises(Lagged):
        output.take(place)
    assert place == Place(0, 0)
    assert output.place_at(99) is None
    assert output.resume(99) == Place(100, 1)
    assert output.size_at(output.resume(99)) == Resized(10, 10)
