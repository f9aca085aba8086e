"""Commits that are shared: each transaction is its own all the same."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import Misconfigured
from loopsy_core.kit import Database, GroupCommit, open_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = "CREATE TABLE t (n INTEGER PRIMARY KEY);"


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]


class Counting:
    """A database that counts its transactions, and may be held up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits = 0
        self.gate = trio.Event()
        self.gate.set()
        self.translated = database.translated

    async def transact(self, work: Callable[[sqlite3.Connection], object]) -> object:
        await self.gate.wait()
        self.commits += 1
        return await self._database.transact(work)


async def test_those_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            counting = Counting(database)
            together = GroupCommit(counting)  # type: ignore[arg-type]
            results: list[int] = []

            async def one(number: int) -> None:
                results.append(await together.transact(insert(number)))

            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(one, number)
            assert sorted(results) == list(range(100))
            assert await database.read(numbers) == list(range(100))
            assert counting.commits <= 3


async def test_one_that_fails_is_undone_and_the_others_are_not(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            together = GroupCommit(database)
            failed: list[int] = []

            def twice(connection: sqlite3.Connection) -> None:
                connection.execute("INSERT INTO t VALUES (1000)")
                connection.execute("INSERT INTO t VALUES (1000)")

            async def one(number: int) -> None:
                if number % 3:
                    await together.transact(insert(number))
                    return
                with pytest.raises(sqlite3.IntegrityError):
                    await together.transact(twice)
                failed.append(number)

            async with trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(one, number)
            assert len(failed) == 10
            assert await database.read(numbers) == [n for n in range(30) if n % 3]


async def test_an_error_before_anything_was_changed_has_nobody_done_twice(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            counting = Counting(database)
            counting.gate = trio.Event()
            together = GroupCommit(counting)  # type: ignore[arg-type]
            ran: list[int] = []

            def refuse(_: sqlite3.Connection) -> None:
                raise ValueError("no")

            async def refused() -> None:
                with pytest.raises(ValueError, match="no"):
                    await together.transact(refuse)

            def note(connection: sqlite3.Connection, number: int) -> None:
                ran.append(number)
                insert(number)(connection)

            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(together.transact, partial(note, number=number))
                    nursery.start_soon(refused)
                await trio.testing.wait_all_tasks_blocked()
                counting.gate.set()
            assert sorted(ran) == list(range(10))
            assert await database.read(numbers) == list(range(10))


async def test_cancelled_before_its_turn_nothing_happens_and_nobody_else_is_held_up(
    tmp_path: Path,
) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            counting = Counting(database)
            counting.gate = trio.Event()
            together = GroupCommit(counting)  # type: ignore[arg-type]
            scopes = [trio.CancelScope() for _ in range(6)]

            async def one(number: int) -> None:
                with scopes[number]:
                    await together.transact(insert(number))

            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(one, number)
                    await trio.testing.wait_all_tasks_blocked()
                scopes[3].cancel()
                await trio.testing.wait_all_tasks_blocked()
                scopes[0].cancel()  # it leads, and waits for the database
                await trio.testing.wait_all_tasks_blocked()
                counting.gate.set()
            assert await database.read(numbers) == [1, 2, 4, 5]
            assert await together.transact(insert(9)) == 9


async def test_cancelled_while_its_group_is_at_work_it_is_carried_to_its_end(
    tmp_path: Path,
) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            together = GroupCommit(database)
            scope = trio.CancelScope()

            def insert_and_cancel(connection: sqlite3.Connection) -> None:
                connection.execute("INSERT INTO t VALUES (1)")
                trio.from_thread.run_sync(scope.cancel)

            with scope:
                await together.transact(insert_and_cancel)
            assert await database.read(numbers) == [1]
            assert await together.transact(insert(2)) == 2


async def test_a_read_never_waits_for_a_commit(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            await database.transact(insert(1))
            began, release = trio.Event(), trio.Event()

            def slow(connection: sqlite3.Connection) -> None:
                connection.execute("INSERT INTO t VALUES (2)")
                trio.from_thread.run_sync(began.set)
                trio.from_thread.run(release.wait)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(database.transact, slow)
                await began.wait()
                assert await database.read(numbers) == [1]
                release.set()
            assert await database.read(numbers) == [1, 2]


async def test_who_only_reads_cannot_write(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", [TABLE]) as database:
        with pytest.raises(Exception, match=r"readonly|read-only"):
            await database.read(insert(1))


async def test_those_who_read_at_the_same_time_share_a_way_and_see_what_was_committed(
    tmp_path: Path,
) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            together, readers = GroupCommit(database), GroupCommit(database, reading=True)

            async def write_and_read(number: int) -> None:
                await together.transact(insert(number))
                assert number in await readers.transact(numbers)

            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(write_and_read, number)
            with pytest.raises(Exception, match=r"readonly|read-only"):
                await readers.transact(insert(1000))


async def test_what_follows_a_commit_happens_in_the_order_of_the_commits(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            together = GroupCommit(database)
            committed: list[int] = []
            told: list[int] = []

            def work(connection: sqlite3.Connection, number: int) -> int:
                committed.append(insert(number)(connection))
                return number

            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(together.transact, partial(work, number=number), told.append)
            assert told == committed


async def test_a_full_disk_undoes_all_of_a_group_and_says_so(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_database(tmp_path / "t.db", [TABLE]) as database:
            together = GroupCommit(database)
            await together.transact(lambda connection: connection.execute("PRAGMA max_page_count"))
            await together.transact(insert(1))

            def fill(connection: sqlite3.Connection) -> None:
                connection.execute("PRAGMA max_page_count = 20")
                connection.execute("CREATE TABLE IF NOT EXISTS big (x BLOB)")
                connection.execute("INSERT INTO big VALUES (zeroblob(1000000))")

            failed: list[str] = []

            async def one(work: Callable[[sqlite3.Connection], object]) -> None:
                try:
                    await together.transact(work)
                except Misconfigured as error:
                    failed.append(str(error))

            async with trio.open_nursery() as nursery:
                for work in (insert(2), fill, insert(3)):
                    nursery.start_soon(one, work)
            assert failed
            assert all("free some space" in text for text in failed)
            kept = await database.read(numbers)
            assert 1 in kept
            assert len(kept) + len(failed) == 4
            await together.transact(insert(4))
