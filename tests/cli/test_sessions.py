"""Sessions from the command line, on a real terminal: shell, attach, list, kill, rename, remove."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, cast

import pytest
from pyghostty import lib
from pyghostty.core import Terminal

from tests.cli.command_line import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.command_line import CommandLine

MODES_OF_PROGRAMS = (1, 5, 9, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1049, 2004)
DETACH = b"\x01d"


def until(holds: Callable[[], bool]) -> None:
    """Ask until it holds; each time a whole command, so it is no busy loop."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline


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


def test_ctrl_a_question_mark_shows_the_keys_and_they_go_away(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", "echo old text; exec cat")
    shell.expect(b"old text")
    shell.type(b"\x01?")
    shell.expect(b"Ctrl-A and D detaches")
    shell.type(b"x")
    shell.wait_attached()
    shell.expect(b"old text")
    shell.expect(b"x")
    shell.type(DETACH)
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


def test_the_screen_is_drawn_anew_when_the_session_takes_our_size_back(
    loopsy: CommandLine,
) -> None:
    first = loopsy.on_terminal("shell", "--name", "pet", "--", "cat")
    first.wait_attached()
    second = loopsy.on_terminal("attach", "pet", rows=30, cols=100)
    second.wait_attached()
    second.type(b"wide\r")
    second.expect(b"wide")
    first.expect(b"wide")
    assert "100x30" in loopsy.say("list")
    first.type(b"narrow\r")
    first.wait_attached()
    first.expect(b"narrow")
    assert "80x24" in loopsy.say("list")


def test_a_window_without_a_size_counts_as_80_by_24(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", "stty size", rows=0, cols=0)
    assert shell.exit_code() == 0
    assert b"24 80" in shell.output


def test_detaching_from_vim_leaves_the_terminal_clean(loopsy: CommandLine) -> None:
    if shutil.which("vim") is None:
        pytest.skip("vim is not installed")
    shell = loopsy.on_terminal("shell", "--", "vim", "-u", "NONE", "-c", "set mouse=a ttymouse=sgr")
    shell.wait_attached()
    shell.expect(rb"\x1b\[\?1049h")
    shell.expect(rb"~")
    shell.type(DETACH)
    assert shell.exit_code() == 0
    assert_clean(shell.output)


def test_the_wildest_program_leaves_the_terminal_clean(loopsy: CommandLine) -> None:
    wild = "".join(rf"\033[?{mode}h" for mode in MODES_OF_PROGRAMS if mode != 69)
    wild += r"\033=\033[>31u\033[3;7r\033[4h\033[1;31m\033[?25l\033[4 q\033(0\033]11;#123456\033\\"
    script = f"printf '{wild}'; printf 'unfinished\\033]0;never ended'; exec cat"
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", script)
    shell.expect(b"never ended")
    shell.type(DETACH)
    assert shell.exit_code() == 0
    assert_clean(shell.output)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_clean(loopsy: CommandLine, number: int) -> None:
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", r"printf '\033[?1003hready'; exec cat")
    shell.expect(b"ready")
    shell.child.kill(number)
    assert shell.exit_code() == 128 + number
    assert_clean(shell.output)


def test_a_lost_daemon_leaves_the_terminal_clean_and_says_so(loopsy: CommandLine) -> None:
    shell = loopsy.on_terminal("shell", "--name", "pet", "--", "cat")
    shell.wait_attached()
    loopsy.say("stop")
    shell.expect(b"The daemon is away")
    shell.type(DETACH)
    assert shell.exit_code() == 0
    assert_clean(shell.output)


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
    assert "signal 1" in rows[1]
    listed = loopsy.json("list")
    assert isinstance(listed, list)
    assert set(listed[0]) == {
        "id", "name", "kind", "alive", "created_at", "cols", "rows", "viewers", "title",
        "exit_code", "argv", "cwd", "lost", "auto_approve", "ended_at",
    }  # fmt: skip


def test_titles_cannot_write_on_the_terminal(loopsy: CommandLine) -> None:
    loopsy.session("sh", "-c", "printf '\\033]0;a\\033[31m b\\007'; exec cat")
    assert "\x1b" not in loopsy.say("list")


def test_sessions_are_renamed_killed_and_removed(loopsy: CommandLine) -> None:
    session = loopsy.session("cat", name="pet")
    assert "now named dog" in loopsy.say("rename", "pet", "dog")
    assert "still runs" in loopsy.complaint("remove", "dog", exit_code=2)
    assert "dog has ended (signal 1 (SIGHUP))" in loopsy.say("kill", session[:5])
    loopsy.say("remove", "dog")
    assert loopsy.json("list") == []


def test_names_that_cannot_be_are_wrong_usage(loopsy: CommandLine) -> None:
    loopsy.session("cat", name="pet")
    loopsy.session("cat", name="dog")
    assert "`session`" in loopsy.complaint("kill", "", exit_code=2)
    assert "`name`" in loopsy.complaint("rename", "pet", "y" * 65, exit_code=2)
    assert "already" in loopsy.complaint("rename", "pet", "dog", exit_code=2)


def test_a_session_that_is_not_there_is_exit_code_5(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "loopsy" in loopsy.complaint("kill", "nobody", exit_code=5)
    loopsy.session("cat")
    for words in (["kill", "nobody"], ["rename", "nobody", "x"], ["remove", "nobody"]):
        assert "'nobody'" in loopsy.complaint(*words, exit_code=5)
    shell = loopsy.on_terminal("attach", "nobody")
    assert shell.exit_code() == 5
    assert b"\x1b" not in shell.output


def assert_clean(output: bytes) -> None:
    """Check that a terminal which showed `output` is as a fresh one, but for its text."""
    terminal = Terminal(80, 24, 1000)
    terminal.feed(output)
    assert [mode for mode in MODES_OF_PROGRAMS if terminal.mode(mode)] == []
    assert terminal.mode(7)
    assert terminal.mode(25)
    assert not terminal.mode(4, ansi=True)
    assert (
        terminal.get("active_screen", "GhosttyTerminalScreen")
        == lib.GHOSTTY_TERMINAL_SCREEN_PRIMARY
    )
    assert terminal.get("kitty_keyboard_flags", "uint8_t") == 0
    assert terminal.get("vt_ground", "bool")
    # Printing goes on below, in plain text, over the whole screen.
    terminal.feed(b"".join(b"\r\nline %d" % number for number in range(30)) + b"\r\nqqq")
    shown = terminal.text().splitlines()
    assert shown[-1] == "qqq"
    assert shown[0] == "line 7"
    x, y = terminal.cursor
    style = terminal.style(x - 1, y)
    assert not style["bold"]
    assert style["fg"] is None


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
    assert styled.rstrip("\n").endswith("\x1b[0m")
    assert "number from 1" in loopsy.complaint("history", "pet", "--lines", "0", exit_code=2)
    assert "no session" in loopsy.complaint("history", "nobody", exit_code=5)


def test_ctrl_a_s_takes_the_size_and_leaving_gives_it_back(loopsy: CommandLine) -> None:
    loopsy.say("start")
    large = loopsy.on_terminal("shell", "--name", "pet", "--", "cat", rows=40, cols=100)
    large.wait_attached()
    small = loopsy.on_terminal("attach", "pet", rows=20, cols=60)
    small.wait_attached()
    large.expect(b"looks too")

    def size() -> tuple[object, object]:
        [session] = cast("list[dict[str, object]]", loopsy.json("list"))
        return session["cols"], session["rows"]

    assert size() == (100, 40)
    small.type(b"\x01s")
    until(lambda: size() == (60, 20))
    small.type(DETACH)
    assert small.exit_code() == 0
    until(lambda: size() == (100, 40))
    large.type(DETACH)
    assert large.exit_code() == 0
