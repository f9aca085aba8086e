"""Sessions from the command line, on a real terminal: shell, attach, list, kill, rename, remove."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.world import PATIENCE, holder_of

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

DETACH = b"\x01d"


def test_shell_starts_all_that_is_needed_and_detaches(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell")
    shell.expect(b"started the daemon")
    shell.wait_attached()
    shell.type(b"echo one$((1 + 1))three\r")
    shell.expect(b"one2three")
    shell.type(DETACH)
    assert shell.exit_code() == 0
    assert b"[detached from sh; loopsy attach sh]" in shell.output


def test_attach_shows_the_screen_again_and_goes_on(loopsy: CommandLine) -> None:
    loopsy.session("sh", "-c", "echo seen before; exec cat", name="pet")
    again = loopsy.on_terminal("attach", "pet")
    again.expect(b"seen before")
    again.type(b"more\r")
    again.expect(b"more\r\nmore")
    again.type(b"\x04")
    assert again.exit_code() == 0
    assert b"[pet ended with exit status 0]" in again.output


def test_ctrl_a_twice_sends_one(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal(
        "shell", "--", "sh", "-c", "stty raw -echo; echo up; od -An -tx1 -N2"
    )
    shell.expect(b"up")
    shell.type(b"\x01\x01z")
    shell.expect(b"01 7a")
    assert shell.exit_code() == 0


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("exit 0", 0, b"exit status 0"),
        ("exit 7", 7, b"exit status 7"),
        ("kill -9 $$", 137, rb"signal 9 (SIGKILL)"),
    ],
)
def test_the_programs_exit_code_is_passed_on(
    loopsy: CommandLine, script: str, code: int, said: bytes
) -> None:
    shell = loopsy.on_terminal("shell", "--name", "short", "--", "sh", "-c", script)
    assert shell.exit_code() == code
    assert b"[short ended with " + said + b"]" in shell.output


def test_attaching_to_what_ended_long_ago_is_no_failure(loopsy: CommandLine) -> None:
    assert (
        loopsy.on_terminal("shell", "--name", "gone", "--", "sh", "-c", "exit 9").exit_code() == 9
    )
    again = loopsy.on_terminal("attach", "gone")
    assert again.exit_code() == 0
    assert b"exit status 9" in again.output


def test_a_viewer_that_only_looks_types_nothing(loopsy: CommandLine) -> None:
    loopsy.session("cat", name="pet")
    viewer = loopsy.on_terminal("attach", "pet", "--view")
    viewer.wait_attached()
    viewer.type(b"nothing\r")
    typist = loopsy.on_terminal("attach", "pet")
    typist.wait_attached()
    typist.type(b"something\r")
    viewer.expect(b"something")
    assert b"nothing" not in viewer.output
    for screen in (viewer, typist):
        screen.type(DETACH)
        assert screen.exit_code() == 0


def test_a_restart_of_the_daemon_costs_an_attached_terminal_nothing(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell", "--", "cat")
    shell.wait_attached()
    shell.type(b"before\r")
    shell.expect(b"before\r\nbefore")
    loopsy.say("stop")
    shell.type(b"meanwhile\r")
    loopsy.say("start")
    shell.expect(b"meanwhile\r\nmeanwhile")
    shell.type(b"after\r")
    shell.expect(b"after\r\nafter")
    shell.type(DETACH)
    assert shell.exit_code() == 0
    assert shell.output.count(b"meanwhile") == 2  # the echo and cat's answer, each once


def test_a_new_size_of_the_window_reaches_the_program(loopsy: CommandLine) -> None:
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", script, rows=30, cols=90)
    shell.expect(b"30 90")
    shell.child.setwinsize(20, 70)
    shell.expect(b"20 70")
    shell.type(DETACH)
    assert shell.exit_code() == 0


def test_a_window_without_a_size_counts_as_80_by_24(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", "stty size", rows=0, cols=0)
    assert shell.exit_code() == 0
    assert b"24 80" in shell.output


def test_the_settings_of_the_terminal_are_given_back(loopsy: CommandLine) -> None:
    script = 'stty -g > before; "$0" -m loopsy_cli shell -- true; stty -g > after'
    shell = loopsy.spawn("sh", "-c", script, sys.executable)
    assert shell.exit_code() == 0
    before, after = ((loopsy.folder / name).read_text() for name in ("before", "after"))
    assert before == after != ""


def test_without_a_terminal_shell_and_attach_say_what_they_need(loopsy: CommandLine) -> None:
    for words in (["shell"], ["attach", "x"]):
        assert "terminal" in loopsy.complaint(*words, exit_code=2)


def test_a_program_that_is_not_there_is_named(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell", "--", "no-such-program")
    assert shell.exit_code() == 2
    assert b"no-such-program" in shell.output
    assert b"\x1b" not in shell.output  # the terminal was never touched


def test_a_session_starts_here_and_with_this_environment(loopsy: CommandLine) -> None:
    below = loopsy.folder / "below"
    below.mkdir()
    loopsy.environment["FRUIT"] = "apple"
    script = 'echo "$PWD $FRUIT $TERM"'
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", script)
    assert shell.exit_code() == 0
    assert f"{loopsy.folder} apple xterm-256color".encode() in shell.output
    shell = loopsy.on_terminal("shell", "--cwd", "below", "--", "sh", "-c", script, cols=300)
    assert shell.exit_code() == 0
    assert f"{below} apple".encode() in shell.output


def test_a_session_cannot_show_itself(loopsy: CommandLine) -> None:
    session = loopsy.session("cat", name="pet")
    loopsy.environment["LOOPSY_SESSION"] = session
    shell = loopsy.on_terminal("attach", "pet")
    assert shell.exit_code() == 2
    assert b"cannot show itself" in shell.output


def test_list_shows_what_runs_and_what_has_ended(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "no session runs" in loopsy.say("list")
    assert loopsy.json("list") == []
    loopsy.session("cat", name="pet")
    loopsy.session("cat", name="other")
    loopsy.say("kill", "other")
    title, *rows = loopsy.say("list").splitlines()
    assert title.split() == ["NAME", "ID", "STATE", "AGE", "SIZE", "VIEWERS", "COMMAND"]
    assert [row.split()[0] for row in rows] == ["pet", "other"]
    assert "running" in rows[0]
    assert "signal 1 (SIGHUP)" in rows[1]
    listed = loopsy.json("list")
    assert isinstance(listed, list)
    assert set(listed[0]) == {
        "id", "name", "kind", "alive", "created_at", "cols", "rows", "viewers", "title",
        "exit_code", "argv", "cwd", "lost", "auto_approve", "ended_at", "machine",
    }  # fmt: skip


def test_titles_cannot_write_on_the_terminal(loopsy: CommandLine) -> None:
    loopsy.session("sh", "-c", "printf '\\033]0;a\\033[31m b\\007'; exec cat")
    assert "\x1b" not in loopsy.say("list")


def test_sessions_are_renamed_killed_and_removed(loopsy: CommandLine) -> None:
    session = loopsy.session("cat", name="pet")
    assert "now named dog" in loopsy.say("rename", "pet", "dog")
    assert "still runs" in loopsy.complaint("remove", "dog", exit_code=2)
    assert "dog has ended (signal 1 (SIGHUP))" in loopsy.say("kill", session[:5])
    assert "dog had already ended (signal 1 (SIGHUP))" in loopsy.say("kill", "dog")
    assert loopsy.say("remove", "dog") == "dog is removed\n"
    assert loopsy.json("list") == []


def test_several_sessions_are_removed_at_once_or_all_that_have_ended(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "--ended" in loopsy.complaint("remove", exit_code=2)
    for name in ("a", "b", "c"):
        shell = loopsy.on_terminal("shell", "--name", name, "--", "true")
        assert shell.exit_code() == 0
    loopsy.session("cat", name="pet")
    assert loopsy.json("remove", "a", "b") == {"removed": ["a", "b"]}
    assert loopsy.say("remove", "--ended").count("is removed") == 1
    assert "no session has ended" in loopsy.say("remove", "--ended")
    listed = loopsy.json("list")
    assert isinstance(listed, list)
    assert [session["name"] for session in listed] == ["pet"]


def wait_recorded(loopsy: CommandLine, shown: bytes) -> None:
    """Wait until what a session shows is on disk, which is a little behind."""
    until = time.monotonic() + PATIENCE
    while not any(shown in record.read_bytes() for record in loopsy.home.sessions.glob("????????")):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_session_that_died_with_its_host_is_lost_and_says_why(loopsy: CommandLine) -> None:
    # Not in one piece: its command is on disk before what it shows.
    loopsy.session("sh", "-c", "echo last $0; exec cat", "words", name="pet")
    shell = loopsy.on_terminal("attach", "pet")
    shell.see_text("last words")
    host = holder_of(loopsy.home.host_lock)
    assert host is not None
    wait_recorded(loopsy, b"last words")
    os.kill(host, signal.SIGKILL)
    assert shell.exit_code() == 0
    why = "its session host ended before it"
    assert f"[pet is lost: {why}; loopsy history pet prints ".encode() in shell.output
    assert loopsy.say("history", "pet") == "last words\n"
    _, row, reason = loopsy.say("list").splitlines()
    assert row.split()[:3:2] == ["pet", "lost"]
    assert reason == f"lost: {why}"
    assert f"pet had already ended (lost: {why})" in loopsy.say("kill", "pet")
    loopsy.say("remove", "pet")


def test_names_that_cannot_be_are_wrong_usage(loopsy: CommandLine) -> None:
    loopsy.session("cat", name="pet")
    loopsy.session("cat", name="dog")
    assert "`session`" in loopsy.complaint("kill", "", exit_code=2)
    assert "`name`" in loopsy.complaint("rename", "pet", "y" * 65, exit_code=2)
    said = loopsy.complaint("rename", "pet", "dog", exit_code=2)
    assert "a session is named 'dog' already; rename or remove that one" in said


def test_a_session_that_is_not_there_is_exit_code_5(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "loopsy" in loopsy.complaint("kill", "nobody", exit_code=5)
    loopsy.session("cat")
    for words in (["kill", "nobody"], ["rename", "nobody", "x"], ["remove", "nobody"]):
        assert "'nobody'" in loopsy.complaint(*words, exit_code=5)
    shell = loopsy.on_terminal("attach", "nobody")
    assert shell.exit_code() == 5
    assert b"\x1b" not in shell.output


def test_what_a_session_has_shown_is_printed_also_after_its_end(loopsy: CommandLine) -> None:
    loopsy.say("start")
    script = "i=1; while [ $i -le 200 ]; do echo line $i; i=$((i+1)); done; printf '\\033[31mred'"
    shell = loopsy.on_terminal("shell", "--name", "pet", "--", "sh", "-c", script)
    assert shell.exit_code() == 0
    expected = [*(f"line {number}" for number in range(1, 201)), "red"]
    assert loopsy.say("history", "pet").splitlines() == expected
    assert loopsy.json("history", "pet", "--lines", "2") == {
        "session": "pet",
        "lines": ["line 200", "red"],
    }
    styled = loopsy.say("history", "pet", "--ansi", "--lines", "1")
    assert "red" in styled
    assert styled.rstrip("\n").endswith("\x1b[m")
    assert "number from 1" in loopsy.complaint("history", "pet", "--lines", "0", exit_code=2)
    assert "no session" in loopsy.complaint("history", "nobody", exit_code=5)
