"""Several terminals that show one session: one owns the size, the others see what it sees."""

from __future__ import annotations

import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, cast

import pytest
import trio

from loopsy_core.client import Viewing, open_client
from tests.cli.command_line import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.command_line import CommandLine, Screen

DETACH = b"\x01d"
ANEW: Final = b"\x1b[H\x1b[2J"
"""Begins a picture whose session passes through afterwards."""
SIZE: Final = (20, 60)

FULL_SCREEN: Final = r"""
draw() {
    set -- $(stty size)
    printf '\033[2J\033[1;1Htop left\033[%d;%dHbottom right' $1 $(($2 - 11))
}
trap draw WINCH
draw
while :; do sleep 0.05; done
"""


def until(holds: Callable[[], bool]) -> None:
    """Ask until it holds; each time a whole command, so it is no busy loop."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline


def size_of(loopsy: CommandLine) -> tuple[object, object]:
    [session] = cast("list[dict[str, object]]", loopsy.json("list"))
    return session["rows"], session["cols"]


def two(
    loopsy: CommandLine,
    *program: str,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    started: str = "",
) -> tuple[Screen, Screen]:
    """Return a terminal that has started a session, and another one that shows it too.

    The other one comes when the first shows `started`.
    """
    (rows, cols), (other_rows, other_cols) = sizes
    loopsy.say("start")
    owner = loopsy.on_terminal("shell", "--name", "pet", "--", *program, rows=rows, cols=cols)
    owner.wait_attached()
    owner.see_text(started)
    other = loopsy.on_terminal("attach", "pet", rows=other_rows, cols=other_cols)
    other.see_text("takes the size")
    # Nobody has looked at the owner's terminal meanwhile, and it says so for a moment only.
    owner.see(lambda _: b"looks too" in owner.output)
    return owner, other


def leave(*screens: Screen) -> None:
    for screen in screens:
        screen.type(DETACH)
        assert screen.exit_code() == 0


def gone(screen: Screen, text: str) -> None:
    """Wait until `text` is on the screen no more."""
    screen.see(lambda lines: not any(text in line for line in lines))


def test_a_larger_terminal_shows_the_owners_screen_within_a_border(loopsy: CommandLine) -> None:
    owner, other = two(loopsy, "sh", "-c", FULL_SCREEN, sizes=(SIZE, (24, 80)))
    gone(other, "takes the size")
    gone(owner, "looks too")
    lines = other.lines
    assert lines[0] == "top left".ljust(60) + "│"
    assert lines[19] == "bottom right".rjust(60) + "│"
    assert lines[20] == "─" * 60 + "┘"
    assert not "".join(lines[21:]).strip()
    owner.resize(10, 50)
    other.see(lambda lines: lines[9] == "bottom right".rjust(50) + "│")
    assert size_of(loopsy) == (10, 50)
    leave(owner, other)


def test_a_smaller_terminal_shows_the_part_with_the_cursor_and_can_be_panned(
    loopsy: CommandLine,
) -> None:
    owner, other = two(loopsy, "sh", "-c", FULL_SCREEN, sizes=((24, 80), (10, 30)))
    other.see_text("bottom right")
    gone(other, "takes the size")
    assert not any("top left" in line for line in other.lines)
    for _ in range(6):
        other.type(b"\x01\x1b[A\x01\x1bOD")
    other.see(lambda lines: lines[0].startswith("top left"))
    assert size_of(loopsy) == (24, 80)  # whoever looks around has not typed
    leave(owner, other)


def test_dragging_the_owners_window_leaves_the_right_screen_everywhere(
    loopsy: CommandLine,
) -> None:
    owner, other = two(loopsy, "sh", "-c", FULL_SCREEN, sizes=((24, 80), (30, 40)))
    for step in range(20):
        owner.resize(24 - step % 7, 80 - 2 * step)
    owner.resize(18, 44)
    owner.see(lambda lines: lines[17] == "bottom right".rjust(44) and lines[0] == "top left")
    other.see(lambda lines: lines[17][-12:] == "bottom right")
    assert other.lines[18] == "─" * 40
    assert [line for line in owner.lines if line.strip()] == [
        "top left",
        "bottom right".rjust(44),
    ]
    leave(owner, other)


def test_output_passes_through_as_soon_as_the_sizes_agree(loopsy: CommandLine) -> None:
    program = r"while read line; do printf '\033]7777;%s\007%s\n' $line $line; done"
    owner, other = two(loopsy, "sh", "-c", program, sizes=(SIZE, (24, 80)))
    owner.type(b"one\r")
    other.see_text("one")
    assert b"7777;one" not in other.output  # what is drawn is what can be seen
    owner.resize(24, 80)
    other.wait_attached()
    owner.type(b"two\r")
    other.expect(rb"\x1b\]7777;two\x07")
    leave(owner, other)


def test_whoever_types_or_asks_has_the_size_and_it_goes_back_when_they_leave(
    loopsy: CommandLine,
) -> None:
    large, small = two(loopsy, "cat", sizes=((40, 100), SIZE))
    assert size_of(loopsy) == (40, 100)
    small.type(b"\x01s")
    until(lambda: size_of(loopsy) == SIZE)
    large.see_text("takes the size: it is 60x20 now")
    small.wait_attached()
    large.type(b"typed\r")
    until(lambda: size_of(loopsy) == (40, 100))
    small.see_text("takes the size: it is 100x40 now")
    small.see_text("typed")
    small.type(b"\x01s")
    until(lambda: size_of(loopsy) == SIZE)
    leave(small)
    large.see_text("has left")
    until(lambda: size_of(loopsy) == (40, 100))
    gone(large, "has left")
    large.see_text("typed")
    leave(large)


def test_the_name_of_whose_size_it_is_is_told(loopsy: CommandLine) -> None:
    owner, other = two(loopsy, "cat", sizes=(SIZE, (24, 80)))
    [line] = [line for line in other.lines if "takes the size" in line]
    assert re.search(r"it is 60x20 now, from pts/\d+ *$", line)
    leave(other)
    owner.see(lambda lines: re.search(r" pts/\d+ has left", "\n".join(lines)))
    leave(owner)


def test_whoever_only_looks_is_not_told_of_keys_that_do_nothing(loopsy: CommandLine) -> None:
    loopsy.session("cat", name="pet")
    other = loopsy.on_terminal("attach", "pet", "--view", rows=30, cols=100)
    other.see_text("it is 80x24 now")
    assert not any("takes the size" in line for line in other.lines)
    leave(other)


def test_what_is_said_of_others_goes_away_without_a_trace(loopsy: CommandLine) -> None:
    program = (
        r"i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done;"
        r" printf '\033[31m\033[5;10Hred'; exec cat"
    )
    loopsy.say("start")
    owner = loopsy.on_terminal("shell", "--name", "pet", "--", "sh", "-c", program)
    owner.see_text("red")
    before, cursor = owner.lines, owner.terminal.cursor
    above = owner.terminal.contents()
    assert above.count("line 7\n") == 1
    other = loopsy.on_terminal("attach", "pet")
    owner.see_text("looks too")
    gone(owner, "looks too")
    assert (owner.lines, owner.terminal.cursor) == (before, cursor)
    assert owner.terminal.style(10, 4)["fg"] == ("palette", 1)
    assert owner.terminal.contents() == above  # also what can be scrolled back to
    other.wait_attached()
    leave(owner, other)


@pytest.mark.parametrize("key", [b"q", b"\x1b[A", b"\r", "é".encode(), b"\x1b"])
def test_the_help_shows_all_keys_until_any_key_is_pressed(loopsy: CommandLine, key: bytes) -> None:
    loopsy.say("start")
    program = "stty raw -echo; printf ready; dd bs=1 count=3 2>/dev/null | od -An -tx1"
    shell = loopsy.on_terminal("shell", "--", "sh", "-c", program)
    shell.see_text("ready")
    shell.type(b"\x01?")
    help_text = "\n".join(shell.see_text("any key closes it"))
    for keys in ("Ctrl-A D", "Ctrl-A S", "Ctrl-A arrows", "Ctrl-A Ctrl-A", "Ctrl-A ?"):
        assert keys in help_text
    shell.type(key)
    gone(shell, "any key closes it")
    shell.see_text("ready")
    shell.type(b"end")
    shell.expect(b"65 6e 64")
    assert shell.exit_code() == 0


def test_vim_is_the_same_for_everybody_whatever_their_size(loopsy: CommandLine) -> None:
    if shutil.which("vim") is None:
        pytest.skip("vim is not installed")
    text = "".join(f"line {n} of a file\n" for n in range(100))
    (loopsy.folder / "file.txt").write_text(text)
    settings = "set nocp mouse=a ttymouse=sgr ruler"
    vim = ("vim", "-u", "NONE", "-c", settings, "file.txt")
    # Vim that still starts draws over what is said of others.
    owner, other = two(loopsy, *vim, sizes=((24, 80), (30, 100)), started="1,1 ")
    gone(other, "takes the size")
    gone(owner, "looks too")
    owner.type(b"50Gzt")
    for screen in (owner, other):
        screen.see(lambda lines: lines[0].startswith("line 49 ") and "50,1" in lines[23])
    assert [line.rstrip() for line in owner.lines] == [
        line[:80].rstrip() for line in other.lines[:24]
    ]
    assert other.terminal.cursor == owner.terminal.cursor
    # A click is typing; where it lands is where it was seen.
    other.type(b"\x1b[<0;5;3M\x1b[<0;5;3m")
    other.see_text("52,5 ")
    assert size_of(loopsy) == (30, 100)
    leave(owner, other)


async def test_while_nobodys_terminal_sees_a_question_the_host_answers_it(
    loopsy: CommandLine,
) -> None:
    program = (
        r"stty raw -echo; dd bs=1 count=1 2>/dev/null; printf '\033[6n';"
        r" dd bs=1 count=6 2>/dev/null | od -An -c; exec cat"
    )
    await trio.to_thread.run_sync(lambda: loopsy.session("sh", "-c", program, name="pet"))
    with trio.fail_after(PATIENCE):
        async with open_client(loopsy.home) as client:
            viewing = Viewing("pet", name="phone")
            async with client.attach(viewing, cols=50, rows=20) as (attached, _):
                await attached.claim_size(50, 20)
                other = await trio.to_thread.run_sync(lambda: loopsy.on_terminal("attach", "pet"))
                await trio.to_thread.run_sync(lambda: other.see_text("from phone"))
                await attached.type(b"x")
                await trio.to_thread.run_sync(lambda: other.see_text("033   [   1   ;   2   R"))
                await trio.to_thread.run_sync(lambda: leave(other))


COUNTS: Final = r"""
import os, select, sys, tty
tty.setraw(0)
print("ready", end="\r\n", flush=True)
while (key := os.read(0, 1)) != b"q":
    os.write(1, b"\x1b[2;7H\x1b[c\x1b[6n\x1b[1;5H\x1b[6n\x1b]4;1;?\x1b\\\x1b[?2004$p\x1b[3;1H")
    said = b""
    while select.select([0], [], [], 1)[0]:
        said += os.read(0, 4096)
    ends = (b";22c", b"[2;7R", b"[1;5R", b"]4;1;", b"$y")
    counts = [said.count(end) for end in ends]
    print("key", key.decode(), "answers", counts, said.count(b"\x1b["), end="\r\n", flush=True)
