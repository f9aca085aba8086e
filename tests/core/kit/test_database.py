"""The database on a real disk: transactions, migrations, broken files, and kill -9."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import Busy, Misconfigured
from loopsy_core.kit import open_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ITEMS = "CREATE TABLE items (name TEXT PRIMARY KEY) STRICT"


def _add(name: str) -> Callable[[sqlite3.Connection], None]:
    def add(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO items VALUES (?)", (name,))

    return add


def _execute(statement: str) -> Callable[[sqlite3.Connection], None]:
    def execute(connection: sqlite3.Connection) -> None:
        connection.execute(statement)

    return execute


def _names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM items ORDER BY name")]


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def _pragma(name: str) -> Callable[[sqlite3.Connection], object]:
    def ask(connection: sqlite3.Connection) -> object:
        (value,) = connection.execute(f"PRAGMA {name}").fetchone()
        return value

    return ask


async def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    async with open_database(path, [_ITEMS]) as database:
        await database.transact(_add("a"))
        assert await database.transact(_names) == ["a"]
    async with open_database(path, [_ITEMS]) as database:
        assert await database.transact(_names) == ["a"]


async def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        _add("half")(connection)
        raise ZeroDivisionError

    async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
        with pytest.raises(ZeroDivisionError):
            await database.transact(half)
        assert await database.transact(_names) == []


async def test_a_constraint_at_work_reaches_the_caller_as_it_is(tmp_path: Path) -> None:
    async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
        await database.transact(_add("a"))
        with pytest.raises(sqlite3.IntegrityError):
            await database.transact(_add("a"))
        assert await database.transact(_names) == ["a"]


async def test_work_that_commits_on_its_own_is_a_mistake(tmp_path: Path) -> None:
    async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
        with pytest.raises(RuntimeError, match="must not end it"):
            await database.transact(sqlite3.Connection.commit)
        await database.transact(_add("a"))


async def test_it_is_set_up_to_survive_a_power_cut(tmp_path: Path) -> None:
    async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
        assert await database.transact(_pragma("journal_mode")) == "wal"
        assert await database.transact(_pragma("synchronous")) == 2
        assert await database.transact(_pragma("foreign_keys")) == 1
        assert await database.transact(_pragma("busy_timeout")) == 5000


async def test_nobody_else_may_read_any_of_its_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
            await database.transact(_add("a"))
            modes = _modes(tmp_path)
    finally:
        os.umask(before)
    assert modes == {"node.db": 0o600, "node.db-wal": 0o600, "node.db-shm": 0o600}


async def test_transactions_take_turns(tmp_path: Path) -> None:
    def add_one(connection: sqlite3.Connection) -> None:
        (count,) = connection.execute("SELECT count(*) FROM items").fetchone()
        _add(str(count))(connection)

    async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(database.transact, add_one)
        assert len(await database.transact(_names)) == 20


async def test_cancelled_while_waiting_changes_nothing_and_once_begun_everything(
    tmp_path: Path,
) -> None:
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()
    go_on = threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        token.run_sync_soon(begun.set)
        assert go_on.wait(30)
        _add("begun")(connection)

    with trio.fail_after(30):
        async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(database.transact, slow)
                await begun.wait()
                nursery.start_soon(database.transact, _add("waiting"))
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
                go_on.set()
            assert await database.transact(_names) == ["begun"]


async def test_reading_at_once_sees_what_was_committed_and_waits_for_nobody(
    tmp_path: Path,
) -> None:
    path = tmp_path / "node.db"
    async with open_database(path, [_ITEMS]) as database:
        await database.transact(_add("a"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO items VALUES ('b')")
        assert database.read_nowait(_names) == ["a"]

        def read_what_is_locked(_: sqlite3.Connection) -> None:
            sqlite3.connect(path, timeout=0, isolation_level=None).execute("BEGIN IMMEDIATE")

        with pytest.raises(trio.WouldBlock):
            database.read_nowait(read_what_is_locked)
        other.execute("COMMIT")
        other.close()
        assert database.read_nowait(_names) == ["a", "b"]
        at_work, go_on = trio.Event(), trio.Event()

        def add_slowly(connection: sqlite3.Connection) -> None:
            _add("slow")(connection)
            trio.from_thread.run_sync(at_work.set)
            trio.from_thread.run(go_on.wait)
            raise ValueError("it comes to nothing")

        async def transact() -> None:
            with pytest.raises(ValueError, match="nothing"):
                await database.transact(add_slowly)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(transact)
            await at_work.wait()
            assert database.read_nowait(_names) == ["a", "b"]
            with pytest.raises(Misconfigured, match=r"readonly|read-only"):
                database.read_nowait(_add("c"))
            go_on.set()
        database.read_nowait(_add("c"))
        assert database.read_nowait(_names) == ["a", "b"]
    with pytest.raises(trio.ClosedResourceError):
        database.read_nowait(_names)


async def test_closing_turns_away_who_comes_later(tmp_path: Path) -> None:
    async with open_database(tmp_path / "node.db", [_ITEMS]) as database:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await database.transact(_names)
    # The last connection to close folds the log in: nothing is left but the one file.
    assert _modes(tmp_path) == {"node.db": 0o600}


async def test_leaving_when_cancelled_closes_it_too(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_database(tmp_path / "node.db", [_ITEMS]):
            scope.cancel()
            await trio.sleep_forever()
    assert _modes(tmp_path) == {"node.db": 0o600}


async def test_only_new_migrations_run_each_once(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    async with open_database(path, [_ITEMS]) as database:
        await database.transact(_add("old"))
    for _ in range(2):
        script = "ALTER TABLE items ADD COLUMN size INTEGER; UPDATE items SET size = 7;"
        async with open_database(path, [_ITEMS, script]) as database:
            assert await database.transact(_pragma("user_version")) == 2
            assert await database.transact(_names) == ["old"]


async def test_semicolons_in_strings_comments_and_triggers_split_nothing(tmp_path: Path) -> None:
    script = """
        -- First; the table.
        CREATE TABLE items (name TEXT);
        CREATE TRIGGER twice AFTER INSERT ON items WHEN new.name = 'once' BEGIN
            INSERT INTO items VALUES ('twice');
            INSERT INTO items VALUES ('c;d');
        END;
        INSERT INTO items VALUES ('once')  -- without one at its end
    """
    async with open_database(tmp_path / "node.db", [script, "-- nothing; to do"]) as database:
        assert await database.transact(_names) == ["c;d", "once", "twice"]


async def test_a_migration_may_rebuild_a_table_that_others_refer_to(tmp_path: Path) -> None:
    first = "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a (id));"
    path = tmp_path / "node.db"
    async with open_database(path, [first]) as database:
        await database.transact(_execute("INSERT INTO a VALUES (1)"))
        await database.transact(_execute("INSERT INTO b VALUES (1)"))
    second = "CREATE TABLE c (id INTEGER PRIMARY KEY, x); INSERT INTO c (id) SELECT id FROM a;"
    second += "DROP TABLE a; ALTER TABLE c RENAME TO a;"
    async with open_database(path, [first, second]) as database:
        with pytest.raises(sqlite3.IntegrityError):
            await database.transact(_execute("INSERT INTO b VALUES (2)"))


async def test_a_migration_that_fails_leaves_the_file_at_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with pytest.raises(sqlite3.OperationalError):
        async with open_database(path, [_ITEMS, "CREATE TABLE more (x); NONSENSE;"]):
            pass
    async with open_database(path, [_ITEMS, "CREATE TABLE more (x);"]) as database:
        assert await database.transact(_pragma("user_version")) == 2


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    async with open_database(path, [_ITEMS, "CREATE TABLE more (x);"]):
        pass
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match=r"node\.db was written by a newer version.* update"):
        async with open_database(path, [_ITEMS]):
            pass
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"my only copy of the novel\n" * 1000)
    with pytest.raises(Misconfigured, match=r"node\.db cannot be used .*nothing was deleted"):
        async with open_database(path, [_ITEMS]):
            pass
    assert path.read_bytes() == b"my only copy of the novel\n" * 1000


async def test_damage_that_shows_later_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    async with open_database(path, [_ITEMS]) as database:
        for number in range(300):
            await database.transact(_add(f"{number:0100}"))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    async with open_database(path, [_ITEMS]) as database:
        with pytest.raises(Misconfigured, match=r"node\.db cannot be used"):
            await database.transact(_names)


@pytest.mark.parametrize("name", ["missing/node.db", "."])
async def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=str(tmp_path)):
        async with open_database(tmp_path / name, [_ITEMS]):
            pass


async def test_a_file_that_another_process_holds_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopsy_core.kit.database._BUSY_TIMEOUT", 0.01)
    path = tmp_path / "node.db"
    async with open_database(path, [_ITEMS]) as database:
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Busy, match=r"node\.db is held"):
                await database.transact(_add("a"))
        finally:
            other.close()
        await database.transact(_add("a"))


_WRITER = """
import sys, pathlib, trio
from loopsy_core.kit import open_database

