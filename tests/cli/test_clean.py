"""However showing a session ends, the user's terminal is as it was before."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest
from pyghostty import ffi, lib
from pyghostty.core import init_sized

from tests.cli.command_line import PATIENCE, SCREEN
from tests.world import holder_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyghostty.core import Terminal

    from tests.cli.command_line import CommandLine, Screen

DETACH = b"\x01d"
USERS_OWN: Final = (
    b"\x1b]0;my own title\x1b\\\x1b]11;#445566\x1b\\\x1b]10;#eeddcc\x1b\\\x1b]4;1;#112233\x1b\\"
)
COLOURS: Final = r"\e]11;#200020\e\\\e]4;1;#ffffff;9;#000000\x07\e]12;#aa0000\x07\e[5 q"
MODES: Final = r"\e[>1u\e[?1004h\e[?2004h\e[?1h\e="
VIM: Final = (
    "vim", "-u", "NONE",
    "-c", "set nocp mouse=a ttymouse=sgr title titlestring=edited",
    "-c", rf'map X :call echoraw("{COLOURS}{MODES}")<CR>',
    "file.txt",
)  # fmt: skip
OFF_AT_FIRST: Final = (
    1, 5, 6, 9, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1049, 2004, 2026, 2048
)  # fmt: skip
SMALLER: Final = (12, 40)
LARGER: Final = (40, 120)
INSIDE: Final = """
stty -g > before
sh -c 'echo $$ > pid; exec "$0" -c "
import loopsy_cli.following, loopsy_cli.main, sys
loopsy_cli.following.PATIENCE = 1.5
sys.argv = [\\"loopsy\\", \\"attach\\", \\"pet\\"]
sys.exit(loopsy_cli.main.main())
"' "$0"
echo "left with $?"
stty -g > after
exec cat
"""
_EXTRAS: Final = ("modes", "scrolling_region", "tabstops", "keyboard")
_SCREEN: Final = ("style", "hyperlink", "protection", "kitty_keyboard", "charsets")


class Outer:
    """A shell on a terminal with a title and colours of its user's own, and `attach` in it."""

    def __init__(self, loopsy: CommandLine, rows: int, cols: int) -> None:
        self.loopsy = loopsy
        self.screen = loopsy.spawn("sh", "-c", INSIDE, sys.executable, rows=rows, cols=cols)
        self.screen.write(USERS_OWN)
        self.before = state(self.screen.terminal)

    def see_vim(self, typist: Screen) -> None:
        """See vim, and have it change what it can when `typist` types a letter."""
        terminal = self.screen.terminal
        self.screen.see_text("of a file")
        self.screen.see(lambda _: terminal.mode(1049) and terminal.mode(1006))
        typist.type(b"X")
        self.screen.see(lambda _: colour(terminal, "BACKGROUND") == (0x20, 0, 0x20))
        self.screen.see(lambda _: terminal.mode(1))

    def end(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        os.kill(int((self.loopsy.folder / "pid").read_text()), number)

    def assert_clean(self, code: int) -> None:
        """Check that the command ends, and has left nothing behind."""
        self.screen.see_text(f"left with {code}")
        after = self.loopsy.folder / "after"
        deadline = time.monotonic() + PATIENCE
        while not (after.exists() and after.read_text()):
            assert time.monotonic() < deadline
        assert (self.loopsy.folder / "before").read_text() == after.read_text()
        self.assert_as_before()

    def assert_as_before(self) -> None:
        """Check that the emulated terminal is as it was, but for its text."""
        assert state(self.screen.terminal) == self.before
        assert not [line for line in self.screen.lines if "is away" in line or "Ctrl-A" in line]
        # The title is kept on a stack that the emulator does not have.
        titles = re.findall(rb"\x1b\[2[23];0t|\x1b\]0;[^\x07\x1b]+", self.screen.output)
        assert titles[1] == b"\x1b[22;0t"
        assert titles[-1] == b"\x1b[23;0t"
        assert titles.count(b"\x1b[22;0t") == titles.count(b"\x1b[23;0t") == 1
        # Printing goes on below, over the whole screen.
        rows = self.screen.terminal.size[1]
        self.screen.terminal.feed(b"".join(b"\r\nline %d" % n for n in range(rows)) + b"\r\nqqq")
        assert self.screen.lines[0] == "line 1"
        assert self.screen.lines[-1] == "qqq"


def state(terminal: Terminal) -> dict[str, object]:
    """Return all that a program may change of a terminal, but for its text and title."""
    return {
        "settings": settings(terminal),
        "colours": [colour(terminal, name) for name in ("FOREGROUND", "BACKGROUND", "CURSOR")],
        "palette": palette(terminal),
        "cursor": cursor_shape(terminal),
        "alternate": terminal.get("active_screen", "GhosttyTerminalScreen"),
        "kitty": terminal.get("kitty_keyboard_flags", "uint8_t"),
        "ready": terminal.get("vt_ground", "bool"),
    }


def settings(terminal: Terminal) -> bytes:
    """Return modes, margins, tab stops, character sets, style and how keys are reported."""
    found = formatted(terminal, *_EXTRAS, *_SCREEN).replace(formatted(terminal), b"")
    # Whether somebody has asked for ASCII or nobody for anything is the same.
    return found.removesuffix(b"\x1b(B\x1b)B\x1b*B\x1b+B")


def formatted(terminal: Terminal, *extras: str) -> bytes:
    options = init_sized("GhosttyFormatterTerminalOptions")
    options.emit = lib.GHOSTTY_FORMATTER_FORMAT_VT
    for name in extras:
        setattr(options.extra.screen if name in _SCREEN else options.extra, name, True)
    selection = init_sized("GhosttySelection")
    selection.start = selection.end = terminal.ref(0, 0)[0]
    options.selection = selection
    formatter, buffer, size = (
        ffi.new("GhosttyFormatter*"),
        ffi.new("uint8_t[]", 1 << 16),
        ffi.new("size_t*"),
    )
    handle = terminal._t[0]  # noqa: SLF001 - there is no other way to it
    assert not lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, handle, options[0])
    assert not lib.ghostty_formatter_format_buf(formatter[0], buffer, 1 << 16, size)
    lib.ghostty_formatter_free(formatter[0])
    return bytes(ffi.buffer(buffer, size[0]))


