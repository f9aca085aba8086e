"""Notices on the desktop, shown by programs that tell how they were called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.node.notify import LONGEST, notify
from tests.world import eventually

if TYPE_CHECKING:
    from pathlib import Path

SHOW = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done > "$SHOWN.new"
mv "$SHOWN.new" "$SHOWN"
"""


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fake programs write down their arguments, one a line."""
    for name in ("notify-send", "osascript"):
        program = tmp_path / name
        program.write_text(SHOW)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SHOWN", str(tmp_path / "shown"))
    return tmp_path / "shown"


async def words(shown: Path, text: str) -> list[str]:
    notify(text)
    await eventually(shown.exists)
    return (await trio.Path(shown).read_text()).splitlines()


async def test_a_name_is_no_markup(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    said = await words(shown, "<a href='x'>A & B</a>")
    assert said == [
        "--app-name=Loopsy", "--", "Loopsy", "&lt;a href='x'&gt;A &amp; B&lt;/a&gt;",
    ]  # fmt: skip


async def test_a_name_is_no_option(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    said = await words(shown, '-edo shell script "true"')
    assert said[0] == "-e"
    assert said[-1] == 'edo shell script "true"'
    assert [word for word in said[1:] if word.startswith("-")] == []


async def test_a_name_is_no_shells_word(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert (await words(shown, "$(false) `false`; \"'"))[-1] == "$(false) `false`; \"'"


async def test_what_is_not_seen_or_too_long_is_left_out(
    shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    said = await words(shown, "a\x1b[31m\u202eb\n" + "c" * 1000)
    assert said[-1] == ("a[31mb" + "c" * 1000)[:LONGEST]


def test_without_a_desktop_nothing_happens(monkeypatch: pytest.MonkeyPatch, shown: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    notify("hello")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", "/nowhere")
    notify("hello")
    assert not shown.exists()
