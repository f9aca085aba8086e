"""What sessions showed outlives their host, also one that was killed in the middle of its work."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, ClassVar

import pytest
import trio
import trio.testing

from loopsy_core.client import Client, Drawn
from loopsy_core.errors import Gone, NotFound
from loopsy_core.node.watching import UNKNOWN
from loopsy_core.sessions import records as records_file
from loopsy_core.sessions import registry
from loopsy_core.sessions.emulator import open_emulator_process
from loopsy_core.sessions.output import Place
from loopsy_core.sessions.records import Head, Record, Records
from loopsy_core.sessions.session import Session
from loopsy_core.wire import (
    Ended,
    EndSession,
    RemoveSession,
    RenameSession,
    ResizeSession,
    SessionEnded,
    SessionInfo,
    SessionStarted,
    ShowScreen,
)
from tests.core.sessions.emulators import emulators_of
from tests.core.sessions.stage import open_stage
from tests.machine import running_node, temporary_home
from tests.world import PATIENCE, eventually, holder_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from loopsy_core.home import Home
    from loopsy_core.wire import Event


@pytest.fixture
def home() -> Generator[Home]:
    with temporary_home() as home:
        yield home


def record(session_id: str, *, created_at: float = 1.0, alive: bool = True) -> Record:
    info = SessionInfo(
        id=session_id,
        name="pet",
        kind="shell",
        alive=alive,
        created_at=created_at,
        cols=80,
        rows=24,
        viewers=0,
        title="",
        exit_code=None,
        argv=["cat"],
        cwd="/",
    )
    return Record(Head(info, "an epoch", 14, 0), b"what it showed")


async def screen_says(client: Client, session: str, text: str) -> None:
    """Wait until `text` stands on the screen of `session`."""
    while text not in "\n".join((await client.ask(ShowScreen(session=session))).lines):
        pass


async def recorded(home: Home, text: bytes) -> None:
    """Wait until `text` is on disk."""
    records = Records(home.sessions)

    def holds_text() -> bool:
        kept = [records.read(head.info.id) for head in records.take_up()]
        return any(each is not None and text in each.picture for each in kept)

    await eventually(holds_text)


async def test_a_session_whose_host_was_killed_is_lost_with_its_last_screen(home: Home) -> None:
    happened: list[Event] = []
    with trio.fail_after(PATIENCE):
        async with running_node(home) as client, trio.open_nursery() as nursery:

            async def watch() -> None:
                async with client.watch_events() as events:
                    async for event in events:
                        happened.append(event)  # noqa: PERF401 - each is to be seen at once

            nursery.start_soon(watch)
            script = "printf 'all is \\033[31mred'; exec cat"
            session = await client.start(["sh", "-c", script], name="pet")
            await screen_says(client, "pet", "all is red")
            await recorded(home, b"red")
            host = holder_of(home.host_lock)
            assert host is not None
            os.kill(host, signal.SIGKILL)
            # Nobody asks: the node itself misses the host, and starts another.
            await eventually(lambda: any(isinstance(event, SessionEnded) for event in happened))
            assert SessionStarted(session.id, "pet", "shell") in happened
            assert holder_of(home.host_lock) not in (None, host)
            [lost] = await client.sessions()
            assert lost.lost is not None
            assert SessionEnded(session.id, "pet", None, lost.lost) in happened
            async with client.attach("pet", cols=80, rows=24) as (attached, drawn):
                assert isinstance(drawn, Drawn)
                assert b"all is" in drawn.vt
                while not isinstance(shown := await attached.receive(), Ended):
                    pass
                assert shown.exit_code is None
            await client.ask(RemoveSession(session="pet"))
            assert await client.sessions() == []
            assert Records(home.sessions).take_up() == []
            nursery.cancel_scope.cancel()


async def test_a_session_that_its_host_could_not_keep_is_missed_too(home: Home) -> None:
    home.sessions.write_text("in the way")
    happened: list[Event] = []
    with trio.fail_after(PATIENCE):
        async with running_node(home) as client, client.watch_events() as events:
            session = await client.start(["cat"], name="pet")
            host = holder_of(home.host_lock)
            assert host is not None
            async for event in events:
                happened.append(event)
                if isinstance(event, SessionStarted):
                    os.kill(host, signal.SIGKILL)
                if isinstance(event, SessionEnded):
                    break
    assert happened[-1] == SessionEnded(session.id, "pet", None, UNKNOWN)


async def test_how_programs_ended_is_kept_when_the_host_is_told_to_leave(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as client:
            script = "trap 'echo last words; exit 7' HUP; echo ready; while :; do sleep 0.01; done"
            await client.start(["sh", "-c", script], name="pet")
            await screen_says(client, "pet", "ready")
            host = holder_of(home.host_lock)
            assert host is not None
            while holder_of(home.host_lock) == host:  # a second signal does not hurry it
                os.kill(host, signal.SIGTERM)
                await trio.sleep(0.005)
            [ended] = await client.sessions()
            assert (ended.alive, ended.exit_code, ended.lost) == (False, 7, None)
            await screen_says(client, "pet", "last words")


async def test_how_programs_ended_is_kept_although_their_screens_cannot_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LAST_PICTURES", 0.2)
    folder = tmp_path / "sessions"
    async with open_stage(folder=folder, start_emulator=open_emulator_process) as stage:
        session = await stage.start("sh", "-c", "echo kept; exec cat")
        feeder = stage.sessions.find(session.id).feeder
        await eventually(lambda: feeder.kept == Place(6))
        [pid] = emulators_of(os.getpid())
        os.kill(pid, signal.SIGSTOP)
        await stage.client.ask(RenameSession(session=session.id, name="pet"))
    kept = Records(folder).read(session.id)
    assert kept is not None
    assert (kept.head.info.name, kept.head.info.alive) == ("pet", False)
    assert b"kept" in kept.picture


async def test_a_record_that_was_about_to_be_written_is_not_taken_for_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LAST_PICTURES", 0.2)
    folder = tmp_path / "sessions"
    with trio.CancelScope() as holding:
        async with trio.open_nursery() as nursery:
            async with open_stage(folder=folder) as stage:
                session = await stage.start("sh", "-c", "echo kept; exec cat")
                kept = stage.sessions.find(session.id)
                await eventually(lambda: kept.feeder.kept == Place(6))

                async def hold(*, task_status: trio.TaskStatus[None]) -> None:
                    async with kept.writing:
                        task_status.started()
                        await trio.sleep_forever()

                await nursery.start(hold)
                await stage.client.ask(EndSession(session=session.id))
                await eventually(lambda: not kept.alive and not kept.unrecorded)
            record = Records(folder).read(session.id)
            assert record is not None
            assert not record.head.info.alive
            holding.cancel()


async def test_who_has_a_session_removed_finds_nothing_of_it_on_disk_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sessions"
    written = threading.Event()

    class Slow(Records):
        def write(self, record: Record) -> bool:
            trio.from_thread.run_sync(writing.set)
            assert written.wait(PATIENCE)
            return super().write(record)

    monkeypatch.setattr(registry, "Records", Slow)
    writing = trio.Event()
    async with open_stage(folder=folder) as stage, trio.open_nursery() as nursery:
        session = await stage.start("true")
        await stage.until(session, lambda now: not now.alive)
        await writing.wait()

        async def remove() -> None:
            await stage.client.ask(RemoveSession(session=session.id))
            assert written.is_set()
            assert not Records(folder).any()

        nursery.start_soon(remove)
        await eventually(lambda: not stage.sessions.list().sessions)
        await trio.testing.wait_all_tasks_blocked(0.01)
        written.set()


async def test_a_session_that_is_removed_while_it_is_drawn_is_not_written_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sessions"
    drawn, removed = trio.Event(), trio.Event()
    written: list[str] = []
    draw = Session.record

    async def draw_slowly(session: Session) -> Record:
        record = await draw(session)
        drawn.set()
        await removed.wait()
        return record

    class Noting(Records):
        def write(self, record: Record) -> bool:
            written.append(record.head.info.id)
            return super().write(record)

    monkeypatch.setattr(Session, "record", draw_slowly)
    monkeypatch.setattr(registry, "Records", Noting)
    async with open_stage(folder=folder) as stage:
        session = await stage.start("true")
        await stage.until(session, lambda now: not now.alive)
        await drawn.wait()
        await stage.client.ask(RemoveSession(session=session.id))
        removed.set()
    assert not written
    assert not Records(folder).any()


async def test_an_ended_session_needs_no_emulator_until_somebody_looks(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    async with open_stage(folder=folder) as stage:
        session = await stage.start("sh", "-c", "echo the end")
        await stage.until(session, lambda now: not now.alive)
        feeder = stage.sessions.find(session.id).feeder
        await eventually(lambda: not feeder.fed)
        for _ in range(2):
            shown = await stage.client.ask(ShowScreen(session=session.id))
            assert shown.lines[0] == "the end"
            await eventually(lambda: not feeder.fed)
        await stage.client.ask(ResizeSession(session=session.id, cols=3, rows=10))
        shown = await stage.client.ask(ShowScreen(session=session.id))
        assert shown.lines[:3] == ["the", " en", "d"]
        await eventually(lambda: not feeder.fed)
    async with open_stage(folder=folder) as stage:  # the next host
        shown = await stage.client.ask(ShowScreen(session=session.id))
        assert shown.lines[:3] == ["the", " en", "d"]


async def test_how_a_session_ended_is_known_after_its_host_has_left(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as client:
            await client.start(["sh", "-c", "echo bye; exit 3"], name="pet")
            while (await client.sessions())[0].alive:
                pass
            host = holder_of(home.host_lock)
            assert host is not None
        await eventually(lambda: holder_of(home.host_lock) is None)
        async with running_node(home) as client:
            [ended] = await client.sessions()
            assert (ended.alive, ended.exit_code, ended.lost) == (False, 3, None)
            assert ended.ended_at is not None
            await screen_says(client, "pet", "bye")


async def test_no_host_is_started_only_to_say_how_the_node_is(home: Home) -> None:
    Records(home.sessions).write(record("0123abcd"))
    with trio.fail_after(PATIENCE):
        async with running_node(home) as client:
            assert (await client.status()).sessions == 0
            assert holder_of(home.host_lock) is None
            [found] = await client.sessions()
            assert found.id == "0123abcd"
            with pytest.raises((NotFound, Gone)):
                await client.end_session("nobody")


def test_what_is_no_record_is_passed_over_and_left_alone(tmp_path: Path) -> None:
    records = Records(tmp_path / "sessions")
    assert records.take_up() == []
    assert not records.any()
    records.write(record("00000002", created_at=2.0))
    records.write(record("00000001", created_at=1.0))
    whole = (tmp_path / "sessions" / "00000001").read_bytes()
    for name, content in {
        "0000000a": b"",
        "0000000b": whole[:40],
        "0000000c": whole,  # another session's
        "0000000d": b"\xc1" * 100,
        "notes.txt": b"mine",
        ".00000001.tmp": whole,
    }.items():
        (tmp_path / "sessions" / name).write_bytes(content)
    (tmp_path / "sessions" / "0000000e").mkdir()
    assert [head.info.id for head in records.take_up()] == ["00000001", "00000002"]
    assert (tmp_path / "sessions" / "0000000d").exists()
    assert (tmp_path / "sessions").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "sessions" / "00000001").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("limit", "most"), [("MOST", 3), ("MOST_BYTES", 3 * 210)])
def test_of_too_many_records_the_oldest_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(records_file, limit, most)
    records = Records(tmp_path / "sessions")
    for number in range(5):
        records.write(record(f"0000000{number}", created_at=float(number)))
        size = (tmp_path / "sessions" / f"0000000{number}").stat().st_size
        assert 160 < size <= 210
    newest = ["00000002", "00000003", "00000004"]
    assert [head.info.id for head in records.take_up()] == newest
    assert sorted(path.name for path in (tmp_path / "sessions").iterdir()) == newest


def test_a_picture_that_is_too_large_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_file, "LARGEST", 10)
    records = Records(tmp_path / "sessions")
    assert records.write(record("00000001"))
    kept = records.read("00000001")
    assert kept is not None
    assert kept.picture == b""


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("in the way")
    records = Records(tmp_path / "sessions")
    records.write(record("00000001"))
    records.remove("00000001")
    assert records.take_up() == []


class Full(Records):
    """Records on a disk that is full for the first `failures` times."""

    failures = 0
    tries: ClassVar[list[float]] = []

    def write(self, record: Record) -> bool:
        """Write, or not; and note when it was tried."""
        self.tries.append(time.monotonic())
        if len(self.tries) <= self.failures:
            return False
        return super().write(record)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> type[Full]:
    monkeypatch.setattr(registry, "Records", Full)
    monkeypatch.setattr(registry, "RECORD_EVERY", 0.02)
    monkeypatch.setattr(registry, "RECORD_SHARE", 0)
    monkeypatch.setattr(Full, "tries", [])
    return Full


async def test_a_record_that_could_not_be_written_is_written_later_without_new_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: type[Full]
) -> None:
    monkeypatch.setattr(full, "failures", 4)
    async with open_stage(folder=tmp_path / "sessions") as stage:
        session = await stage.start("cat", name="pet")
        await eventually(lambda: Records(tmp_path / "sessions").any())
        assert len(full.tries) == 5
        assert not stage.sessions.find(session.id).unrecorded


async def test_a_full_disk_is_tried_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: type[Full]
) -> None:
    monkeypatch.setattr(full, "failures", 100)
    monkeypatch.setattr(registry, "LONGEST_PAUSE", 0.3)
    async with open_stage(folder=tmp_path / "sessions") as stage:
        session = await stage.start("cat", name="pet")
        await eventually(lambda: len(full.tries) == 7)
        pauses = [after - before for before, after in itertools.pairwise(full.tries)]
        least = [0.04, 0.08, 0.16, 0.3, 0.3, 0.3]
        assert all(pause > at_least for pause, at_least in zip(pauses, least, strict=True)), pauses
        kept = stage.sessions.find(session.id)
        await eventually(lambda: kept.unrecorded)  # while it is tried it is held to succeed