"""
"""For each key asks five things of the terminal, two of which look like keys when answered, and
counts the answers."""


def test_two_terminals_of_one_size_answer_a_program_once(loopsy: CommandLine) -> None:
    loopsy.say("start")
    program = (sys.executable, "-c", COUNTS)
    owner = loopsy.on_terminal("shell", "--name", "pet", "--", *program)
    owner.see_text("ready")
    other = loopsy.on_terminal("attach", "pet")
    other.see_text("ready")
    # Until what was said of the other is gone again, the host answers and proves nothing.
    owner.see_text("looks too")
    owner.see(lambda _: owner.output.rfind(ANEW) > owner.output.rfind(b"looks too"))
    for key, typist, onlooker in ((b"1", owner, other), (b"2", other, owner)):
        typist.type(key)
        # Terminals answer while they are read, and both are to have the chance.
        with ThreadPoolExecutor() as readers:
            seen = [
                readers.submit(screen.see_text, f"key {key.decode()} answers")
                for screen in (typist, onlooker)
            ]
        for lines in (each.result() for each in seen):
            [line] = [line for line in lines if f"key {key.decode()}" in line]
            assert line.split("answers ")[1].rstrip() == "[1, 1, 1, 1, 1] 4", (key, line)
    leave(owner, other)


async def test_the_host_answers_for_a_phone_and_a_terminal_that_looks_on_does_not(
    loopsy: CommandLine,
) -> None:
    program = (sys.executable, "-c", COUNTS)
    await trio.to_thread.run_sync(lambda: loopsy.session(*program, name="pet"))
    with trio.fail_after(PATIENCE):
        async with open_client(loopsy.home) as client:
            viewing = Viewing("pet", name="phone")
            async with client.attach(viewing, cols=80, rows=24) as (attached, _):
                await attached.claim_size(80, 24)
                other = await trio.to_thread.run_sync(lambda: loopsy.on_terminal("attach", "pet"))
                await trio.to_thread.run_sync(lambda: other.see_text("ready"))
                await attached.type(b"1")
                lines = await trio.to_thread.run_sync(lambda: other.see_text("answers"))
                [line] = [line for line in lines if "answers" in line]
                assert line.split("answers ")[1].rstrip() == "[1, 1, 1, 1, 1] 4"
                await trio.to_thread.run_sync(lambda: leave(other))
