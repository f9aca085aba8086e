"""Many transactions, one fsync: those that wait for the disk at the same time go there together.

Each is a transaction of its own as far as anybody can see: it happens whole or not at all, in the
order of asking, and is on disk when its `transact` returns. But a commit waits for the disk, and
what came meanwhile shares the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

import trio

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from .database import Database

__all__ = ["GroupCommit"]

T = TypeVar("T")

MOST_TOGETHER: Final = 256
"""Transactions that share a commit; more would keep the first of them waiting."""


class _Entry(Generic[T]):
    """One transaction on its way. `turn` is set when it is done, or is to lead the next group."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.turn = trio.Event()
        self.done = False
        self.leads = False
        self.result: T | None = None
        self.error: BaseException | None = None


class GroupCommit:
    """Stands before a `Database` and has its commits shared."""

    def __init__(self, database: Database) -> None:
        """Use `database`, which others may use as well."""
        self._database = database
        self._waiting: list[_Entry[object]] = []
        self._led = False

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do what `Database.transact` does, and raise what it raises.

        An error of `work` undoes that one and none of those which share its commit. Cancelled
        before it has found its group, nothing happens; from then on it is carried to its end.
        """
        entry = _Entry(work)
        self._waiting.append(cast("_Entry[object]", entry))
        if self._led:
            await self._wait(entry)
        else:
            self._led = entry.leads = True
        if not entry.done:
            await self._lead(cast("_Entry[object]", entry))
        if entry.error is not None:
            raise entry.error
        return cast("T", entry.result)

    async def _wait(self, entry: _Entry[T]) -> None:
        try:
            await entry.turn.wait()
        except trio.Cancelled:
            mine = cast("_Entry[object]", entry)
            if mine in self._waiting:
                self._waiting.remove(mine)
                if entry.leads:  # promoted in this very moment
                    self._promote()
                raise
            # Its group has begun, and ends by itself: bounded by one transaction.
            with trio.CancelScope(shield=True):
                await entry.turn.wait()

    async def _lead(self, mine: _Entry[object]) -> None:
        group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        try:
            await self._database.transact(lambda connection: _run_all(connection, group))
        except trio.Cancelled:
            # While it waited for its turn at the database: nothing has happened.
            group.remove(mine)
            self._waiting = group + self._waiting
            raise
        except BaseException as error:
            for entry in group:
                entry.error = error
            _finish(group)
        else:
            _finish(group)
        finally:
            self._promote()

    def _promote(self) -> None:
        """Let the next in line lead, if anybody waits."""
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()


def _finish(group: list[_Entry[object]]) -> None:
    for entry in group:
        entry.done = True
        entry.turn.set()


def _run_all(connection: sqlite3.Connection, group: list[_Entry[object]]) -> None:
    for entry in group:
        entry.error = None
        connection.execute("SAVEPOINT one")
        try:
            entry.result = entry.work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite has ended them all by itself: the disk is full, say
            connection.execute("ROLLBACK TO one")
            entry.error = error
        connection.execute("RELEASE one")
