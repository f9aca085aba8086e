"""Watched: waiting for a value, and for its changes."""

from __future__ import annotations

import pytest
import trio

from loopsy_core.kit import Watched


async def test_the_current_value_is_looked_at_first() -> None:
    assert await Watched(5).wait(lambda value: value > 3) == 5


async def test_wait_returns_the_first_value_that_satisfies() -> None:
    watched = Watched(0)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert await watched.wait(lambda value: value > 3) == 7

        await trio.testing.wait_all_tasks_blocked()
        watched.set(2)
        watched.set(7)
        watched.set(9)


async def test_a_value_that_holds_for_a_moment_is_not_missed() -> None:
    link = Watched("down")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert await link.wait(lambda value: value == "up") == "up"

        await trio.testing.wait_all_tasks_blocked()
        link.set("up")
        link.set("down")


async def test_what_a_predicate_raises_is_raised_by_its_own_wait() -> None:
    watched = Watched(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(ZeroDivisionError):
                await watched.wait(lambda value: 1 // value > 5)

        await trio.testing.wait_all_tasks_blocked()
        watched.set(0)
    assert watched.value == 0


async def test_changes_begin_with_the_current_value_and_skip_to_the_newest() -> None:
    watched = Watched("a")
    changes = watched.changes()
    assert await anext(changes) == "a"
    watched.set("b")
    watched.set("c")
    assert await anext(changes) == "c"


async def test_setting_an_equal_value_wakes_nobody(autojump_clock: trio.testing.MockClock) -> None:
    watched = Watched([1])
    changes = watched.changes()
    await anext(changes)
    watched.set([1])
    with trio.move_on_after(1) as scope:
        await anext(changes)
    assert scope.cancelled_caught


async def test_a_cancelled_watcher_misses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    watched = Watched(1)
    changes = watched.changes()
    await anext(changes)
    with trio.move_on_after(1):
        await anext(changes)
    with trio.move_on_after(1):
        await watched.wait(lambda value: value == 3)
    watched.set(2)
    assert await anext(changes) == 2
    assert await watched.wait(lambda value: value == 2) == 2


async def test_closing_wakes_waiters_and_ends_changes_after_the_last_value() -> None:
    watched = Watched(1)
    seen: list[int] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await watched.wait(lambda value: value == 100)

        @nursery.start_soon
        async def follow() -> None:
            seen.extend([value async for value in watched.changes()])

        await trio.testing.wait_all_tasks_blocked()
        watched.set(2)
        watched.close()
    assert seen == [1, 2]
    assert watched.value == 2
    with pytest.raises(trio.ClosedResourceError):
        watched.set(3)
    with pytest.raises(trio.ClosedResourceError):
        await watched.wait(lambda value: value == 3)
    assert await watched.wait(lambda value: value == 2) == 2
    assert [value async for value in watched.changes()] == [2]


async def test_all_of_it_is_a_checkpoint() -> None:
    watched = Watched(1)
    with trio.testing.assert_checkpoints():
        await watched.wait(bool)
    with trio.testing.assert_checkpoints():
        await anext(watched.changes())
