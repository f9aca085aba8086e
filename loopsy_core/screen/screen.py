"""What a terminal shows, kept by an emulator, and pictures of it.

A picture is terminal output that, written to a fresh terminal of the same size, reproduces the
screen and the one behind it; a sequence that was cut in the middle is begun again at its end, so
that the bytes which follow continue it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyghostty import lib

from .copy import Copy, read_copy
from .emulator import Emulator
from .modes import input_bytes
from .picture import clean, draw_picture
from .window import Window, history_of, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Screen"]

_SHAPES = {0: 5, 1: 1, 2: 3, 3: 1}
"""DECSCUSR's parameter of a blinking bar, block, underline; the next one is steady."""
_BLINKS, _VISIBLE = 12, 13


class Screen:
    """One terminal's emulator."""

    def __init__(self, cols: int, rows: int, on_reply: Callable[[bytes], None]) -> None:
        """Begin with an empty screen; `on_reply` gets what the terminal answers to queries."""
        self._emulator = Emulator(cols, rows, on_reply)
        self._size = cols, rows
        self._window = Window()

    def feed(self, data: bytes) -> None:
        """Take in output of the program; never fails on what a program may print."""
        self._emulator.feed(data)

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; the primary screen reflows."""
        self._size = cols, rows
        self._emulator.resize(cols, rows)

    def picture(self) -> bytes:
        """Return terminal output that reproduces this screen on a fresh terminal."""
        copy = self._copy(history=True)
        return draw_picture(copy, self._size, self._emulator.skipping)

    def history(self, *, ansi: bool = False, lines: int | None = None) -> list[bytes]:
        """Return scrollback and visible rows as UTF-8 lines that end in a newline, oldest first.

        Soft-wrapped rows make one line, empty lines at the end are left out, and at most the last
        `lines` are returned. With `ansi` lines carry SGR sequences and begin and end plain;
        without, there is only text. While the alternate screen shows, its rows follow those of the
        primary screen.
        """
        copy = self._copy(history=True)
        return history_of(copy, ansi=ansi, lines=lines)

    def window(self, left: int, top: int, cols: int, rows: int) -> list[bytes]:
        """Return `rows` strings to paint a part of the visible screen with, in another terminal.

        Each is exactly `cols` columns of text with SGR sequences, begins and ends plain, and is
        blank where the screen has nothing. The same string means that a row looks the same.
        """
        return self._window.paint(self._copy(history=False), left, top, cols, rows)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows; a program may have chosen the columns (DECCOLM)."""
        return self._emulator.get("cols", "uint16_t"), self._emulator.get("rows", "uint16_t")

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, from 0."""
        get = self._emulator.get
        return get("cursor_x", "uint16_t"), get("cursor_y", "uint16_t")

    @property
    def cursor_visible(self) -> bool:
        """Whether the program shows the cursor."""
        return bool(self._emulator.get("cursor_visible", "bool"))

    @property
    def cursor_shape(self) -> int:
        """The cursor's shape as DECSCUSR's parameter; 0 when the program chose none."""
        copy = self._copy(history=False)
        if not copy.cursor_set:
            return 0
        return _SHAPES[copy.active.shape] + (not copy.modes >> _BLINKS & 1)

    @property
    def input_modes(self) -> bytes:
        """Terminal output that makes another terminal send keys, pastes and the mouse as asked."""
        return input_bytes(self._copy(history=False))

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is active."""
        active = self._emulator.get("active_screen", "GhosttyTerminalScreen")
        return bool(active == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    @property
    def title(self) -> str:
        """What the program calls itself; control characters and excess are cut."""
        return clean(self._emulator.string(lib.GHOSTTY_TERMINAL_DATA_TITLE))

    @property
    def lines(self) -> list[str]:
        """The visible rows as text without trailing blanks, one for each row."""
        return lines_of(self._copy(history=False))

    @property
    def text(self) -> str:
        """The visible rows as plain text."""
        return "\n".join(self.lines).rstrip("\n")

    def close(self) -> None:
        """Free the emulator."""
        self._emulator.close()

    def _copy(self, *, history: bool) -> Copy:
        return read_copy(self._emulator.copy(history=history))
