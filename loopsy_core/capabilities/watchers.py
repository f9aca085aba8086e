"""What each watcher of context is still to be told: the place where it reads, and changes behind.

There is no gap and nothing comes twice, because reading is put into the order of the changes: a
transaction that reads for a watcher is told of, like every other, in the order of the commits.
What was published before it is in what it read; what is published after it is news.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from loopsy_core.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from .entries import Change, Entries, Entry, Why

__all__ = ["Gone", "Read", "Told", "Watcher", "Watchers"]

BEHIND: Final = 1000
"""Keys with changes that a watcher may have to be told of; then it is told to start over."""
AT_ONCE: Final = 100
"""Entries that are read for a watcher in one transaction."""
MOST_BYTES: Final = 262_144
"""Bytes of their values, but for the last."""


class Gone(NamedTuple):
    """A key that is there no more."""

    key: str
    revision: int
    why: Why


class Told(NamedTuple):
    """The next part of what a watcher is told, in this order."""

    changes: list[Entry | Gone]
    current: int | None
    """The last revision, if all that there was has been told with this."""


class Read(NamedTuple):
    """What was read for a watcher, and of which keys."""

    entries: list[Entry]
    keys: Sequence[str]
    of_changes: bool
    revision: int


class Watcher:
    """One that watches a prefix; `Watchers.open` makes it."""

    def __init__(self, prefix: str, hidden: tuple[str, ...] = ()) -> None:
        """Begin before the first key; it is not told of those that begin with what is `hidden`."""
        self._prefix = prefix
        self._hidden = hidden
        # Told up to this key; None once all that there was has been told.
        self._after: str | None = ""
        self._changes: dict[str, Change] = {}
        self._behind = False
        self._closed = False
        self._news = trio.Event()

    def note(self, change: Change) -> None:
        """Take a change, in the order of the commits; never waits."""
        if self._behind or not change.key.startswith(self._prefix):
            return
        if change.key.startswith(self._hidden):
            return
        if self._after is not None and change.key > self._after:
            return  # it has yet to be read anyway
        # The last of several is enough. It goes to the end, so that no busy key holds up others.
        self._changes.pop(change.key, None)
        self._changes[change.key] = change
        if len(self._changes) > BEHIND:
            self._behind = True
            self._changes.clear()
        self._news.set()

    def close(self) -> None:
        """Say that nothing follows."""
        self._closed = True
        self._news.set()

    async def wait(self) -> None:
        """Wait until there is something to read.

        Raises `Busy` when it has fallen too far behind, or the node leaves.
        """
        while True:
            if self._closed:
                raise Busy("the node is leaving; watch anew")
            if self._behind:
                raise Busy(f"changes of more than {BEHIND} keys were waiting; watch anew")
            if self._changes or self._after is not None:
                return
            self._news = trio.Event()
            await self._news.wait()

    def plan(self) -> Callable[[Entries], Read]:
        """Return what reads, within a transaction, what is to be told next."""
        # Decided here and not in the transaction, which runs in a thread.
        if self._changes:
            # Changes go first, lest a watcher that reads on and on fall behind.
            return partial(_read, keys=list(self._changes)[:AT_ONCE], of_changes=True)
        assert self._after is not None
        return partial(_read_on, prefix=self._prefix, after=self._after, hidden=self._hidden)

    def take(self, read: Read) -> Told:
        """Note that `read` is told; called in the order of the commits, without an await before."""
        if read.of_changes:
            changes = [self._changes.pop(key, None) for key in read.keys]
            gone = [
                Gone(change.key, change.revision, change.why)
                for change in changes
                if change is not None and change.why is not None
            ]
            return Told(sorted([*read.entries, *gone], key=_revision), None)
        self._after = read.keys[-1] if read.keys else None
        return Told([*read.entries], read.revision if self._after is None else None)


class Watchers:
    """All who watch."""

    def __init__(self) -> None:
        """Begin without any."""
        self._watchers: dict[Watcher, None] = {}
        self._closed = False

    @contextmanager
    def open(self, prefix: str, hidden: tuple[str, ...] = ()) -> Generator[Watcher]:
        """Watch `prefix`, but for what is `hidden`, for as long as the block lasts."""
        watcher = Watcher(prefix, hidden)
        if self._closed:
            watcher.close()
        self._watchers[watcher] = None
        try:
            yield watcher
        finally:
            del self._watchers[watcher]

    def publish(self, changes: Iterable[Change]) -> None:
        """Tell all of changes that are on disk now."""
        for change in changes:
            for watcher in self._watchers:
                watcher.note(change)

    def close(self) -> None:
        """End them all: the node leaves."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()


def _revision(change: Entry | Gone) -> int:
    return change.revision if isinstance(change, Gone) else change.info.revision


def _read_on(entries: Entries, prefix: str, after: str, hidden: tuple[str, ...]) -> Read:
    keys = [info.key for info in entries.infos(prefix, after, AT_ONCE)]
    return _read(entries, keys, of_changes=False, hidden=hidden)


def _read(
    entries: Entries, keys: Sequence[str], *, of_changes: bool, hidden: tuple[str, ...] = ()
) -> Read:
    found: list[Entry] = []
    size = reached = 0
    for key in keys:
        if size >= MOST_BYTES:
            break
        reached += 1
        entry = None if key.startswith(hidden) else entries.find(key)
        if entry is not None:
            found.append(entry)
            size += entry.info.size
    return Read(found, keys[:reached], of_changes, entries.last_revision())
