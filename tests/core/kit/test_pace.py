"""Buckets keep to their rate, windows to their limit and to the order of asking."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.kit import Buckets, TokenBucket, Window, WindowSize

_RATES = st.floats(0.01, 10_000)
_PAUSES = st.lists(st.floats(0, 100), min_size=1, max_size=60)


@given(rate=_RATES, burst=st.integers(1, 50), pauses=_PAUSES)
def test_no_stretch_of_time_lets_more_through_than_rate_and_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    bucket = TokenBucket(rate, burst)
    now = 1000.0
    taken: list[float] = []
    for pause in pauses:
        now += pause
        if bucket.take(now):
            taken.append(now)
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = burst + rate * (taken[last] - began + 2e-6)  # the rounding of clocks
            assert last - first + 1 <= allowed


@given(rate=_RATES, burst=st.integers(1, 50), pauses=_PAUSES, amount=st.integers(0, 50))
def test_waiting_as_long_as_told_is_enough(
    rate: float, burst: int, pauses: list[float], amount: int
) -> None:
    amount = min(amount, burst)
    bucket = TokenBucket(rate, burst)
    now = 1000.0
    for pause in pauses:
        now += pause
        now += bucket.wait_seconds(now, amount)
        assert bucket.wait_seconds(now, amount) == 0.0
        assert bucket.take(now, amount)


def test_a_burst_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_seconds(10.0) == 0.5
    assert bucket.wait_seconds(10.0, 3) == 1.5
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert not bucket.is_full(11.9)
    assert bucket.is_full(12.0)


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert bucket.take(101.0)


@pytest.mark.parametrize("amount", [-1, 3.5, float("nan")])
def test_amounts_that_could_never_be_are_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(1, 3).take(0.0, amount)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_bucket_that_could_never_fill_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(rate, burst)
    with pytest.raises(ValueError, match="above 0"):
        Buckets[str](rate, burst)


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets: Buckets[str] = Buckets(rate=1, burst=1)
    assert buckets.take("10.0.0.1", 0.0)
    assert not buckets.take("10.0.0.1", 0.5)
    assert buckets.take("10.0.0.2", 0.5)
    assert buckets.wait_seconds("10.0.0.1", 0.5) == 0.5
    assert buckets.wait_seconds("10.0.0.3", 0.5) == 0.0


def test_full_buckets_are_forgotten() -> None:
    buckets: Buckets[int] = Buckets(rate=1, burst=1)
    for key in range(100):
        buckets.take(key, 0.0)
    assert len(buckets) == 100
    buckets.take(100, 1.0)
    assert len(buckets) == 1


def test_a_full_collection_drops_who_was_seen_longest_ago() -> None:
    buckets: Buckets[int] = Buckets(rate=1, burst=1, most=3)
    for key in (1, 2, 3):
        buckets.take(key, 0.0)
    assert not buckets.take(1, 0.1)  # refused, but seen
    buckets.take(4, 0.2)
    assert len(buckets) == 3
    assert not buckets.take(1, 0.3)
    assert buckets.take(2, 0.3)


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=40),
)
def test_a_window_never_lets_out_more_than_its_limit_or_one_large_piece(
    limit: int, steps: list[tuple[bool, int]]
) -> None:
    window = Window(limit)
    held: list[int] = []
    for reserve, size in steps:
        if reserve:
            fits = not sum(held) or sum(held) + size <= limit
            assert window.reserve_nowait(size) == fits
            if fits:
                held.append(size)
        elif held:
            window.release(held.pop(size % len(held)))
        assert window.used == sum(held)


async def test_whoever_asks_first_is_served_first_even_for_more() -> None:
    window = Window(10)
    served: list[int] = []

    async def reserve(size: int) -> None:
        await window.reserve(size)
        served.append(size)

    await window.reserve(8)
    async with trio.open_nursery() as nursery:
        for size in (9, 1, 2):
            nursery.start_soon(reserve, size)
            await trio.testing.wait_all_tasks_blocked()
        assert not window.reserve_nowait(1)
        assert served == []
        window.release(8)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(served) == [1, 9]  # granted in order, run in any
        assert window.used == 10
        window.release(9)
    assert served[2:] == [2]


async def test_a_piece_beyond_the_limit_goes_when_it_is_alone() -> None:
    window = Window(10)
    await window.reserve(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.reserve, 50)
        await trio.testing.wait_all_tasks_blocked()
        assert window.used == 1
        window.release(1)
    assert window.used == 50
    assert not window.reserve_nowait(1)


async def test_a_cancelled_reservation_lets_those_behind_it_pass() -> None:
    window = Window(10)
    await window.reserve(5)
    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def reserve_much() -> None:
            with scope:
                await window.reserve(9)

        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(window.reserve, 3)
        await trio.testing.wait_all_tasks_blocked()
        assert window.used == 5
        scope.cancel()
    assert window.used == 8


async def test_a_reservation_granted_before_the_cancellation_is_kept() -> None:
    window = Window(10)
    await window.reserve(10)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def reserve() -> None:
            await window.reserve(4)
            window.release(4)

        await trio.testing.wait_all_tasks_blocked()
        window.release(10)
        nursery.cancel_scope.cancel()
    assert window.used == 0


async def test_cancelled_before_it_began_reserves_nothing() -> None:
    window = Window(10)
    with trio.CancelScope() as scope:
        scope.cancel()
        await window.reserve(4)
    assert window.used == 0


async def test_closing_a_window_wakes_all_who_wait() -> None:
    window = Window(1)
    await window.reserve(1)
    refused = 0
    async with trio.open_nursery() as nursery:

        async def reserve() -> None:
            nonlocal refused
            with pytest.raises(trio.ClosedResourceError):
                await window.reserve(1)
            refused += 1

        for _ in range(3):
            nursery.start_soon(reserve)
        await trio.testing.wait_all_tasks_blocked()
        window.close()
    assert refused == 3
    window.release(1)
    with pytest.raises(trio.ClosedResourceError):
        window.reserve_nowait(1)


def test_a_window_holds_what_comes_in_a_tenth_of_a_second_between_its_bounds() -> None:
    size = WindowSize(1000, 8000)
    rates = [(100.0, 1000), (30_000.0, 3000), (1e6, 8000), (30_000.0, 3000), (100.0, 1000)]
    now = 50.0
    for rate, width in rates:
        for _ in range(100):
            now += 0.01
            came = size.came(int(rate * 0.01), now)
        assert came == pytest.approx(width, rel=0.15)
        assert 1000 <= came <= 8000


def test_a_window_grows_as_soon_as_it_is_seen_to_be_too_small() -> None:
    size = WindowSize(1000, 8000)
    widths = [size.came(900, 50.0 + number / 1000) for number in range(12)]
    assert widths[:2] == [1000, 1000]
    assert widths == sorted(widths)
    assert widths[-1] == 8000


def test_a_window_is_narrow_again_after_a_pause() -> None:
    size = WindowSize(1000, 8000)
    for number in range(20):
        size.came(900, 50.0 + number / 1000)
    assert size.came(900, 60.0) == 1000


def test_what_was_not_reserved_cannot_be_released() -> None:
    window = Window(10)
    assert window.reserve_nowait(3)
    for size in (4, -1):
        with pytest.raises(ValueError, match="cannot release"):
            window.release(size)
    with pytest.raises(ValueError, match="not negative"):
        window.reserve_nowait(-1)


@pytest.mark.parametrize("make", [lambda: Window(0), lambda: Buckets[str](1, 1, most=0)])
def test_room_for_nothing_is_refused(make: type) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make()


@pytest.mark.parametrize("settle", ["close", "release"])
async def test_a_reservation_settled_in_the_moment_of_its_cancellation_is_not_lost(
    settle: str,
) -> None:
    window = Window(10)
    await window.reserve(10)
    scope = trio.CancelScope()

    async def ask() -> None:
        with scope:
            await window.reserve(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        if settle == "close":
            window.close()
        else:
            window.release(10)
    assert window.used == (10 if settle == "close" else 0)
