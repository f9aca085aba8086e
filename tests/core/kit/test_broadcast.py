"""Broadcast: everybody gets everything, or learns that it missed something."""

from __future__ import annotations

from typing import TypeVar

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.kit import Broadcast, Missed, Subscription

T = TypeVar("T")


@given(
    capacity=st.integers(1, 5),
    steps=st.lists(st.sampled_from(["publish", "receive"]), max_size=40),
)
def test_a_subscriber_gets_an_unbroken_run_and_then_the_exact_gap(
    capacity: int, steps: list[str]
) -> None:
    async def play() -> None:
        published = 0
        got: list[int] = []
        broadcast: Broadcast[int] = Broadcast()
        with broadcast.subscribe(capacity) as events:
            for step in steps:
                if step == "publish":
                    broadcast.publish(published)
                    published += 1
                elif len(got) < published:
                    try:
                        got.append(await anext(events))
                    except Missed as error:
                        missed = error.count
                        assert missed == published - len(got) > 0
                        with pytest.raises(StopAsyncIteration):
                            await anext(events)
                        break
            assert got == list(range(len(got)))

    trio.run(play)


async def test_everyone_gets_what_is_published_while_subscribed() -> None:
    broadcast: Broadcast[str] = Broadcast()
    with broadcast.subscribe() as early:
        broadcast.publish("a")
        with broadcast.subscribe() as late:
            broadcast.publish("b")
            broadcast.close()
            assert await _all_of(early) == ["a", "b"]
            assert await _all_of(late) == ["b"]


async def test_a_laggard_gets_what_it_has_then_the_count_then_the_end() -> None:
    broadcast: Broadcast[int] = Broadcast()
    with broadcast.subscribe(capacity=2) as slow, broadcast.subscribe(capacity=9) as quick:
        for number in range(5):
            broadcast.publish(number)
        assert [await anext(slow), await anext(slow)] == [0, 1]
        broadcast.publish(5)
        with pytest.raises(Missed) as missed:
            await anext(slow)
        assert missed.value.count == 4
        broadcast.publish(6)
        assert await _all_of(slow) == []
        broadcast.close()
        assert await _all_of(quick) == [0, 1, 2, 3, 4, 5, 6]


async def test_a_listener_waits_for_the_next_item() -> None:
    broadcast: Broadcast[str] = Broadcast()
    with broadcast.subscribe() as events:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def listen() -> None:
                assert await anext(events) == "hello"

            await trio.testing.wait_all_tasks_blocked()
            broadcast.publish("hello")


async def test_each_item_goes_to_one_of_the_tasks_that_share_a_subscription() -> None:
    broadcast: Broadcast[int] = Broadcast()
    got: list[int] = []
    with broadcast.subscribe() as events:

        async def listen() -> None:
            got.extend(await _all_of(events))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(3):
                broadcast.publish(number)
            broadcast.close()
    assert sorted(got) == [0, 1, 2]


async def test_closing_wakes_listeners_and_refuses_more() -> None:
    broadcast: Broadcast[int] = Broadcast()
    with broadcast.subscribe() as events:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def listen() -> None:
                assert await _all_of(events) == []

            await trio.testing.wait_all_tasks_blocked()
            broadcast.close()
    with pytest.raises(trio.ClosedResourceError):
        broadcast.publish(1)
    with broadcast.subscribe() as events:
        assert await _all_of(events) == []


async def test_leaving_the_block_ends_an_iteration_that_goes_on_elsewhere() -> None:
    broadcast: Broadcast[int] = Broadcast()
    async with trio.open_nursery() as nursery:
        with broadcast.subscribe() as events:
            nursery.start_soon(_all_of, events)
            await trio.testing.wait_all_tasks_blocked()
    broadcast.publish(1)
    assert await _all_of(events) == []


async def test_a_cancelled_listener_takes_no_item(autojump_clock: trio.testing.MockClock) -> None:
    broadcast: Broadcast[int] = Broadcast()
    with broadcast.subscribe() as events:
        with trio.move_on_after(1) as scope:
            await anext(events)
        assert scope.cancelled_caught
        broadcast.publish(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(events)
        assert await anext(events) == 1


def test_a_queue_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"), Broadcast[int]().subscribe(0):
        pass


async def _all_of(events: Subscription[T]) -> list[T]:
    return [event async for event in events]
