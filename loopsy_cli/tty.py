"""The user's own terminal: raw while a session is shown in it, and clean afterwards."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import BadRequest

from .colours import Colours

if TYPE_CHECKING:
    from collections.abc import Generator

    from .guardian import Guardian

__all__ = ["MAX_CELLS", "Terminal", "open_terminal"]

MAX_CELLS: Final = 1000
"""The most columns or rows that a session's terminal may have."""
UNKNOWN_SIZE: Final = (80, 24)
"""For terminals that claim to have no size at all, as serial lines do."""
READ_SIZE: Final = 65_536
LAST_WORDS: Final = 1.0
"""Seconds that cleaning up may wait for a terminal that takes nothing."""
LAST_ANSWERS: Final = 0.5
"""Seconds that it may wait for what the terminal was asked and has not told yet."""

_CLEAN: Final = b"".join(
    (
        b"\x18\x1b\\",  # whatever sequence or string was under way is over
        b"\x1b[?2026l",  # the terminal may draw again (synchronized output)
        b"\x1b[<99u\x1b[=0u\x1b[>4m",  # the kitty keyboard's flags, xterm's modifyOtherKeys
        # Mouse reports in all their kinds, and focus events.
        *(
            b"\x1b[?%dl" % mode
            for mode in (9, 1000, 1001, 1002, 1003, 1005, 1006, 1015, 1016, 1004)
        ),
        b"\x1b[?2004l",  # bracketed paste
        b"\x1b[?2031l\x1b[?2048l",  # reports of the colour scheme and of the size
        b"\x1b[?1l\x1b>\x1b[?66l",  # arrow keys and keypad
        b"\x1b[4l\x1b[20l\x1b[?5l\x1b[?7h",  # insert and newline mode, reverse video; wrap again
        b"\x1b(B\x1b)B\x1b*B\x1b+B\x0f",  # ASCII in all character sets
        b"\x1b[0m\x1b]8;;\x1b\\",  # plain text, no link
        b"\x1b7\x1b[?69l\x1b[r\x1b8",  # no margins; setting them moves the cursor
        b"\x1b[0 q\x1b[?25h",  # the user's own cursor, visible
    )
)
"""Undoes what a program may have done to a terminal, but for its colours; the text stays."""

# Leaving the alternate screen restores the cursor as it was on entering it, in tmux however long
# ago that was; so it is left only where it was entered. It has keyboard flags of its own.
_ALTERNATE: Final = re.compile(rb"\x1b\[\?(?:\d+;)*(?:47|1047|1049)(?:;\d+)*([hlr])")
_LEAVE_ALTERNATE: Final = b"\x18\x1b\\\x1b[?2026l\x1b[<99u\x1b[=0u\x1b7\x1b[?1049l"
_LONGEST_MODES: Final = 32
_ORIGIN_MODE: Final = re.compile(rb"\x1b\[\?(?:\d+;)*6(?:;\d+)*h")
# Taking back the origin mode moves the cursor home, so this is done only where it was set.
_LEAVE_ORIGIN_MODE: Final = b"\x1b[?6l\x1b[999;1H"
# Pictures of a session set the tab stops of its own width, so they are set again for ours: by
# hand where the terminal does not know DECST8C, which comes last and knows no width.
_TAB_EVERY: Final = 8
_SAVE_TITLE, _RESTORE_TITLE = b"\x1b[22;0t", b"\x1b[23;0t"


