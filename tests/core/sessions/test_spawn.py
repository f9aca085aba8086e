"""Programs start on a terminal of their own, in the right place; what cannot start says why."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy
from loopsy_core.sessions.pty import open_pty
from loopsy_core.sessions.spawn import Program, find_program, spawn_on_terminal
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WHO_AM_I = """
import json, os, signal, sys
print(json.dumps({
    "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgrp(),
    "front": os.tcgetpgrp(os.open("/dev/tty", os.O_RDWR)),
    "ttys": [os.ttyname(0), os.ttyname(1), os.ttyname(2)],
    "size": list(os.get_terminal_size()), "cwd": os.getcwd(), "env": dict(os.environ),
}))
"""


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


async def output_of(
    argv: Sequence[str] | None,
    cwd: str | None = None,
    extra: Mapping[str, str] | None = None,
    size: tuple[int, int] = (80, 24),
) -> bytes:
    """Run a program on a terminal to its end; return all that it printed."""
    program = find_program(argv, cwd, extra or {})
    pty, far = open_pty(*size)
    try:
        with trio.fail_after(PATIENCE):
            try:
                process = await spawn_on_terminal(program, far)
            finally:
                os.close(far)
            try:
                parts = []
                while data := await pty.read():
                    parts.append(data)
                await process.wait()
            finally:
                process.kill()
            return b"".join(parts)
    finally:
        pty.close()


async def asked_who_it_is(
    cwd: str | None = None, extra: Mapping[str, str] | None = None, size: tuple[int, int] = (80, 24)
) -> dict[str, object]:
    said = await output_of([sys.executable, "-I", "-S", "-c", WHO_AM_I], cwd, extra, size)
    answer: dict[str, object] = json.loads(said)
    return answer


async def test_a_program_leads_a_session_of_its_own_and_owns_its_terminal() -> None:
    who = await asked_who_it_is(size=(132, 43))
    assert who["session"] == who["group"] == who["front"] == who["pid"]
    ttys = who["ttys"]
    assert isinstance(ttys, list)
    assert len(set(ttys)) == 1
    assert who["size"] == [132, 43]


async def test_a_program_starts_where_it_should(tmp_path: Path) -> None:
    who = await asked_who_it_is(cwd=str(tmp_path))
    assert who["cwd"] == str(tmp_path)
    env = who["env"]
    assert isinstance(env, dict)
    assert env["PWD"] == str(tmp_path)


@needs_proc
async def test_a_program_inherits_nothing_but_its_terminal() -> None:
    other = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(other, True)
    try:
        listed = (await output_of(["ls", "/proc/self/fd"])).split()
    finally:
        os.close(other)
    assert listed[:3] == [b"0", b"1", b"2"]
    assert len(listed) <= 4  # and the folder that ls itself reads


@needs_proc
async def test_a_program_gets_all_its_signals() -> None:
    said = await output_of(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"])
    assert {line.split(b":")[1].strip(b"\t\r") for line in said.splitlines()} == {b"0" * 16}


async def test_the_environment_is_the_hosts_with_a_terminal_and_without_nesting_guards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TMUX", "TMUX_PANE", "STY", "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.setenv("TERM", "dumb")
    env = find_program(["true"], None, {"MINE": "1", "KEPT": "no"}).env
    assert not {"TMUX", "TMUX_PANE", "STY", "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT"} & set(env)
    assert env["TERM"] == "xterm-256color"
    assert env["COLORTERM"] == "truecolor"
    assert env["MINE"] == "1"
    assert env["KEPT"] == "no"


def test_a_machine_without_a_locale_gets_one_that_knows_unicode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert find_program(["true"], None, {}).env["LANG"] == "C.UTF-8"
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert "LANG" not in find_program(["true"], None, {}).env


def test_without_a_command_it_is_the_login_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    program = find_program(None, None, {})
    assert program.argv == ["/bin/sh", "-l"]
    assert program.name == "sh"


def test_directories_are_taken_from_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_program(["true"], None, {}).cwd == str(tmp_path)
    assert find_program(["true"], "~", {}).cwd == str(tmp_path)
    assert find_program(["true"], "~/work", {}).cwd == str(tmp_path / "work")
    assert find_program(["true"], "work", {}).cwd == str(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    assert find_program(["true"], None, {}).cwd == "/"


def test_a_program_is_searched_on_the_path_it_is_given(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    assert find_program(["tool"], None, {"PATH": str(tmp_path)}).argv == [str(tool)]
    assert find_program(["./tool", "-x"], str(tmp_path), {}).argv == [str(tool), "-x"]


@pytest.mark.parametrize(
    ("argv", "cwd", "extra", "says"),
    [
        (["no-such-program"], None, {}, "'no-such-program' is not to be found"),
        (["/no/such/program"], None, {}, "'/no/such/program' is not to be found"),
        (["/etc/passwd"], None, {}, "'/etc/passwd' may not be executed"),
        (["/"], None, {}, "may not be executed"),
        ([""], None, {}, "the command is empty"),
        (["true", "a\0b"], None, {}, "NUL"),
        (["tr\0ue"], None, {}, "NUL"),
        (["true"], None, {"A": "a\0b"}, "NUL"),
        (["true"], None, {"A\0": "b"}, "NUL"),
        (["true"], None, {"": "b"}, "environment variable"),
        (["true"], None, {"A=B": "b"}, "environment variable"),
        (["true"], "/no/such/folder", {}, "/no/such/folder is not there"),
        (["true"], "/etc/passwd", {}, "/etc/passwd is no directory"),
        (["true"], "/tmp\0", {}, "NUL"),
        (["true"], "/" + "x" * 4000, {}, "the directory"),
        (["true"], "~nobody-of-that-name/x", {}, "is not there"),
    ],
)
def test_what_cannot_be_started_says_why(
    argv: list[str], cwd: str | None, extra: dict[str, str], says: str
) -> None:
    with pytest.raises(BadRequest, match="(?s)" + says.replace("(", r"\(")):
        find_program(argv, cwd, extra)


async def test_a_folder_that_vanished_since_is_an_error_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    program = find_program(["true"], str(folder), {})
    folder.rmdir()
    pty, far = open_pty(80, 24)
    try:
        with pytest.raises(Busy, match="cannot be started"):
            await spawn_on_terminal(program, far)
    finally:
        os.close(far)
        pty.close()


def test_a_program_is_checked_before_anything_is_started() -> None:
    program = Program(["/bin/echo", "hi"], "/", {"A": "1"})
    assert (program.name, program.cwd, program.env) == ("echo", "/", {"A": "1"})
