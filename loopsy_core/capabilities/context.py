"""Context: small values under keys, that machines and agents share; watched instead of polled."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias, TypeVar

import trio

from loopsy_core.errors import BadRequest, Busy, NotFound
from loopsy_core.kit import Broadcast, GroupCommit, Missed, contained
from loopsy_core.wire import (
    MAX_VALUE,
    ContextCurrent,
    ContextDeleted,
    ContextInfo,
    ContextList,
    ContextSet,
)

from . import context_table as table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Callable

    from loopsy_core.kit import Database
    from loopsy_core.links import Asked
    from loopsy_core.wire import (
        DeleteContext,
        GetContext,
        ListContext,
        Nothing,
        SetContext,
        WatchContext,
    )

    from .context_table import Removed

__all__ = ["Changed", "Context", "open_context"]

BEHIND: Final = 1000
"""Changes that a watcher may be behind; they are small, for values are read when they are sent."""
SWEEP: Final = 200
"""Entries that are swept away in one transaction."""
LONGEST_SLEEP: Final = 60.0
"""Seconds between two looks for entries whose time is over, for the clock may be set."""
SHORTEST_SLEEP: Final = 0.05

T = TypeVar("T")
Why: TypeAlias = Literal["deleted", "expired"]

_log = logging.getLogger("loopsy.context")


class Changed:
    """A key was set, or is gone."""

    __slots__ = ("key", "revision", "why")

    def __init__(self, key: str, revision: int, why: Why | None) -> None:
        """`why` is None for a key that was set."""
        self.key = key
        self.revision = revision
        self.why = why


class Context:
    """The entries of one node; `open_context` makes it."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """Keep entries in `database`; `clock` is in seconds since 1970."""
        self._database = database
        self._together = GroupCommit(database)
        self._clock = clock
        self.changes: Broadcast[Changed] = Broadcast()
        self._sooner = trio.Event()

    # What is asked over calls.

    async def set_from(self, asked: Asked, request: SetContext, by: str) -> ContextInfo:
        """Set a key to the value that `asked` brings."""
        check_key(request.key)
        value = await _receive_text(asked)
        return await self.set(
            request.key, value, by=by, ttl=request.ttl, if_revision=request.if_revision
        )

    async def get_over(self, asked: Asked, request: GetContext) -> ContextInfo:
        """Send a key's value over `asked`."""
        info, value = await self.get(request.key)
        await asked.send(value.encode())
        return info

    async def list(self, request: ListContext) -> ContextList:
        """Return a page of entries."""
        work = partial(
            table.keys_from,
            prefix=request.prefix,
            after=request.after,
            limit=request.limit + 1,
            now=self._clock(),
        )
        found = await self._database.read(work)
        page = found[: request.limit]
        return ContextList(page, page[-1].key if len(found) > len(page) else None)

    async def delete(self, request: DeleteContext) -> ContextInfo:
        """Delete a key and return what it was."""
        removed = await self.transact(
            lambda connection: table.delete(
                connection, request.key, now=self._clock(), if_revision=request.if_revision
            )
        )
        self.gone(removed, "deleted")
        return removed.info

    async def watch(self, asked: Asked, request: WatchContext) -> Nothing:
        """Send what there is, then what changes, until the asker leaves."""
        # Subscribed first and then read: what changes between comes twice rather than never, and
        # its revision tells.
        with self.changes.subscribe(BEHIND) as changes:
            seen = await self._send_all(asked, request.prefix)
            await asked.send_item(ContextCurrent(max(seen.values(), default=0)))
            try:
                async for change in changes:
                    if change.key.startswith(request.prefix):
                        await self._send_change(asked, change, seen)
            except Missed as missed:
                raise Busy(f"{missed.count} changes were missed; watch anew") from None
        raise Busy("the node is leaving")

    async def _send_all(self, asked: Asked, prefix: str) -> dict[str, int]:
        """Send all entries under `prefix`; return the revision of each."""
        seen: dict[str, int] = {}
        after = ""
        while True:
            now = self._clock()
            page = await self._database.read(
                partial(table.keys_from, prefix=prefix, after=after, limit=100, now=now)
            )
            for info in page:
                await self._send_entry(asked, info.key, seen)
                after = info.key
            if not page:
                return seen

    async def _send_change(self, asked: Asked, change: Changed, seen: dict[str, int]) -> None:
        if change.revision <= seen.get(change.key, 0):
            return
        if change.why is None:
            await self._send_entry(asked, change.key, seen)
            return
        seen.pop(change.key, None)
        await asked.send_item(ContextDeleted(change.key, change.revision, change.why))

    async def _send_entry(self, asked: Asked, key: str, seen: dict[str, int]) -> None:
        try:
            info, value = await self.get(key)
        except NotFound:
            return  # it is gone already, of which there is a change to come
        if info.revision > seen.get(key, 0):
            seen[key] = info.revision
            await asked.send_item(ContextSet(info))
            await asked.send(value.encode())

    # What other capabilities ask.

    async def set(
        self,
        key: str,
        value: str,
        *,
        by: str,
        ttl: float | None = None,
        if_revision: int | None = None,
    ) -> ContextInfo:
        """Set a key; on disk when this returns."""
        now = self._clock()
        expires_at = None if ttl is None else now + ttl
        info = await self.transact(
            lambda connection: table.put(
                connection,
                key,
                value,
                now=now,
                by=by,
                expires_at=expires_at,
                if_revision=if_revision,
            )
        )
        self.was_set(info)
        return info

    async def get(self, key: str) -> tuple[ContextInfo, str]:
        """Return an entry and its value; raises `NotFound`."""
        now = self._clock()
        return await self._database.read(lambda connection: table.get(connection, key, now))

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do several things to the table at once; tell `was_set` and the like afterwards."""
        return await self._together.transact(work)

    def was_set(self, info: ContextInfo) -> None:
        """Tell watchers of an entry that was set, now that it is on disk."""
        self.changes.publish(Changed(info.key, info.revision, None))
        if info.expires_at is not None:
            self._sooner.set()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read several things from the table at once."""
        return await self._database.read(work)

    def gone(self, removed: Removed, why: Why) -> None:
        """Tell watchers of an entry that is gone, now that it is so on disk."""
        self.changes.publish(Changed(removed.info.key, removed.revision, why))

    async def keep_swept(self) -> NoReturn:
        """Delete entries whose time is over, for ever."""
        while True:
            self._sooner = trio.Event()
            pause = LONGEST_SLEEP
            with contained(_log, "sweeping context"):
                pause = await self.sweep()
            with trio.move_on_after(max(SHORTEST_SLEEP, min(pause, LONGEST_SLEEP))):
                await self._sooner.wait()

    async def sweep(self) -> float:
        """Delete what is over; return the seconds until there is more."""
        while True:
            now = self._clock()
            due = await self._database.read(table.next_expiry)
            if due is None:
                return LONGEST_SLEEP
            if due > now:
                return due - now
            removed = await self.transact(
                lambda connection, now=now: table.sweep(connection, now, SWEEP)  # type: ignore[misc]
            )
            for each in removed:
                self.gone(each, "expired")


def check_key(key: str) -> None:
    """Raise `BadRequest` for a key that cannot be: one with control characters in it."""
    if not key.isprintable():
        raise BadRequest("a key has no control characters, line breaks or invisible ones in it")


async def _receive_text(asked: Asked) -> str:
    data = bytearray()
    while (piece := await asked.receive()) is not None:
        if not isinstance(piece, bytes):
            raise BadRequest("a value comes as Data")
        data += piece
        if len(data) > MAX_VALUE:
            raise BadRequest(f"a value has at most {MAX_VALUE} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadRequest("a value is text in UTF-8") from None


@asynccontextmanager
async def open_context(
    database: Database, clock: Callable[[], float] = time.time
) -> AsyncGenerator[Context]:
    """Open the context kept in `database`, whose table `CONTEXT_TABLE` made."""
    async with trio.open_nursery() as nursery:
        context = Context(database, clock)
        nursery.start_soon(context.keep_swept)
        yield context
        context.changes.close()
        nursery.cancel_scope.cancel()
