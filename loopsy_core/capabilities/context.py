"""Context: small values under keys, that machines and agents share; watched instead of polled."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import trio

from loopsy_core.errors import BadRequest
from loopsy_core.kit import Bell, GroupCommit
from loopsy_core.wire import (
    MAX_VALUE,
    ContextCurrent,
    ContextDeleted,
    ContextInfo,
    ContextList,
    ContextSet,
)

from .due import keep_due
from .entries import Entries
from .lately import Lately
from .watchers import Gone, Watchers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from loopsy_core.home import ContextConfig
    from loopsy_core.kit import Database
    from loopsy_core.links import Asked
    from loopsy_core.wire import DeleteContext, GetContext, ListContext, SetContext, WatchContext

    from .entries import Entry
    from .watchers import Read, Told, Watcher

__all__ = ["Context", "check_key"]

SWEEP: Final = 200
"""Entries that are swept away in one transaction."""
PAGE_BYTES: Final = 524_288
"""Of keys and names in one page, which has to fit one message."""
INFO_BYTES: Final = 64
"""Of an entry in a page, beside its key and the name of who set it."""

T = TypeVar("T")

_log = logging.getLogger("loopsy.context")


class Context:
    """The entries of one node, and those who watch them."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = time.time,
        limits: ContextConfig | None = None,
    ) -> None:
        """Keep entries in `database`, within `limits`; `clock` is in seconds since 1970."""
        self._database = database
        self._together = GroupCommit(database)
        self._readers = GroupCommit(database, reading=True)
        self._clock = clock
        self._limits = limits
        self._watchers = Watchers()
        self._lately = Lately()
        self._sooner = Bell()
        self._next_sweep = math.inf

    # What is asked over calls.

    async def set_from(
        self,
        asked: Asked,
        request: SetContext,
        by: str,
        owner: str = "",
        check: Callable[[str, str], object] | None = None,
    ) -> ContextInfo:
        """Set a key to the value that `asked` brings; `owner` is whose room it takes.

        `check` is called with both of them, and may raise what is wrong with that.
        """
        check_key(request.key)
        value = await _receive_text(asked)
        if check is not None:
            check(request.key, value)
        return await self.set(
            request.key,
            value,
            by=by,
            owner=owner,
            ttl=request.ttl,
            if_revision=request.if_revision,
        )

    async def get_over(self, asked: Asked, request: GetContext) -> ContextInfo:
        """Send a key's value over `asked`."""
        info, value = await self.get(request.key)
        await asked.send_last(value.encode())
        return info

    async def list(self, request: ListContext, hidden: tuple[str, ...] = ()) -> ContextList:
        """Return a page of entries: as many as were asked for, or as fit an answer.

        It may have fewer where there are keys that begin with what is `hidden`.
        """

        def work(entries: Entries) -> list[ContextInfo]:
            return entries.infos(request.prefix, request.after, request.limit + 1)

        found = await self.read(work)
        page: list[ContextInfo] = []
        size = passed = 0
        for info in found[: request.limit]:
            size += len(info.key.encode()) + len(info.updated_by.encode()) + INFO_BYTES
            if page and size > PAGE_BYTES:
                break
            passed += 1
            if not info.key.startswith(hidden):
                page.append(info)
        return ContextList(page, found[passed - 1].key if len(found) > passed else None)

    async def delete(self, request: DeleteContext) -> ContextInfo:
        """Delete a key and return what it was."""
        return await self.transact(
            lambda entries: entries.delete(request.key, if_revision=request.if_revision)
        )

    async def watch(
        self, asked: Asked, request: WatchContext, hidden: tuple[str, ...] = ()
    ) -> NoReturn:
        """Send what there is, then what changes, until the asker leaves or falls behind.

        Nothing is said of keys that begin with what is `hidden`.
        """
        with self._watchers.open(request.prefix, hidden) as watcher:
            while True:
                await watcher.wait()
                told = await self._read_for(watcher)
                for change in told.changes:
                    if isinstance(change, Gone):
                        await asked.send_item(ContextDeleted(*change))
                    else:
                        await asked.send_item(ContextSet(change.info))
                        await asked.send(change.value.encode())
                if told.current is not None:
                    await asked.send_item(ContextCurrent(told.current))

    async def _read_for(self, watcher: Watcher) -> Told:
        told: list[Told] = []

        def take(read: Read) -> None:
            told.append(watcher.take(read))

        await self.transact(watcher.plan(), take)
        return told[0]

    # What other capabilities ask.

    async def set(
        self,
        key: str,
        value: str,
        *,
        by: str,
        owner: str = "",
        ttl: float | None = None,
        if_revision: int | None = None,
    ) -> ContextInfo:
        """Set a key; on disk when this returns. Raises `Conflict`, and `Full` for want of room.

        `owner` is the contact whose room it takes, or "" for this machine.
        """

        def work(entries: Entries) -> ContextInfo:
            expires_at = None if ttl is None else entries.now + ttl
            return entries.take_in(
                key, value, by=by, owner=owner, expires_at=expires_at, if_revision=if_revision
            )

        info = await self.transact(work)
        self._lately.note(key, info.size)
        return info

    async def get(self, key: str) -> Entry:
        """Return an entry and its value; raises `NotFound`. No checkpoint if it was used lately."""
        if key in self._lately:
            now = self._clock()
            with suppress(trio.WouldBlock):
                return self._database.read_nowait(lambda each: Entries(each, now).get(key))
        entry = await self.read(lambda entries: entries.get(key))
        self._lately.note(key, entry.info.size)
        return entry

    async def transact(
        self, work: Callable[[Entries], T], then: Callable[[T], object] | None = None
    ) -> T:
        """Do several things to the entries at once, or nothing when `work` raises.

        On disk when this returns, and whoever watches is told. `then` is called with the result in
        the order of the transactions, before this returns.
        """
        now = self._clock()

        def both(connection: sqlite3.Connection) -> tuple[T, Entries]:
            entries = Entries(connection, now, self._limits)
            return work(entries), entries

        def tell(done: tuple[T, Entries]) -> None:
            result, entries = done
            self._watchers.publish(entries.changes)
            if entries.soonest < self._next_sweep:
                self._next_sweep = entries.soonest
                self._sooner.ring()
            if then is not None:
                then(result)

        result, _ = await self._together.transact(both, tell)
        return result

    async def read(self, work: Callable[[Entries], T]) -> T:
        """Read several things at once; it sees all that was answered before."""
        now = self._clock()
        return await self._readers.transact(lambda connection: work(Entries(connection, now)))

    async def keep_swept(self) -> NoReturn:
        """Delete entries whose time is over, for ever."""
        await keep_due(self.sweep, self._sooner, _log, "sweeping context")

    async def sweep(self) -> float | None:
        """Delete what is over; return the seconds until there is more."""
        while True:
            now = self._clock()
            due = await self.read(lambda entries: entries.next_expiry())
            if due is None or due > now:
                self._next_sweep = math.inf if due is None else due
                return None if due is None else due - now
            await self.transact(lambda entries: entries.sweep(SWEEP))

    def close(self) -> None:
        """Tell those who watch that the node leaves."""
        self._watchers.close()


def check_key(key: str) -> None:
    """Raise `BadRequest` for a key that cannot be: one with control characters in it."""
    if not key.isprintable():
        raise BadRequest("a key has no control characters, line breaks or invisible ones in it")


async def _receive_text(asked: Asked) -> str:
    try:
        return (await asked.receive_all(MAX_VALUE, "a value")).decode()
    except UnicodeDecodeError:
        raise BadRequest("a value is text in UTF-8") from None
