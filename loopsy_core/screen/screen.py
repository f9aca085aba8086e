"""What a terminal shows, kept by an emulator (libghostty), and pictures of it.

A picture is terminal output that, written to a fresh terminal of the same size, reproduces
the screen: text, wraps, scrollback, styles, cursor, modes, scroll region, tab stops and title;
a sequence that was cut in the middle is begun again at its end, so that the bytes which follow
continue it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pyghostty import ffi, lib
from pyghostty.core import Terminal, init_sized

from loopsy_core.errors import LoopsyError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Screen"]

SCROLLBACK_LINES: Final = 10_000
SCROLLBACK_BYTES: Final = 64 << 20
"""The emulator keeps the fewer of both; lines alone kept 903 of 10 000."""
MAX_UNFINISHED: Final = 1 << 20
"""Bytes of an escape sequence under way (an image, a clipboard) that a picture can carry."""
CELL_WIDTH, CELL_HEIGHT = 8, 16
"""Pixels of a cell; only size reports and images ask."""
MAX_TITLE: Final = 256

# What a picture holds besides its cells: all that there is but the palette, which would freeze
# the viewer's own colours.
_SHARED: Final = ("modes", "scrolling_region", "tabstops", "pwd", "keyboard")
_SCREEN: Final = ("cursor", "style", "hyperlink", "protection", "kitty_keyboard", "charsets")

# Entering the alternate screen (xterm: 47, 1047, 1049). The emulator's formatter draws the
# active screen only, so the primary one is pictured just before it is left.
_ENTER_ALTERNATE = re.compile(rb"\x1b\[\?(?:[0-9]+;)*(?:47|1047|1049)(?:;[0-9]+)*h")
_LONGEST_ENTRY: Final = 32
# Inserting, origin and not wrapping: under these modes content would come out differently.
_LATE_MODES = re.compile(rb"\x1b\[(?:4h|\?6h|\?7l)")
_STYLE = re.compile(rb"\x1b\[[0-9;:]*m")
_PLAIN: Final = (b"\x1b[0m", b"\x1b[m")
_HOME_AND_PLAIN: Final = b"\x1b[H\x1b[0m"


class Screen:
    """One terminal's emulator."""

    def __init__(self, cols: int, rows: int, on_reply: Callable[[bytes], None]) -> None:
        """Begin with an empty screen; `on_reply` gets what the terminal answers to queries."""
        self._terminal = Terminal(cols, rows, SCROLLBACK_LINES)
        self._set_size(lib.GHOSTTY_TERMINAL_OPT_SCROLLBACK_MAX_BYTES, SCROLLBACK_BYTES)
        self._set_size(lib.GHOSTTY_TERMINAL_OPT_CONTINUATION_MAX_BYTES, MAX_UNFINISHED)
        self._terminal.on_reply(on_reply)
        self._primary: bytes | None = None  # the primary screen, while the other is active
        self._tail = b""  # an unfinished entry into the alternate screen

    def feed(self, data: bytes) -> None:
        """Take in output of the program; never fails on what a program may print."""
        start = 0
        if self._tail or b"\x1b[?" in data:
            seam = len(self._tail)
            for match in _ENTER_ALTERNATE.finditer(self._tail + data):
                # Just before the final letter, when a sequence is under way but nothing has
                # happened yet: the same picture as before its first byte.
                at = match.end() - 1 - seam
                if at < start or self.alternate:
                    continue
                self._terminal.feed(data[start:at])
                start = at
                if not self.alternate:
                    # Without modes, margins and tabs, which the two screens share.
                    self._primary = self._draw(shared=False)
        self._terminal.feed(data[start:] if start else data)
        self._tail = (self._tail + data)[-_LONGEST_ENTRY:] if self._unfinished else b""
        if self._primary is not None and not self.alternate:
            self._primary = None

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; the primary screen reflows."""
        if self._primary is not None:
            width, height = self._terminal.size
            aside = Screen(width, height, lambda _: None)
            aside.feed(self._primary)
            aside.resize(cols, rows)
            self._primary = aside._draw(shared=False)
            aside.close()
        self._terminal.resize(cols, rows, CELL_WIDTH, CELL_HEIGHT)

    def picture(self) -> bytes:
        """Return terminal output that reproduces this screen on a fresh terminal."""
        title = self.title.encode()
        parts = [
            self._primary or b"",
            self._draw(),
            b"\x1b]0;" + title + b"\x1b\\" if title else b"",
            self._continuation(),
        ]
        return b"".join(parts)

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is active."""
        active: int = self._terminal.get("active_screen", "GhosttyTerminalScreen")
        return bool(active == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    @property
    def title(self) -> str:
        """What the program calls itself; control characters and excess are cut."""
        text = ffi.new("GhosttyString*")
        if lib.ghostty_terminal_get(self._handle, lib.GHOSTTY_TERMINAL_DATA_TITLE, text):
            return ""
        raw = bytes(ffi.buffer(text.ptr, text.len)) if text.len else b""
        title = raw.decode("utf-8", "replace")
        return "".join(c for c in title if c.isprintable())[:MAX_TITLE]

    @property
    def text(self) -> str:
        """The visible rows as plain text."""
        text: str = self._terminal.text()
        return text

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        size: tuple[int, int] = self._terminal.size
        return size

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, counted from 0."""
        cursor: tuple[int, int] = self._terminal.cursor
        return cursor

    @property
    def lines(self) -> list[str]:
        """The visible rows, from top to bottom, without blanks at their ends."""
        lines = [line.rstrip(" ") for line in self.text.split("\n")]
        return (lines + [""] * self.size[1])[: self.size[1]]

    def history(self, *, ansi: bool = False, lines: int | None = None) -> list[bytes]:
        """Return the scrollback and what is visible: lines in UTF-8, the oldest first.

        Lines that were wrapped are whole again; empty ones at the end are left out. With `ansi`
        each has its styles, and begins and ends plain; without, no control characters. Only the
        last `lines` are given, if that says so. Behind an alternate screen's primary one follows
        what the alternate shows.
        """
        found: list[bytes] = []
        if self._primary is not None:
            aside = Screen(*self.size, lambda _: None)
            aside.feed(self._primary)
            found = aside.history(ansi=ansi)
            aside.close()
        content = self._format() if ansi else self._format(emit=lib.GHOSTTY_FORMATTER_FORMAT_PLAIN)
        here = re.split(rb"\r?\n", content)
        if ansi:
            here = _each_plain_at_both_ends(here)
        while here and not here[-1].strip():
            here.pop()
        found += here
        return found if lines is None else found[-lines:]

    def close(self) -> None:
        """Free the emulator."""
        self._terminal.close()

    @property
    def _handle(self) -> object:
        return self._terminal._t[0]  # noqa: SLF001 - pyghostty's raw layer is used through it

    @property
    def _unfinished(self) -> bool:
        return not self._terminal.get("vt_ground", "bool")

    def _set_size(self, option: int, value: int) -> None:
        if lib.ghostty_terminal_set(self._handle, option, ffi.new("size_t*", value)):
            raise LoopsyError("the terminal emulator refuses its limits")

    def _draw(self, *, shared: bool = True) -> bytes:
        """Draw the active screen, below its scrollback; `shared` is what both screens share."""
        content: bytes = self._format()
        # The formatter leaves out the empty rows at the end; they hold all others in their place.
        rows = self._format(unwrap=False).count(b"\r\n") + 1
        content += b"\r\n" * (self._terminal.get("total_rows", "size_t") - rows)
        content += self._clear_gaps()
        # All that is not content comes out alike around a single cell, which shows what is what.
        cell = self._format(one_cell=True)
        if not shared:
            return content + self._format("screen", one_cell=True).removeprefix(cell)
        modes = self._format("modes", one_cell=True).removesuffix(cell)
        before = self._format("modes", "tabstops", one_cell=True)
        after = self._format(*_SHARED, "screen", one_cell=True).removeprefix(before)
        tabs = before.removeprefix(modes).removesuffix(cell)
        late = b"".join(_LATE_MODES.findall(modes))
        # The modes enter the alternate screen, too.
        return _LATE_MODES.sub(b"", modes) + _HOME_AND_PLAIN + content + late + tabs + after

    def _clear_gaps(self) -> bytes:
        """Return what empties the cells that were never written, between styled text.

        The formatter writes blanks for them, in the style of the text around. Only the visible
        rows are mended, for the scrollback cannot be reached any more; and of those none that
        goes on in the next, because erasing would end it.
        """
        parts: list[bytes] = []
        width, height = self._terminal.size
        cell = ffi.new("GhosttyCell*")
        for y in range(height):
            ref = self._terminal.ref(0, y)
            styled = _row_is(ref, lib.GHOSTTY_ROW_DATA_STYLED)
            if not styled or _row_is(ref, lib.GHOSTTY_ROW_DATA_WRAP):
                continue
            gap = 0
            seen = False  # text to the left; the row's end is cleared by nobody
            for x in range(width):
                ref.x = x  # a row lies in one piece: a reference of its own would cost ten times
                lib.ghostty_grid_ref_cell(ref, cell)
                if _is_bare(cell[0]):
                    gap += 1
                    continue
                if gap and seen:
                    parts.append(b"\x1b[%d;%dH\x1b[%dX" % (y + 1, x - gap + 1, gap))
                gap, seen = 0, True
        return b"\x1b[0m" + b"".join(parts) if parts else b""

    def _format(
        self,
        *extra: str,
        unwrap: bool = True,
        one_cell: bool = False,
        emit: int = lib.GHOSTTY_FORMATTER_FORMAT_VT,
    ) -> bytes:
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit = emit
        options.unwrap = unwrap
        for name in extra:
            if name == "screen":
                for part in _SCREEN:
                    setattr(options.extra.screen, part, True)
            else:
                setattr(options.extra, name, True)
        if one_cell:
            selection = init_sized("GhosttySelection")
            selection.start = selection.end = self._terminal.ref(0, 0)[0]
            options.selection = selection
        formatter = ffi.new("GhosttyFormatter*")
        made = lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._handle, options[0])
        if made:
            raise LoopsyError("the terminal emulator cannot draw its screen")
        try:
            data, size = ffi.new("uint8_t**"), ffi.new("size_t*")
            if lib.ghostty_formatter_format_alloc(formatter[0], ffi.NULL, data, size):
                raise LoopsyError("the terminal emulator cannot draw its screen")
            try:
                return bytes(ffi.buffer(data[0], size[0]))
            finally:
                lib.ghostty_free(ffi.NULL, data[0], size[0])
        finally:
            lib.ghostty_formatter_free(formatter[0])

    def _continuation(self) -> bytes:
        """Return the bytes that bring a fresh parser into the middle of the same sequence."""
        if not self._unfinished:
            return b""
        size = ffi.new("size_t*")
        lib.ghostty_terminal_continuation_buf(self._handle, ffi.NULL, 0, size)
        buffer = ffi.new("uint8_t[]", max(size[0], 1))
        result = lib.ghostty_terminal_continuation_buf(self._handle, buffer, len(buffer), size)
        if result:
            return b""
        return bytes(ffi.buffer(buffer, size[0]))


def _each_plain_at_both_ends(lines: list[bytes]) -> list[bytes]:
    """Begin each line with the style that lasts from the one before, and end it plain."""
    found: list[bytes] = []
    style = b""
    for line in lines:
        before = style
        for sequence in _STYLE.findall(line):
            style = b"" if sequence in _PLAIN else style + sequence
        found.append(before + line + (b"\x1b[0m" if style else b""))
    return found


def _row_is(ref: object, what: int) -> bool:
    row, flag = ffi.new("GhosttyRow*"), ffi.new("bool*")
    lib.ghostty_grid_ref_row(ref, row)
    lib.ghostty_row_get(row[0], what, flag)
    return bool(flag[0])


def _is_bare(cell: object) -> bool:
    """Whether a cell was never written, nor coloured, nor is half of a wide letter."""
    flag, kind = ffi.new("bool*"), ffi.new("int*")
    for what in (lib.GHOSTTY_CELL_DATA_HAS_TEXT, lib.GHOSTTY_CELL_DATA_HAS_STYLING):
        lib.ghostty_cell_get(cell, what, flag)
        if flag[0]:
            return False
    for what in (lib.GHOSTTY_CELL_DATA_CONTENT_TAG, lib.GHOSTTY_CELL_DATA_WIDE):
        lib.ghostty_cell_get(cell, what, kind)
        if kind[0]:  # a colour, or not of one column
            return False
    return True
