"""What a session is to run is found and checked first; what is not there says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loopsy_core.errors import BadRequest
from loopsy_core.sessions.program import Program, find_program

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_is_the_hosts_with_a_terminal_and_without_nesting_guards(
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
        (["/" + "x" * 5000], None, {}, "is not to be found"),
        (["/etc/passwd/x"], None, {}, "'/etc/passwd/x' is not to be found"),
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
        (["true"], "/etc/passwd/x", {}, "/etc/passwd/x is not there"),
        (["true"], "~nobody-of-that-name/x", {}, "is not there"),
    ],
)
def test_what_cannot_be_started_says_why(
    argv: list[str], cwd: str | None, extra: dict[str, str], says: str
) -> None:
    with pytest.raises(BadRequest, match="(?s)" + says.replace("(", r"\(")):
        find_program(argv, cwd, extra)


@pytest.mark.parametrize("name", ["/\x1b[2J\r", "/" + "x" * 4000, "/a\nb", "/\u202ex"])
def test_why_it_cannot_be_started_is_one_line_that_moves_nobodys_cursor(name: str) -> None:
    for argv, cwd in (([name], None), (["true"], name)):
        with pytest.raises(BadRequest) as caught:
            find_program(argv, cwd, {})
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 400


def test_a_program_is_checked_before_anything_is_started() -> None:
    program = Program(["/bin/echo", "hi"], "/", {"A": "1"})
    assert (program.name, program.cwd, program.env) == ("echo", "/", {"A": "1"})
