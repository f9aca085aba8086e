"""`send`, `pull` and `ls` as a user has them: processes, a real daemon, pipes and terminals."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, cast

import pytest

from loopsy_cli.show import size
from tests.world import holder_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command_line import CommandLine

LARGE = 150_000_000


@pytest.fixture
def running(loopsy: CommandLine) -> CommandLine:
    """A command line whose daemon runs, and a folder `out` in the home directory."""
    loopsy.say("start")
    (loopsy.folder / "out").mkdir()
    return loopsy


def fill(path: Path, count: int) -> None:
    with path.open("wb") as file:
        file.write(os.urandom(1_000_000))
        file.truncate(count)


def test_a_folder_is_sent_listed_and_fetched(running: CommandLine) -> None:
    source = running.folder / "in"
    source.mkdir()
    (source / "a").write_bytes(b"hello")
    (source / "program").write_bytes(b"x" * 2000)
    (source / "program").chmod(0o755)
    (source / os.fsdecode(b"\xff")).write_bytes(b"")
    assert running.say("send", "local", "in", "out") == "sent to local: 3 files, 2.0KB, verified\n"
    shown = running.say("ls", "local", "out/in").splitlines()
    assert [line.split()[-1] for line in shown] == ["NAME", "a", "program", "\\xff"]
    assert shown[2].startswith("-rwxr-xr-x  2.0K  ")
    moved = running.json("pull", "local", "out/in", "back")
    assert moved == {"files": 3, "bytes": 2005, "skipped": []}
    assert (running.folder / "back" / "a").read_bytes() == b"hello"
    listed = cast("list[dict[str, object]]", running.json("ls", "local", "out/in"))
    assert [entry["name"] for entry in listed] == ["a", "program", "\\xff"]
    assert set(listed[0]) == {"name", "kind", "size", "mode", "mtime", "target"}
    assert (listed[1]["kind"], listed[1]["size"], listed[1]["mode"]) == ("file", 2000, "0755")


def test_this_machine_goes_by_its_own_name_too(running: CommandLine) -> None:
    (running.folder / "a").write_bytes(b"hello")
    name = cast("dict[str, str]", running.json("status"))["name"]
    assert running.say("send", name, "a", "out").startswith(f"sent to {name}: 1 file, 5B")
    assert "there is no machine 'nobody'" in running.complaint("ls", "nobody", exit_code=5)


def test_what_cannot_be_sent_is_told_and_is_exit_code_1(running: CommandLine) -> None:
    source = running.folder / "in"
    source.mkdir()
    (source / "a").write_bytes(b"hello")
    os.mkfifo(source / "pipe")
    done = running.run("send", "local", "in", "out", exit_code=1)
    assert "in/pipe is a named pipe, not a file" in done.stderr
    assert "1 file" in done.stdout
    [skipped] = cast(
        "dict[str, list[dict[str, str]]]", running.json("pull", "local", "in", "x", exit_code=1)
    )["skipped"]
    assert (skipped["path"], skipped["code"]) == ("in/pipe", "bad_request")


@pytest.mark.parametrize(
    ("words", "exit_code", "complaint"),
    [
        (("send", "local", "none", "out"), 5, "there is no file or folder"),
        (("pull", "local", "none", "."), 5, "there is no file or folder"),
        (("ls", "local", "none"), 5, "there is no file or folder"),
        (("send", "local", "a", "none/"), 5, "there is no folder"),
        (("send", "local", "a", "home"), 4, "is denied here"),
        (("ls", "local", "home"), 4, "is denied here"),
        (("pull", "local", "home/identity.key", "."), 4, "is denied here"),
        (("send", "local", "a"), 2, "write loopsy send peer src... dest"),
        (("pull", "local"), 2, "write loopsy pull peer src... dest"),
        (("send",), 2, "peer"),
    ],
)
def test_what_is_wrong_is_one_line(
    shared: CommandLine, words: tuple[str, ...], exit_code: int, complaint: str
) -> None:
    (shared.folder / "a").write_bytes(b"hello")
    (shared.folder / "out").mkdir(exist_ok=True)
    assert complaint in shared.complaint(*words, exit_code=exit_code).lower()


def test_without_a_daemon_it_says_so(loopsy: CommandLine) -> None:
    (loopsy.folder / "a").write_bytes(b"hello")
    assert "no daemon runs" in loopsy.complaint("send", "local", "a", "b", exit_code=3)


def test_a_terminal_shows_how_far_it_is_and_a_pipe_does_not(running: CommandLine) -> None:
    fill(running.folder / "large", LARGE)
    screen = running.on_terminal("send", "local", "large", "out")
    screen.expect(rb"large +\d+%  [\d.]+[KM]?B of 143MB")
    assert screen.exit_code() == 0
    assert screen.output.endswith(b"\r\x1b[Ksent to local: 1 file, 143MB, verified\r\n")
    done = running.run("send", "local", "large", "out")
    assert (done.stdout, done.stderr) == ("sent to local: 1 file, 143MB, verified\n", "")


@pytest.mark.parametrize(
    "words", [("send", "local", "large", "out"), ("pull", "local", "large", "out")]
)
def test_it_goes_on_by_itself_when_the_daemon_is_killed(
    running: CommandLine, words: tuple[str, ...]
) -> None:
    fill(running.folder / "large", LARGE)
    screen = running.on_terminal(*words)
    screen.expect(rb"%")
    pid = holder_of(running.home.node_lock)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    running.say("start")
    assert screen.exit_code() == 0, screen.output
    out = running.folder / "out"
    assert (out / "large").read_bytes() == (running.folder / "large").read_bytes()
    assert [each.name for each in out.iterdir()] == ["large"]


def test_ctrl_c_leaves_a_part_and_the_same_command_goes_on(running: CommandLine) -> None:
    fill(running.folder / "large", LARGE)
    screen = running.on_terminal("send", "local", "large", "out")
    screen.expect(rb"%")
    screen.type(b"\x03")
    screen.expect(rb"interrupted; the same command again goes on")
    assert screen.exit_code() == 130
    [part] = (running.folder / "out").iterdir()
    assert part.name.endswith(".part")
    running.say("send", "local", "large", "out")
    assert (running.folder / "out" / "large").read_bytes() == (
        running.folder / "large"
    ).read_bytes()
    assert not part.exists()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0K"), (1536, "1.5K"), (10_240, "10K"), (2**20, "1.0M"),
     (1_022_976, "999K"), (5 * 2**30, "5.0G"), (3 * 2**50, "3072T")],
)  # fmt: skip
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text
