"""A value that tasks may wait on: only what it is now matters, never how it came to be.

For a link's status, a peer's presence, a window's size. Where every step counts use `Broadcast`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Changes", "Watched"]

T = TypeVar("T")


class Watched(Generic[T]):
    """Holds one value and wakes those who wait for it to change.

    Nothing is queued, so a slow watcher costs nothing: it finds the newest value when it comes.
    Not for use from other threads.
    """

    def __init__(self, value: T) -> None:
        """Begin with `value`."""
        self._state = _State(value)

    @property
    def value(self) -> T:
        """What it is now; after `close`, what it was last."""
        return self._state.value

    def set(self, value: T) -> None:
        """Change the value; nobody is woken when it equals (`==`) the old one.

        Raises `trio.ClosedResourceError` after `close`.
        """
        state = self._state
        if state.closed:
            raise trio.ClosedResourceError
        if value != state.value:
            state.value = value
            state.version += 1
            for waiter in state.waiters:
                waiter.look_at(value)
            state.watchers.unpark_all()

    def close(self) -> None:
        """Say that it will not change again: `wait` raises, and `changes` come to their end."""
        state = self._state
        state.closed = True
        for waiter in state.waiters:
            waiter.done.set()
        state.watchers.unpark_all()

    async def wait(self, predicate: Callable[[T], bool]) -> T:
        """Return the first value that satisfies `predicate`, beginning with the current one.

        Every value is shown to `predicate` as it is set, so one that holds for a moment is not
        missed; by the time the caller runs the value may have moved on. What `predicate` raises
        is raised here, not in the task that set the value. Raises `trio.ClosedResourceError`
        when closed before a value satisfied.
        """
        state = self._state
        waiter = _Waiter(predicate)
        waiter.look_at(state.value)
        if waiter.done.is_set() or state.closed:
            await trio.lowlevel.checkpoint()
        else:
            # A dict for a set that keeps the order of arrival.
            state.waiters[waiter] = None
            try:
                await waiter.done.wait()
            finally:
                del state.waiters[waiter]
        return waiter.result()

    def changes(self) -> Changes[T]:
        """Return an iterator over the value: the current one at once, then each newer one."""
        return Changes(self._state)


class Changes(Generic[T]):
    """Iterates over a watched value, always handing out the newest.

    A class and not an async generator, because a generator that is left early is cleaned up at
    some later time in some other task (PEP 789); this has nothing to clean up.
    """

    def __init__(self, state: _State[T]) -> None:
        """Begin before the current value of `state`; made by `Watched.changes`."""
        self._state = state
        self._seen = -1

    def __aiter__(self) -> Changes[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the value once it has changed since the last one returned (the first at once).

        Changes in between are skipped; a value that changed and changed back counts as a change.
        Ends when the value is closed and its last state was returned. Cancellation loses nothing.
        """
        state = self._state
        if self._seen == state.version and not state.closed:
            await state.watchers.park()
        else:
            await trio.lowlevel.checkpoint()
        if self._seen == state.version:
            raise StopAsyncIteration
        self._seen = state.version
        return state.value


class _State(Generic[T]):
    """What a `Watched` and its iterators share."""

    def __init__(self, value: T) -> None:
        self.value = value
        self.version = 0
        self.closed = False
        self.watchers = trio.lowlevel.ParkingLot()
        self.waiters: dict[_Waiter[T], None] = {}


class _Waiter(Generic[T]):
    """One call of `wait`: it is shown every value until one satisfies."""

    def __init__(self, predicate: Callable[[T], bool]) -> None:
        self.done = trio.Event()
        self._predicate = predicate
        self._found: list[T] = []
        self._error: Exception | None = None

    def look_at(self, value: T) -> None:
        if self.done.is_set():
            return
        try:
            if self._predicate(value):
                self._found.append(value)
                self.done.set()
        except Exception as error:  # goes to the task whose predicate it is
            self._error = error
            self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        if not self._found:
            raise trio.ClosedResourceError
        return self._found[0]
