"""A session's screen, emulated here (libghostty), to be drawn on a terminal of another size.

Loading this takes a tenth of a second, so it is done where a screen must be drawn, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pyghostty import ffi, lib
from pyghostty.core import Terminal, init_sized

from loopsy_core.screen import Screen, feed_sparingly

from .rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Emulated", "Setting", "without_scrollback"]

SCROLLBACK_LINES: Final = 2000
"""Lines above the screen that are kept: a screen that grows shows them again."""
CELL_WIDTH, CELL_HEIGHT = 8, 16

# What is kept in step with the program because it changes what keys send. The mouse is not here:
# what it sends is translated.
_KEY_MODES: Final = (1, 66, 2004)
_REVERSE: Final = 5
_SYNCHRONIZED: Final = 2026
_MOUSE_OFF: Final = b"\x1b[?9l\x1b[?1000l\x1b[?1002l"
# A pointer that only passes over a picture of somebody else's screen is no wish to take part, so
# motion is reported while a button is held and not otherwise. Nor is the focus reported.
_MOUSE_ON: Final = ((1003, 1002), (1002, 1002), (1000, 1000), (9, 9))
_COLOURS: Final = ((10, "FOREGROUND"), (11, "BACKGROUND"), (12, "CURSOR"))


class Setting(NamedTuple):
    """Something that a terminal can be set to."""

    name: str
    sets: bytes
    undoes: bytes = b""
    """What it takes when it is no longer among the settings."""


class Emulated:
    """The emulator of one session. What a program asks its terminal is not answered here."""

    def __init__(self, cols: int, rows: int) -> None:
        """Begin with an empty screen of this size, in cells."""
        self._terminal = Terminal(cols, rows, SCROLLBACK_LINES)
        self._handle = self._terminal._t[0]  # noqa: SLF001 - pyghostty has no other way to it
        self.rows = Rows(self._terminal)
        """What the screen shows, as of its last update."""
        self._default_palette = self._palette("COLOR_PALETTE_DEFAULT")
        self.bells = 0
        """How often the bell rang."""
        self._bell = ffi.callback("GhosttyTerminalBellFn", self._ring)
        lib.ghostty_terminal_set(self._handle, lib.GHOSTTY_TERMINAL_OPT_BELL, self._bell)

    def feed(self, data: bytes) -> None:
        """Take in output of the program."""
        feed_sparingly(self._terminal, data)

    def resize(self, cols: int, rows: int) -> None:
        """Give the screen another size, as its host does at the same place in the output."""
        self._terminal.resize(cols, rows, CELL_WIDTH, CELL_HEIGHT)

    def close(self) -> None:
        """Free the emulator."""
        self.rows.close()
        self._terminal.close()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        size: tuple[int, int] = self._terminal.size
        return size

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is active."""
        active: int = self._terminal.get("active_screen", "GhosttyTerminalScreen")
        return bool(active == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    @property
    def unready(self) -> bool:
        """Whether the program is in the middle of a screen that it wants to be seen as a whole."""
        return self.mode(_SYNCHRONIZED)

    def mode(self, number: int) -> bool:
        """Whether a DEC private mode is set."""
        return bool(self._terminal.mode(number))

    def settings(self) -> Iterator[Setting]:
        """Give what else a terminal must know.

        The alternate screen comes first, for the kitty keyboard's flags belong to a screen.
        """
        yield Setting("alternate", _switch(1049, self.alternate))
        for number in (*_KEY_MODES, _REVERSE):
            yield Setting(f"mode {number}", _switch(number, self.mode(number)))
        tracking = next((ours for theirs, ours in _MOUSE_ON if self.mode(theirs)), None)
        on = b"\x1b[?%dh\x1b[?1006h" % tracking if tracking else b""
        yield Setting("mouse", _MOUSE_OFF + on)
        flags = self._terminal.get("kitty_keyboard_flags", "uint8_t")
        yield Setting("kitty", b"\x1b[=%du" % flags)
        yield Setting("other keys", self._other_keys())
        if title := self._title():
            yield Setting("title", b"\x1b]0;" + title + b"\x1b\\")
        yield from self._changed_colours()

    def _other_keys(self) -> bytes:
        """Return what sets xterm's modifyOtherKeys; the emulator tells that in pictures only."""
        return b"\x1b[>4m" + self._formatted(keyboard=True).removeprefix(self._formatted())

    def _title(self) -> bytes:
        text = ffi.new("GhosttyString*")
        if lib.ghostty_terminal_get(self._handle, lib.GHOSTTY_TERMINAL_DATA_TITLE, text):
            return b""
        raw: bytes = ffi.buffer(text.ptr, text.len)[:] if text.len else b""
        return "".join(c for c in raw.decode("utf-8", "replace") if c.isprintable()).encode()

    def _changed_colours(self) -> Iterator[Setting]:
        rgb = ffi.new("GhosttyColorRgb*")
        for number, name in _COLOURS:
            what = getattr(lib, f"GHOSTTY_TERMINAL_DATA_COLOR_{name}")
            if not lib.ghostty_terminal_get(self._handle, what, rgb):
                sets = b"\x1b]%d;#%02x%02x%02x\x1b\\" % (number, rgb.r, rgb.g, rgb.b)
                yield Setting(f"colour {number}", sets, b"\x1b]%d\x1b\\" % (number + 100))
        palette = self._palette("COLOR_PALETTE")
        if palette == self._default_palette:
            return
        for number in range(256):
            part = slice(3 * number, 3 * number + 3)
            if palette[part] != self._default_palette[part]:
                sets = b"\x1b]4;%d;#%s\x1b\\" % (number, palette[part].hex().encode())
                yield Setting(f"palette {number}", sets, b"\x1b]104;%d\x1b\\" % number)

    def _palette(self, which: str) -> bytes:
        palette = ffi.new("GhosttyColorRgb[256]")
        what = getattr(lib, f"GHOSTTY_TERMINAL_DATA_{which}")
        lib.ghostty_terminal_get(self._handle, what, palette)
        found: bytes = ffi.buffer(palette)[:]
        return found

    def _formatted(self, *, keyboard: bool = False) -> bytes:
        """Return the emulator's picture of one cell, with how keys are reported if asked for."""
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_VT
        options.extra.keyboard = keyboard
        selection = init_sized("GhosttySelection")
        selection.start = selection.end = self._terminal.ref(0, 0)[0]
        options.selection = selection
        formatter = ffi.new("GhosttyFormatter*")
        if lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._handle, options[0]):
            return b""
        buffer, size = ffi.new("uint8_t[512]"), ffi.new("size_t*")
        failed = lib.ghostty_formatter_format_buf(formatter[0], buffer, 512, size)
        lib.ghostty_formatter_free(formatter[0])
        return b"" if failed else bytes(ffi.buffer(buffer, size[0]))

    def _ring(self, _terminal: object, _userdata: object) -> None:
        self.bells += 1


def without_scrollback(picture: bytes, cols: int, rows: int) -> bytes:
    """Return a picture of the same screen that does not show again what has scrolled by."""
    screen = Screen(cols, rows, lambda _: None, scrollback=0)
    screen.feed(picture)
    visible = screen.picture()
    screen.close()
    return visible


def _switch(mode: int, on: bool) -> bytes:
    return b"\x1b[?%d%s" % (mode, b"h" if on else b"l")