def colour(terminal: Terminal, name: str) -> object:
    rgb = ffi.new("GhosttyColorRgb*")
    what = getattr(lib, f"GHOSTTY_TERMINAL_DATA_COLOR_{name}")
    unset = lib.ghostty_terminal_get(terminal._t[0], what, rgb)  # noqa: SLF001
    return None if unset else (rgb.r, rgb.g, rgb.b)


def palette(terminal: Terminal) -> object:
    colours = ffi.new("GhosttyColorRgb[256]")
    what = lib.GHOSTTY_TERMINAL_DATA_COLOR_PALETTE
    lib.ghostty_terminal_get(terminal._t[0], what, colours)  # noqa: SLF001
    return ffi.buffer(colours)[:]


def cursor_shape(terminal: Terminal) -> object:
    render = ffi.new("GhosttyRenderState*")
    lib.ghostty_render_state_new(ffi.NULL, render)
    lib.ghostty_render_state_update(render[0], terminal._t[0])  # noqa: SLF001
    cursor = init_sized("GhosttyRenderStateCursor")
    lib.ghostty_render_state_get(render[0], lib.GHOSTTY_RENDER_STATE_DATA_CURSOR, cursor)
    lib.ghostty_render_state_free(render[0])
    return cursor.visual_style, cursor.blinking, cursor.visible


def show_vim(loopsy: CommandLine, size: tuple[int, int] | None) -> Outer:
    """Show vim, as the one whose size the session has, or else on a terminal of another `size`."""
    if shutil.which("vim") is None:
        pytest.skip("vim is not installed")
    (loopsy.folder / "file.txt").write_text("".join(f"line {n} of a file\n" for n in range(100)))
    loopsy.say("start")
    owner = loopsy.on_terminal("shell", "--name", "pet", "--", *VIM)
    owner.see_text("line 5 of a file")
    outer = Outer(loopsy, *(size or SCREEN))
    if size is None:
        outer.screen.see_text("of a file")
        owner.type(DETACH)
        assert owner.exit_code() == 0
    outer.see_vim(outer.screen if size is None else owner)
    return outer


def detach(outer: Outer) -> None:
    outer.screen.type(DETACH)


def detach_from_the_help(outer: Outer) -> None:
    outer.screen.type(b"\x01?")
    outer.screen.see_text("Ctrl-A ?")
    outer.screen.type(DETACH)


