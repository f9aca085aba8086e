"""Watching keys for as long as it takes, also while the node or the way to it is away."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from loopsy_core.errors import Busy, Gone
from loopsy_core.wire import ContextCurrent, ContextDeleted

from .show import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.client import Client, ContextChange

__all__ = ["watch_on"]

PAUSE: Final = 1.0
"""Seconds between two tries."""

T = TypeVar("T")


async def watch_on(there: Client, prefix: str, tell: Callable[[ContextChange], T | None]) -> T:
    """Tell what there is under `prefix`, that this was all, and then each change, each once.

    Ends when `tell` returns something, and returns that. When the node is lost, or says that we are
    too slow, watches anew and tells what has changed meanwhile; raises that when it was so from the
    beginning.
    """
    watch = _Watch(tell)
    told_of_it = False
    while True:
        try:
            async with there.context.watch(prefix) as changes:
                watch.begin()
                async for change in changes:
                    if (found := watch.take(change)) is not None:
                        return found
                    told_of_it = told_of_it and not watch.current
        except (Gone, Busy) as error:
            if not watch.began:
                raise
            if not told_of_it:
                told_of_it = True
                sys.stderr.write(f"loopsy: {clean(str(error))}; watching goes on when it is back\n")
            await trio.sleep(PAUSE)


class _Watch(Generic[T]):
    """What was told of already."""

    def __init__(self, tell: Callable[[ContextChange], T | None]) -> None:
        self._tell = tell
        self._told: dict[str, int] = {}
        self._there: set[str] = set()
        self.began = False
        self.current = False

    def begin(self) -> None:
        """Hear anew what there is."""
        self._there.clear()
        self.current = False

    def take(self, change: ContextChange) -> T | None:
        """Tell of a change unless that was done; return what `tell` returns."""
        if isinstance(change, ContextCurrent):
            return self._take_current(change)
        if isinstance(change, ContextDeleted):
            self._there.discard(change.key)
            self._told.pop(change.key, None)
            return self._tell(change)
        if not self.current:
            self._there.add(change.key)
        if self._told.get(change.key) == change.info.revision:
            return None
        self._told[change.key] = change.info.revision
        return self._tell(change)

    def _take_current(self, change: ContextCurrent) -> T | None:
        self.current = True
        if not self.began:
            self.began = True
            return self._tell(change)
        for key in self._told.keys() - self._there:
            del self._told[key]
            found = self._tell(ContextDeleted(key, change.revision, "deleted"))
            if found is not None:
                return found
        return None
