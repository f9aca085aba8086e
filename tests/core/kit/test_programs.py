"""Programs and directories are found as a shell would find them, or it is said why not."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from loopsy_core.errors import BadRequest, Busy
from loopsy_core.kit import (
    brief,
    cannot_start,
    check_words,
    clip,
    find_directory,
    find_executable,
)
from loopsy_core.wire import encode

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_may_begin_at_the_home_or_be_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    home = str(tmp_path)
    for written in ("~/a", "a", f"{home}/a"):
        assert find_directory(written, home) == f"{home}/a"
    assert find_directory(None, home) == find_directory("~", home) == home
    assert find_directory(None, f"{home}/gone") == "/"


@pytest.mark.parametrize(
    ("written", "says"),
    [("gone", "is not there"), ("file", "is no directory"), ("a\0", "NUL"), ("x" * 300, "used")],
)
def test_a_directory_that_is_none_says_so(tmp_path: Path, written: str, says: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequest, match=says):
        find_directory(written, str(tmp_path))


def test_a_program_is_searched_in_the_path_or_relative_to_the_directory(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.touch(0o700)
    here = str(tmp_path)
    assert find_executable("tool", "/", {"PATH": f"/nowhere:{here}"}) == str(tool)
    assert find_executable("./tool", here, {"PATH": ""}) == str(tool)
    with pytest.raises(BadRequest, match="not to be found"):
        find_executable("tool", here, {"PATH": "/nowhere"})
    tool.chmod(0o600)
    with pytest.raises(BadRequest, match="may not be executed"):
        find_executable("./tool", here, {})
    with pytest.raises(BadRequest, match="is empty"):
        find_executable("", here, {})


@pytest.mark.parametrize(
    ("argv", "env"), [(["a\0"], {}), (["a"], {"A": "\0"}), (["a"], {"": "b"}), (["a"], {"A=": "b"})]
)
def test_what_no_command_line_can_hold_is_refused(argv: list[str], env: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        check_words(argv, env)
    check_words(["a", ""], {"A": "=b"})


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOMEM, Busy), (errno.EMFILE, Busy), (errno.EACCES, BadRequest), (9999, BadRequest)],
)
def test_why_a_program_cannot_start_is_said_in_the_systems_words(
    number: int, kind: type[Exception]
) -> None:
    error = cannot_start("/bin/tool", OSError(number, os.strerror(number)))
    assert type(error) is kind
    assert str(error) == f"tool cannot be started: {os.strerror(number)}"


def test_what_is_shown_of_a_command_is_short_and_can_be_sent() -> None:
    assert brief(["make", "all"]) == ["make", "all"]
    shown = brief(["x" * 200, "y" * 200, "z"])
    assert shown == ["x" * 200, "y" * 54 + "…"]
    assert clip("/a/\udcff") == "/a/\\udcff"
    encode([*shown, clip("/\udcff" * 1000)])
