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
GATHERING: Final = 0.5
"""How long those of the last group are waited for, as a part of what its commit took: they are on
their way to ask again, and without them every other commit would be for one alone."""
LONGEST_GATHERING: Final = 0.002
"""Seconds."""


class _Entry(Generic[T]):
    """One transaction on its way. `turn` is set when it is done, or is to lead the next group."""

    def __init__(
        self, work: Callable[[sqlite3.Connection], T], then: Callable[[T], object] | None
    ) -> None:
        self.work = work
        self.then = then
        self.turn = trio.Event()
        self.done = False
        self.leads = False
        self.result: T | None = None
        self.error: BaseException | None = None


class GroupCommit:
    """Stands before a `Database` and has its commits shared."""

    def __init__(self, database: Database, *, reading: bool = False) -> None:
        """Use `database`, which others may use as well.

        With `reading` it is for what only reads: those that wait share one way to the thread.
        """
        self._database = database
        self._reading = reading
        self._waiting: list[_Entry[object]] = []
        self._led = False
        # Who came together, and how long their commit took.
        self._expected = 1
        self._took = 0.0
        self._complete = trio.Event()

    async def transact(
        self,
        work: Callable[[sqlite3.Connection], T],
        then: Callable[[T], object] | None = None,
    ) -> T:
        """Do what `Database.transact` does, and raise what it raises.

        `then` is called with the result once that is on disk, before this returns. It is called in
        the order of the transactions, which the tasks that asked for them are not woken in.

        An error of `work` undoes that one and none of those which share its commit, for which all
        of them may be run twice: it must do nothing but read and change the database. Cancelled
        before it has found its group, nothing happens; from then on it is carried to its end.
        """
        entry = _Entry(work, then)
        self._waiting.append(cast("_Entry[object]", entry))
        if len(self._waiting) >= self._expected:
            self._complete.set()
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
        group: list[_Entry[object]] = []
        try:
            if not self._reading:
                await self._gather()
            group = self._waiting[:MOST_TOGETHER]
            del self._waiting[:MOST_TOGETHER]
            began = trio.current_time()
            act = self._database.read if self._reading else self._database.transact
            await act(lambda connection: self._run_all(connection, group))
            self._took = trio.current_time() - began
            self._expected = min(len(group) + len(self._waiting), MOST_TOGETHER)
        except trio.Cancelled:
            # While it waited for company or for its turn at the database: nothing has happened.
            self._waiting = group + self._waiting
            self._waiting.remove(mine)
            raise
        except BaseException as error:
            for entry in group:
                entry.error = error
            _finish(group)
        else:
            _finish(group)
        finally:
            self._promote()

    async def _gather(self) -> None:
        """Wait a moment for as many as there were just now."""
        if len(self._waiting) >= self._expected:
            return
        self._complete = trio.Event()
        with trio.move_on_after(min(self._took * GATHERING, LONGEST_GATHERING)):
            await self._complete.wait()

    def _promote(self) -> None:
        """Let the next in line lead, if anybody waits."""
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()

    def _run_all(self, connection: sqlite3.Connection, group: list[_Entry[object]]) -> None:
        """Run them as if each could be undone by itself.

        A savepoint for each costs as much as what it does, and few have to be undone. So there is
        one for all of them; if one fails half way, they are done once more with a savepoint each.
        """
        if len(group) == 1:
            group[0].result = group[0].work(connection)  # undone with the whole, if it fails
            return
        connection.execute("SAVEPOINT whole")
        for entry in group:
            changes = connection.total_changes
            try:
                entry.result = entry.work(connection)
            except Exception as error:
                if not connection.in_transaction:
                    raise  # SQLite has ended them all by itself: the disk is full, say
                if connection.total_changes != changes:
                    connection.execute("ROLLBACK TO whole")
                    self._run_each(connection, group)
                    return
                entry.error = self._database.translated(error)

    def _run_each(self, connection: sqlite3.Connection, group: list[_Entry[object]]) -> None:
        for entry in group:
            entry.error = None
            connection.execute("SAVEPOINT one")
            try:
                entry.result = entry.work(connection)
            except Exception as error:
                if not connection.in_transaction:
                    raise  # SQLite has ended them all by itself: the disk is full, say
                connection.execute("ROLLBACK TO one")
                entry.error = self._database.translated(error)
            connection.execute("RELEASE one")


def _finish(group: list[_Entry[object]]) -> None:
    for entry in group:
        if entry.error is None and entry.then is not None:
            try:
                entry.then(entry.result)
            except Exception as error:  # a bug of whoever asked, and theirs alone
                entry.error = error
        entry.done = True
        entry.turn.set()