def terminate(outer: Outer) -> None:
    outer.end(signal.SIGTERM)


def hang_up(outer: Outer) -> None:
    outer.end(signal.SIGHUP)


def kill_the_session(outer: Outer) -> None:
    outer.loopsy.say("kill", "pet")


def kill_the_daemon(outer: Outer) -> None:
    kill_holder(outer.loopsy.home.node_lock)


def kill_the_host(outer: Outer) -> None:
    kill_holder(outer.loopsy.home.host_lock)


def kill_holder(lock: Path) -> None:
    pid = holder_of(lock)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("size", "leave", "code"),
    [
        (None, detach, 0),
        (None, detach_from_the_help, 0),
        (None, terminate, 128 + signal.SIGTERM),
        (None, hang_up, 128 + signal.SIGHUP),
        (None, kill_the_session, 0),
        (None, kill_the_daemon, 1),
        (None, kill_the_host, 0),
        (SMALLER, detach, 0),
        (SMALLER, kill_the_daemon, 1),
        (LARGER, detach_from_the_help, 0),
        (LARGER, terminate, 128 + signal.SIGTERM),
        (LARGER, kill_the_session, 0),
    ],
)
def test_vim_leaves_the_terminal_clean_however_showing_it_ends(
    loopsy: CommandLine, size: tuple[int, int] | None, leave: Callable[[Outer], None], code: int
) -> None:
    outer = show_vim(loopsy, size)
    leave(outer)
    outer.assert_clean(code)


def test_vim_leaves_the_terminal_clean_also_when_the_emulator_here_faults(
    loopsy: CommandLine,
) -> None:
    outer = show_vim(loopsy, SMALLER)
    outer.end(signal.SIGSEGV)
    outer.screen.see_text("could not be shown any")
    # Our shell may have gone on before that, on the screen that was then left.
    outer.screen.see(lambda _: b"left with 139" in outer.screen.output)
    outer.assert_as_before()
    terminal = outer.screen.child.child_fd
    settings = subprocess.run(
        ["stty", "-g"], stdin=terminal, capture_output=True, text=True, check=True
    )
    assert settings.stdout == (loopsy.folder / "before").read_text()


def test_the_wildest_program_leaves_the_terminal_clean(loopsy: CommandLine) -> None:
    modes = "".join(rf"\033[?{mode}h" for mode in OFF_AT_FIRST)
    wild = r"\033=\033[>31u\033[>4;2m\033[2;7r\033[4h\033[1;31m\033[?25l\033[4 q\033(0\016\033[3g"
    wild += r"\033]12;#123456\033\\\033]8;;http://loopsy.test\033\\"
    script = f"printf '{modes}{wild}'; printf 'unfinished\\033]0;never ended'; exec cat"
    loopsy.session("sh", "-c", script, name="pet")
    outer = Outer(loopsy, *SCREEN)
    outer.screen.expect(b"never ended")
    outer.screen.type(DETACH)
    outer.assert_clean(0)


def test_ctrl_c_sent_as_a_signal_leaves_the_terminal_clean(loopsy: CommandLine) -> None:
    loopsy.session("sh", "-c", r"printf '\033[?1003hready'; exec cat", name="pet")
    outer = Outer(loopsy, *SCREEN)
    outer.screen.see_text("ready")
    outer.end(signal.SIGINT)
    outer.assert_clean(130)


def test_a_lost_daemon_is_told_on_the_terminal(loopsy: CommandLine) -> None:
    loopsy.session("cat", name="pet")
    outer = Outer(loopsy, *SCREEN)
    outer.screen.wait_attached()
    loopsy.say("stop")
    outer.screen.see_text("The daemon is away")
    outer.screen.type(DETACH)
    outer.assert_clean(0)


def test_a_terminal_that_is_closed_ends_the_command_and_not_the_session(
    loopsy: CommandLine,
) -> None:
    loopsy.session("cat", name="pet")
    outer = Outer(loopsy, *SCREEN)
    outer.screen.wait_attached()
    pid = int((loopsy.folder / "pid").read_text())
    outer.screen.child.ptyproc.fileobj.close()
    deadline = time.monotonic() + PATIENCE
    while runs(pid):
        assert time.monotonic() < deadline
    [session] = cast("list[dict[str, object]]", loopsy.json("list"))
    assert session["alive"]
    assert session["viewers"] == 0


def runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
