"""One SQLite connection, used for one transaction at a time, with migrations.

SQLite blocks, so each transaction runs in a thread, start to end. Transactions are written as
plain functions of a `sqlite3.Connection`: nothing can be awaited in the middle of one.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from loopsy_core.errors import Busy, Misconfigured

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Database", "open_database"]

T = TypeVar("T")

# Seconds to wait for another process (a backup, a curious `sqlite3` shell) to let go.
_BUSY_TIMEOUT: Final = 5.0

# What the machine can do wrong, by SQLite's primary result code, and what a person can do about
# it. All other codes are mistakes of the statement or a constraint at work, and reach the caller.
_MENDS: Final = {
    sqlite3.SQLITE_CANTOPEN: "check that its folder exists and is yours",
    sqlite3.SQLITE_CORRUPT: "nothing was deleted; move the file away, or restore a backup",
    sqlite3.SQLITE_FULL: "free some space on that disk",
    sqlite3.SQLITE_IOERR: "check that disk",
    sqlite3.SQLITE_NOTADB: "nothing was deleted; move the file away, or restore a backup",
    sqlite3.SQLITE_PERM: "check who owns the file",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
}


class Database:
    """An open database; made by `open_database`."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        reading: sqlite3.Connection,
        at_once: sqlite3.Connection,
    ) -> None:
        """Use these connections, which nobody else may touch; `path` is for messages."""
        self._path = path
        self._connection = connection
        self._reading = reading
        self._at_once = at_once
        self._readers = trio.CapacityLimiter(1)
        # One token: the threads take turns, first come, first served.
        self._limiter = trio.CapacityLimiter(1)
        self._closed = False

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work(connection)` in a thread as one transaction, and return what it returns.

        When it returns the changes are on disk, and would survive a power cut; when it raises
        they are undone, and its error is raised here. `work` must not commit, and must not
        return a cursor, for rows that are not fetched yet belong to no transaction.

        Cancelled while it waits for its turn, nothing happens; from then on it is carried to its
        end, so `Cancelled` always means that nothing was changed. Raises `Busy` when another
        process holds the file for seconds, `Misconfigured` when the file or its disk is broken,
        `trio.ClosedResourceError` after the database was closed.
        """
        return await trio.to_thread.run_sync(self._transact, work, limiter=self._limiter)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`, which only reads, in a thread; it sees all that was on disk when it began.

        It has a connection of its own, so it never waits for a transaction that waits for the disk.
        Raises as `transact` does. Cancelled while it waits for its turn, it has not begun.
        """
        return await trio.to_thread.run_sync(self._read, self._reading, work, limiter=self._readers)

    def read_nowait(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` as `read` does, but here, in the way of all other tasks.

        For a few rows that are likely to lie in memory: the way to a thread and back costs ten
        times what it costs to read them. Changes are refused or undone. Raises `trio.WouldBlock`
        when another process has locked the file, and else as `read` does.
        """
        # Whoever writes has the pages in its cache that others have to read again after each
        # commit; but it cannot be asked while it waits for the disk.
        busy = self._limiter.borrowed_tokens
        try:
            return self._read(self._at_once if busy else self._connection, work)
        except Busy:
            raise trio.WouldBlock from None

    def _read(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise trio.ClosedResourceError
        try:
            # One snapshot for all that it reads.
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error

    def translated(self, error: Exception) -> Exception:
        """Return what to raise instead of an error that a transaction met: ours, where it is one.

        For those who catch errors in the middle of a transaction; `transact` and `read` do it.
        """
        return _translated(error, self._path) if isinstance(error, sqlite3.Error) else error

    async def _close(self) -> None:
        await trio.to_thread.run_sync(self._close_in_thread, limiter=self._limiter)
        await trio.to_thread.run_sync(self._reading.close, limiter=self._readers)
        self._at_once.close()

    def _close_in_thread(self) -> None:
        # Under the limiter's turn, so never in the middle of a transaction.
        self._closed = True
        self._connection.close()

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise trio.ClosedResourceError
        try:
            return _in_transaction(self._connection, work)
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error


@asynccontextmanager
async def open_database(path: Path, migrations: Sequence[str]) -> AsyncGenerator[Database]:
    """Open the database at `path`, made if missing (mode 0600), for as long as the block lasts.

    `migrations` are SQL scripts, oldest first; those that the file has not seen are run, each in
    a transaction of its own. Never change one that was released: add another. Foreign keys are
    enforced once they are done, so a migration may rebuild a table.

    Leaving waits for a running transaction. Raises `Misconfigured`, naming the file, when it is
    damaged, no database, not ours to open, or written by a newer version, and leaves it as it
    is; `Busy` when another process holds it. Cancellation during opening may leave some of the
    migrations done, never half of one.
    """
    database = Database(path, *await trio.to_thread.run_sync(_open_all, path, tuple(migrations)))
    try:
        yield database
    finally:
        # No timeout, for a thread cannot be cut short: this lasts as long as one transaction.
        with trio.CancelScope(shield=True):
            await database._close()  # noqa: SLF001 - callers leave the block instead


def _open_all(
    path: Path, migrations: tuple[str, ...]
) -> tuple[sqlite3.Connection, sqlite3.Connection, sqlite3.Connection]:
    with ExitStack() as opened:
        connection = opened.enter_context(closing(_open(path, migrations)))
        try:
            reading = opened.enter_context(closing(_open_reading(path, _BUSY_TIMEOUT)))
            at_once = opened.enter_context(closing(_open_reading(path, 0.0)))
        except sqlite3.Error as error:
            raise _translated(error, path) from error
        opened.pop_all()
        return connection, reading, at_once


def _open(path: Path, migrations: tuple[str, ...]) -> sqlite3.Connection:
    try:
        _create_private(path)
        connection = sqlite3.connect(
            path,
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,  # we say BEGIN and COMMIT ourselves
            check_same_thread=False,  # used by several threads, but never by two at once
        )
        try:
            _migrate(path, connection, migrations)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _translated(error, path) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise Misconfigured(f"cannot open the database {path}: {reason}") from error
    return connection


def _open_reading(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def _create_private(path: Path) -> None:
    """Make the file before SQLite does, so that it never was readable to others.

    SQLite gives its `-wal` and `-shm` files the mode of the database.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        # Not opened just to look: closing any descriptor of a database drops all the POSIX locks
        # that this process holds on it (https://sqlite.org/howtocorrupt.html, section 2.2).
        return
    os.close(descriptor)


def _migrate(path: Path, connection: sqlite3.Connection, migrations: tuple[str, ...]) -> None:
    # Looked at before anything is set, so that a file we do not understand stays as it is.
    _refuse_newer(path, _version(connection), len(migrations))
    # Readers in other processes do not block us, and a commit is one append to the log.
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL, though NORMAL would survive kill -9 too: only FULL keeps the last commits in a power
    # cut, and after a commit we tell others "delivered". It costs an fsync per transaction.
    connection.execute("PRAGMA synchronous = FULL")

    def migrate_once(connection: sqlite3.Connection) -> bool:
        # Asked inside of the transaction: another process may just have done the same.
        version = _version(connection)
        _refuse_newer(path, version, len(migrations))
        if version == len(migrations):
            return False
        for statement in _statements(migrations[version]):
            connection.execute(statement)
        # In the file's header, so it is committed and rolled back with the rest.
        connection.execute(f"PRAGMA user_version = {version + 1}")
        return True

    while _in_transaction(connection, migrate_once):
        pass
    connection.execute("PRAGMA foreign_keys = ON")


def _version(connection: sqlite3.Connection) -> int:
    row: tuple[int] = connection.execute("PRAGMA user_version").fetchone()
    return row[0]


def _refuse_newer(path: Path, version: int, known: int) -> None:
    if version > known:
        raise Misconfigured(
            f"{path} was written by a newer version of this program (its layout is number"
            f" {version}, the newest known here is {known}): update, or choose another file"
        )


def _statements(script: str) -> Iterator[str]:
    """Split a script, because `executescript` would commit before it begins."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        # A semicolon in a string, a comment or a trigger does not complete a statement.
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    # The last piece got a semicolon that the script may not have had, so only a string or
    # trigger without an end is left over; SQLite words that better than we could.
    if statement.strip(" \t\r\n;"):
        yield statement


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    # IMMEDIATE takes the write lock now: a transaction that began by reading could otherwise be
    # refused at its first write, where waiting does not help any more.
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        if not connection.in_transaction:
            raise RuntimeError("the work of a transaction must not end it")
        connection.execute("COMMIT")
    except BaseException:
        # SQLite ends the transaction by itself on some errors, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    """Return what to raise instead of `error`: ours where it is the machine's fault."""
    code: int | None = getattr(error, "sqlite_errorcode", None)  # mistakes in Python have none
    if code is None:
        return error
    primary = code & 0xFF  # the rest tells details that no person can act on
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Busy(f"{path} is held by another process; try again when that one is done")
    mend = _MENDS.get(primary)
    if mend is None:
        return error
    return Misconfigured(f"the database {path} cannot be used ({error}): {mend}")