class Terminal:
    """The terminal; `open_terminal` makes it. One task reads, any may write."""

    def __init__(self, output: int) -> None:
        """Read from standard input, write to the descriptor `output`."""
        self._output = output
        self._writing = trio.Lock()
        self._cooked = termios.tcgetattr(0)
        self._origin_mode = self._alternate = False
        self._tail = b""
        self._colours = Colours()
        self._guardian: Guardian | None = None
        self._last_words = b""

    @property
    def name(self) -> str:
        """What the system calls this terminal, `pts/3` say; nothing if it has no name here."""
        try:
            return os.ttyname(0).removeprefix("/dev/")
        except OSError:
            return ""

    @property
    def clean(self) -> bytes:
        """What undoes whatever a program may have done here, leaving the text where it is."""
        leave = _LEAVE_ALTERNATE if self._alternate else b""
        return leave + _CLEAN + self._colours.restore()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, within what a session may have."""
        try:
            cols, rows = os.get_terminal_size(1)
        except OSError:
            cols, rows = 0, 0
        if not cols or not rows:
            return UNKNOWN_SIZE
        return min(cols, MAX_CELLS), min(rows, MAX_CELLS)

    async def read(self) -> bytes:
        """Return what is typed next, nothing once the terminal is gone."""
        # The descriptor stays blocking: it is the shell's too, which would be astonished.
        while True:
            await trio.lowlevel.wait_readable(0)
            data = _read_now()
            if not data:
                return data
            data = self._colours.typed(data)
            self._tell_guardian()  # of colours that are known only now
            if data:
                return data

    async def write(self, data: bytes) -> None:
        """Write, waiting for as long as the terminal takes; a terminal that is gone takes all."""
        async with self._writing:
            self._note_modes(data)
            left = memoryview(self._colours.shown(data))
            self._tell_guardian()
            while left:
                try:
                    left = left[os.write(self._output, left) :]
                except BlockingIOError:
                    try:
                        await trio.lowlevel.wait_writable(self._output)
                    except trio.Cancelled:
                        self._alternate = True  # maybe: what leaves it may not have got there
                        raise
                except OSError:
                    return

    def _note_modes(self, data: bytes) -> None:
        """Keep track of the modes which must not be reset unless they were set."""
        if b"\x1b[?" in data or self._tail:
            data = self._tail + data
            self._origin_mode = self._origin_mode or _ORIGIN_MODE.search(data) is not None
            for match in _ALTERNATE.finditer(data):
                self._alternate = match[1] != b"l"
        begun = data.rfind(b"\x1b", -_LONGEST_MODES)
        self._tail = data[begun:] if begun >= 0 else b""

    def make_raw(self) -> None:
        """Have every key reported at once and as it is, and nothing changed on its way out."""
        iflag, oflag, cflag, lflag, ispeed, ospeed, cc = termios.tcgetattr(0)
        iflag &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        oflag &= ~termios.OPOST
        cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        cc = list(cc)
        cc[termios.VMIN], cc[termios.VTIME] = 1, 0
        # Now, and not once all output is written: a terminal that takes none would hold us.
        termios.tcsetattr(0, termios.TCSANOW, [iflag, oflag, cflag, lflag, ispeed, ospeed, cc])

    def guard(self) -> None:
        """See to it that the terminal is given back clean even if this process faults.

        It costs another process, so it is for when the emulator is used.
        """
        if self._guardian is None:
            from .guardian import Guardian

            self._guardian = Guardian(self._output, self._cooked)
            self._tell_guardian()

    def _tell_guardian(self) -> None:
        if self._guardian is not None:
            self._guardian.tell(self._farewell + self._last_words)

    @property
    def _farewell(self) -> bytes:
        """What gives the terminal back, with the cursor below all that is on it."""
        origin = _LEAVE_ORIGIN_MODE if self._origin_mode else b""
        tabs = _default_tabs(self.size[0])
        return self.clean + origin + tabs + _RESTORE_TITLE + b"\r\n\x1b[J"

    @contextmanager
    def raw(self, last_words: str) -> Generator[None]:
        """Be raw within the block; however it is left, the terminal is given back clean.

        `last_words` is the line that is to stand there if this process faults while it is guarded.
        """
        self._last_words = last_words.encode() + b"\r\n"
        try:
            self.make_raw()
            # What is on the screen moves out of the way, where one can scroll back to it.
            self._write_now(_SAVE_TITLE + b"\x1b[999;1H" + b"\n" * self.size[1])
            yield
        finally:
            self._hear_out()
            self._write_now(self._farewell)
            with suppress(termios.error):
                # What was not read yet, late answers to queries for example, would end up in
                # the shell.
                termios.tcflush(0, termios.TCIFLUSH)
                termios.tcsetattr(0, termios.TCSANOW, self._cooked)
            if self._guardian is not None:
                self._guardian.dismiss()
                self._guardian = None

    def _hear_out(self) -> None:
        """Read what the terminal was asked, or it would answer the shell."""
        deadline = time.monotonic() + LAST_ANSWERS
        while self._colours.waiting and (left := deadline - time.monotonic()) > 0:
            if not select.select([0], [], [], left)[0] or not (data := _read_now()):
                return
            self._colours.typed(data)

    def _write_now(self, data: bytes) -> None:
        """Write without an event loop, and not for ever."""
        deadline = time.monotonic() + LAST_WORDS
        left = memoryview(data)
        while left and time.monotonic() < deadline:
            try:
                left = left[os.write(self._output, left) :]
            except BlockingIOError:
                select.select([], [self._output], [], deadline - time.monotonic())
            except OSError:
                return


@contextmanager
def open_terminal(command: str) -> Generator[Terminal]:
    """Use the terminal that standard input and output are; it stays as it is until `raw`.

    Raises `BadRequest` when there is no terminal; `command` is what the user called.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadRequest(
            f"`{command}` shows a session in this terminal, but its input or output is none;"
            " run it without a pipe or redirection"
        )
    sys.stdout.flush()
    output = _open_again(1)
    try:
        yield Terminal(output)
    finally:
        os.close(output)


def _read_now() -> bytes:
    try:
        return os.read(0, READ_SIZE)
    except OSError:
        return b""


def _default_tabs(cols: int) -> bytes:
    """Return what sets a tab stop every eight columns, leaving the cursor where it is."""
    stops = (b"\x1b[%dG\x1bH" % column for column in range(1 + _TAB_EVERY, cols + 1, _TAB_EVERY))
    return b"\x1b7\x1b[3g" + b"".join(stops) + b"\x1b8\x1b[?5W"


def _open_again(descriptor: int) -> int:
    """Open a terminal anew, to write to it without blocking.

    O_NONBLOCK belongs to what was opened, and that is shared with the shell: it must not be
    set on the descriptors that we were given. Where the terminal has no name here (within a
    container, or after `su`), writing may block; then only a stuck terminal would be noticed.
    """
    try:
        name = os.ttyname(descriptor)
        return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return os.dup(descriptor)
