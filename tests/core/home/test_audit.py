"""The audit log: lines as they come, files by size, and nothing lost but what a full disk costs."""

from __future__ import annotations

import os
import stat
import threading
from itertools import islice
from typing import TYPE_CHECKING

from loopsy_core.home import AuditLog, audit, follow_audit_log, open_audit_log, read_audit_log

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOON = 1_800_000_000.5


def note(log: AuditLog, where: str, **more: str) -> None:
    log.note(
        now=NOON,
        actor="phone pixel",
        op="sessions.end",
        result="ok",
        seconds=0.0125,
        where=where,
        contact="p" * 52,
        **more,
    )


def test_a_line_says_who_asked_what_of_what_and_how_it_went(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with open_audit_log(path) as log:
        note(log, "work", to="kai")
    [line] = read_audit_log(path)
    assert (line.at, line.actor, line.op) == (
        "2027-01-15T08:00:00.500Z",
        "phone pixel",
        "sessions.end",
    )
    assert (line.where, line.to, line.result, line.ms) == ("work", "kai", "ok", 12.5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_full_files_make_room_for_new_ones_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_FILE", 1000)
    path = tmp_path / "audit.jsonl"
    with open_audit_log(path) as log:
        for number in range(100):
            note(log, f"session-{number}")
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["audit.1.jsonl", "audit.2.jsonl", "audit.3.jsonl", "audit.4.jsonl", path.name]
    assert all(file.stat().st_size <= 1000 for file in tmp_path.iterdir())
    kept = [line.where for line in read_audit_log(path)]
    assert kept == [f"session-{number}" for number in range(100 - len(kept), 100)]
    assert len(kept) > 20


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with open_audit_log(path) as log:
        note(log, "before")
        with path.open("ab") as file:
            file.write(b"not json\n\xff\xfe\n[]\n")
        note(log, "after")
    assert [line.where for line in read_audit_log(path)] == ["before", "after"]


def test_a_strangers_name_makes_no_second_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with open_audit_log(path) as log:
        note(log, 'x\n{"actor":"me"}\r\n\0' + "y" * 5000)
    [line] = read_audit_log(path)
    assert line.where is not None
    assert len(line.where) == audit.LONGEST


def test_a_disk_that_takes_nothing_costs_the_line_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "missing" / "audit.jsonl"
    with open_audit_log(path) as log:
        note(log, "lost")
        note(log, "lost too")
        path.parent.mkdir()
        note(log, "kept")
    assert [line.where for line in read_audit_log(path)] == ["kept"]
    assert len(caplog.records) == 1
    caplog.clear()


def test_following_goes_on_with_new_lines_and_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LOOK", 0.01)
    path = tmp_path / "audit.jsonl"
    seen: list[str | None] = []
    with open_audit_log(path) as log:
        note(log, "one")
        follower = follow_audit_log(path)
        seen += [line.where for line in islice(follower, 1)]
        reader = threading.Thread(
            target=lambda: seen.extend(line.where for line in islice(follower, 2))
        )
        reader.start()
        note(log, "two")
        note(log, "three")
        reader.join(10)
    assert seen == ["one", "two", "three"]


def test_half_a_line_that_a_full_disk_took_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    write = os.write
    with open_audit_log(path) as log:
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
        note(log, "half")
        monkeypatch.undo()
        note(log, "after")
    assert [line.where for line in read_audit_log(path)] == ["after"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_following_loses_nothing_of_a_file_that_was_put_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines come between two looks, at the end of one file and the beginning of the next."""
    monkeypatch.setattr(audit, "MAX_FILE", 1000)
    path = tmp_path / "audit.jsonl"
    wrote = 3
    with open_audit_log(path) as log:
        for number in range(wrote):
            note(log, f"session-{number}")

        def look(_: float) -> None:
            nonlocal wrote
            for _ in range(3):
                note(log, f"session-{wrote}")
                wrote += 1

        monkeypatch.setattr(audit.time, "sleep", look)
        seen = [line.where for line in islice(follow_audit_log(path), 60)]
    assert seen == [f"session-{number}" for number in range(60)]
    assert (tmp_path / "audit.3.jsonl").exists()


def test_following_begins_before_there_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    with open_audit_log(path) as log:
        monkeypatch.setattr(audit.time, "sleep", lambda _: note(log, "first"))
        assert next(follow_audit_log(path)).where == "first"
