"""Output that waits for its reader: all of it is there, or said to be missing in its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.client import OutputLost
from loopsy_core.client.unread import Unread
from tests.play import bounded

LIMIT = 100

steps = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 70)),
    st.tuples(st.just("miss"), st.integers(1, 1000)),
    st.tuples(st.just("take"), st.integers(1, 50)),
)


@given(st.lists(steps, max_size=60))
@bounded(400)
def test_what_is_taken_and_what_is_missing_make_up_the_whole_stream(
    play: list[tuple[str, int]],
) -> None:
    unread, came, seen = Unread(LIMIT), 0, 0

    def take(most: int) -> bool:
        nonlocal seen
        try:
            data = unread.take(most)
        except OutputLost as lost:
            seen += lost.missed or 0
            return True
        assert data == bytes((seen + n) % 251 for n in range(len(data)))
        assert len(data) <= most
        seen += len(data)
        return bool(data)

    for step, amount in play:
        if step == "add":
            unread.add(bytes((came + n) % 251 for n in range(amount)))
            came += amount
        elif step == "miss":
            unread.miss(amount)
            came += amount
        else:
            take(amount)
    while take(LIMIT):
        pass
    assert seen == came


def test_no_more_than_the_limit_is_kept_and_the_rest_is_counted() -> None:
    unread = Unread(1 << 20)
    for _ in range(50):
        unread.add(bytes(65_536))
    with pytest.raises(OutputLost) as caught:
        unread.take(1)
    assert caught.value.missed == 50 * 65_536 - (1 << 20)
    kept = 0
    while data := unread.take(1 << 20):
        kept += len(data)
    assert kept == 1 << 20


def test_a_loss_that_nobody_can_count_stays_so() -> None:
    unread = Unread(LIMIT)
    unread.miss(5)
    unread.miss(None)
    unread.miss(7)
    unread.add(b"on")
    with pytest.raises(OutputLost, match="some output") as caught:
        unread.take(1)
    assert caught.value.missed is None
    assert unread.take(9) == b"on"