async def main():
    async with open_database(pathlib.Path(sys.argv[1]), [sys.argv[2]]) as database:
        for number in range(10**9):
            def add(connection):
                connection.execute("INSERT INTO items VALUES (?)", (f"{number:09}",))
            await database.transact(add)
            print(number, flush=True)

trio.run(main)
"""


async def test_every_acknowledged_row_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with trio.fail_after(60):
        writer = await trio.lowlevel.open_process(
            [sys.executable, "-c", _WRITER, str(path), _ITEMS], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        said = b""
        async with writer.stdout:
            while said.count(b"\n") < 100:
                said += await writer.stdout.receive_some()
            writer.kill()
            await writer.wait()
            async for more in writer.stdout:
                said += more
    # A line may be cut by the kill; one that is whole was said after its commit.
    acknowledged = len(said[: said.rindex(b"\n") + 1].splitlines())
    shutil.copytree(tmp_path, tmp_path / "copy")
    for file in (path, tmp_path / "copy" / "node.db"):
        async with open_database(file, [_ITEMS]) as database:
            names = await database.transact(_names)
            assert await database.transact(_pragma("integrity_check")) == "ok"
        assert len(names) in {acknowledged, acknowledged + 1}
        assert names == [f"{number:09}" for number in range(len(names))]
