"""A picture: terminal output that, written to a fresh terminal of the same size, reproduces a copy.

First what is not seen (colours, saved modes), then the screen that does not show, then the one
that does, then what both share; and at last what the parser was in the middle of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .modes import MODES, mode_bytes, mouse_bytes, saved_mode_bytes
from .rows import CONTINUED, WRAPS, clip, columns_of, draw, is_half, runs_of

if TYPE_CHECKING:
    from .copy import CopiedScreen, Copy, Cursor, Page
    from .rows import Run

__all__ = ["MAX_TITLE", "clean", "draw_picture"]

MAX_TITLE: Final = 256
_CHARSETS: Final = b"BBA0"
"""UTF-8 and ASCII are taken as they are, British, line drawing."""
_SLOTS: Final = b"()*+"
_LEFT: Final = (b"\x0f", b"\x0e", b"\x1bn", b"\x1bo")
_RIGHT: Final = (b"", b"\x1b~", b"\x1b}", b"\x1b|")
_USUAL_RIGHT: Final = 2
_ISO = 1
_ORIGIN, _INSERT, _COLUMNS, _MAY_CHANGE_COLUMNS, _LEFT_AND_RIGHT = 8, 1, 5, 14, 19
_ALTERNATES: Final = (16, 33, 35)
_SAVES_CURSOR: Final = 34
_LEGACY: Final = 16
_BLINKS: Final = 12
# Set by hand, each in its place.
_BY_HAND: Final = {
    *(_ORIGIN, _INSERT, _COLUMNS, _MAY_CHANGE_COLUMNS, _LEFT_AND_RIGHT, _SAVES_CURSOR, 37),
    *_ALTERNATES,
    *(11, 20, 21, 22, 24, 25, 27, 28),
}


def clean(title: bytes) -> str:
    """Return a title without control characters, and cut."""
    return "".join(c for c in title.decode("utf-8", "replace") if c.isprintable())[:MAX_TITLE]


def draw_picture(copy: Copy, size: tuple[int, int], more: bytes = b"") -> bytes:
    """Draw `copy` for a fresh terminal of `size` (columns, rows); `more` stands at the very end."""
    title = clean(copy.title)
    out = [_columns(copy, size), saved_mode_bytes(copy.saved_modes ^ copy.default_modes, copy)]
    for number, (red, green, blue) in copy.colours.items():
        out.append(f"\x1b]{number};rgb:{red:02x}/{green:02x}/{blue:02x}\x1b\\".encode())
    if title:
        out.append(b"\x1b]0;" + title.encode() + b"\x1b\\")
    if copy.pwd:
        out.append(b"\x1b]7;" + copy.pwd + b"\x1b\\")
    _Painter(copy, out).paint()
    out += [copy.unfinished, more]
    return b"".join(out)


def _columns(copy: Copy, size: tuple[int, int]) -> bytes:
    """Return what sets the width that the program chose (DECCOLM), if it did."""
    on = copy.modes >> _MAY_CHANGE_COLUMNS & 1
    if copy.cols == size[0] or copy.cols not in (80, 132):
        return b"\x1b[?40h" if on else b""
    return (
        b"\x1b[?40h\x1b[?3" + (b"h" if copy.cols == 132 else b"l") + (b"" if on else b"\x1b[?40l")
    )


class _Painter:
    def __init__(self, copy: Copy, out: list[bytes]) -> None:
        self._copy = copy
        self._out = out
        self._last = ""
        """The last letter that was drawn."""

    def paint(self) -> None:
        copy, out = self._copy, self._out
        bits = [bit for bit in _ALTERNATES if copy.modes >> bit & 1]
        enter = b"".join(b"\x1b[?%dh" % MODES[bit][0] for bit in bits) or b"\x1b[?47h"
        leave = next(bit for bit in (*_ALTERNATES, _LEGACY) if bit not in bits or bit == bits[-1])
        if copy.modes >> _SAVES_CURSOR & 1:
            out.append(b"\x1b[?1048h")
        other = copy.screens.get(not copy.alternate)
        if copy.alternate and other:
            self._screen(other, enter)
        elif other and (bits or _is_used(other)):
            out.append(enter)
            self._screen(other)
            out.append(b"\x1b[?%dl\x1b[H" % MODES[leave][0])
        self._screen(copy.active)
        self._shared(copy.active)

    def _screen(self, screen: CopiedScreen, leave: bytes = b"") -> None:
        """Draw a screen and what belongs to it, then `leave` it; all is plain at the end."""
        out = self._out
        self._content(screen)
        if screen.protection == _ISO:
            out.append(b"\x1bV\x1bW")
        elif screen.protection:
            out.append(b'\x1b[1"q\x1b[0"q')
        for number, flags in enumerate(screen.keyboard):
            if number or flags:
                out.append(b"\x1b[>%du" % flags if number else b"\x1b[=%d;1u" % flags)
        if screen.saved:
            if screen.saved.origin:
                out.append(b"\x1b[?6h")
            self._place(screen, screen.saved, (0, 0))
            # Some ways to leave save the cursor, too: where it stands now.
            out.append(b"\x1b7" + leave)
            if screen.saved.origin:
                out.append(b"\x1b[?6l")
            out.append(b"\x1b[m" + _charset(0, screen.saved.charset))
            if screen.saved.look.protected:
                out.append(b'\x1b[0"q')
        else:
            out.append(leave)
        out.append(b"\x1b[H")

    def _shared(self, screen: CopiedScreen) -> None:
        copy, out = self._copy, self._out
        self._repeat(screen)
        top, bottom, left, right = copy.region
        sides = copy.modes >> _LEFT_AND_RIGHT & 1
        if sides:
            out.append(b"\x1b[?69h")
        if (top, bottom) != (0, copy.rows - 1):
            out.append(b"\x1b[%d;%dr" % (top + 1, bottom + 1))
        if (left, right) != (0, copy.cols - 1):
            out.append(b"\x1b[%d;%ds" % (left + 1, right + 1))
        if copy.tabs != list(range(8, copy.cols, 8)):
            out.append(b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % (tab + 1) for tab in copy.tabs))
        if copy.cursor_set:
            out.append(self._shape(screen))
        out.append(mode_bytes(copy.modes ^ copy.default_modes, copy.modes, without=_BY_HAND))
        out.append(mouse_bytes(copy))
        if copy.other_keys:
            out.append(b"\x1b[>4;2m")
        origin = (0, 0)
        if copy.modes >> _ORIGIN & 1:
            out.append(b"\x1b[?6h")
            origin = (left, top)
        self._place(screen, screen.cursor, origin)
        if copy.modes >> _INSERT & 1:
            out.append(b"\x1b[4h")
        shift = screen.cursor.charset >> 12 & 7
        if copy.modes >> 37 & 1:
            out.append(b"\x1b[?2026h")
        if copy.status_line:
            out.append(b"\x1b[1$}")
        if shift in (3, 4):
            out.append(b"\x1bN" if shift == 3 else b"\x1bO")

    def _shape(self, screen: CopiedScreen) -> bytes:
        shapes = {0: 5, 1: 1, 2: 3, 3: 1}
        steady = not self._copy.modes >> _BLINKS & 1
        return b"\x1b[%d q" % (shapes[screen.shape] + steady)

    def _place(self, screen: CopiedScreen, cursor: Cursor, origin: tuple[int, int]) -> None:
        out = self._out
        column, row = max(cursor.x - origin[0], 0), max(cursor.y - origin[1], 0)
        out.append(b"\x1b[%d;%dH" % (row + 1, column + 1))
        if cursor.wraps:
            self._fill_to_the_edge(screen, cursor, (column, row))
        look = cursor.look
        out.append(look.sgr)
        if look.link:
            out.append(look.link.opening)
        if look.protected:
            out.append(b"\x1bV" if screen.protection == _ISO else b'\x1b[1"q')
        out.append(_charset(cursor.charset, 0))

    def _fill_to_the_edge(self, screen: CopiedScreen, cursor: Cursor, at: tuple[int, int]) -> None:
        """Print the last letter of a full line once more: only that makes the next one wrap."""
        runs = runs_of(*screen.last_rows(self._copy.rows)[cursor.y])
        cell = _cell(runs, cursor.x)
        width, text = cell[0], cell[1]
        if width == 2:
            self._out.append(b"\x1b[%d;%dH" % (at[1] + 1, at[0]))
        if not text:
            cell = (1, " ", *cell[2:])
        self._out.append(draw([cell], 0))
        self._last = text[-1:]

    def _repeat(self, screen: CopiedScreen) -> None:
        """Print the letter that was printed last, for REP repeats it; then take it away again."""
        letter = self._copy.repeatable
        if not letter or letter == self._last or screen.cursor.wraps:
            return
        size = max(columns_of(letter), 1)
        again = b""
        for row, (page, y) in enumerate(screen.last_rows(self._copy.rows)):
            column = 0
            runs = clip(runs_of(page, y), 0, self._copy.cols)
            # Erasing would end a wrap.
            whole = not page.rows[y][0] & (WRAPS | CONTINUED)
            for run in runs:
                width, text, sgr, _, _, cluster = run
                there = b"\x1b[%d;%dH" % (row + 1, column + 1)
                if whole and not text and min(width, self._copy.cols - 1 - column) >= size:
                    self._out.append(there + letter.encode() + there)
                    self._out.append(sgr + b"\x1b[%dX\x1b[m" % size)
                    return
                if letter in text and not cluster and len(text) * size == width:
                    at = column + text.index(letter) * size
                    again = b"\x1b[%d;%dH" % (row + 1, at + 1) + draw([_cell(runs, at)], 0)
                column += width
        if not again and not screen.alternate and True not in self._copy.screens:
            again = b"\x1b[?47h" + letter.encode() + b"\x1b[2J\x1b[?47l"
        self._out.append(again)

    def _content(self, screen: CopiedScreen) -> None:
        """Draw the history, if there is one, and all visible rows, from the first column on."""
        out, cols, rows = self._out, self._copy.cols, self._copy.rows
        before: tuple[Page, int] | None = None
        flags_before = 0
        number = 0
        for page in (*screen.history, *screen.pages):
            for y, (flags, raw) in enumerate(page.rows):
                number += 1
                if before and flags_before & WRAPS and rows > 1:
                    self._seam(before, (page, y))
                else:
                    if before:
                        out.append(b"\r\n")
                    if raw:
                        if (
                            flags >> 4 == 0
                            and b"\0" not in raw
                            and raw.isascii()
                            and not page.clusters
                        ):
                            out.append(raw)
                        else:
                            out.append(draw(runs_of(page, y), cols))
                before, flags_before = (page, y), flags
        if before:
            runs = runs_of(*before)
            if flags_before & WRAPS and rows > 2:
                # The lowest row wraps onto itself, when it stands outside the margins.
                out.append(b"\x1b[1;%dr\x1b[%d;%dHxx" % (rows - 1, rows, cols))
                out.append(_over(clip(runs, 0, cols), cols) + b"\x1b[r")
            self._last = next((run[1][-1] for run in reversed(runs) if run[1]), "")

    def _seam(self, before: tuple[Page, int], row: tuple[Page, int]) -> None:
        """Draw a row that continues the line of the one before it."""
        out, cols = self._out, self._copy.cols
        above, here = runs_of(*before), runs_of(*row)
        half = is_half(*before[0].rows[before[1]])
        full = sum(run[0] for run in above) == cols and above[-1][1] != ""
        begins = bool(here) and here[0][1] != ""
        drawn = draw(here, cols)
        if begins and (full or (half and _cell(here, 0)[0] == 2)):
            if half:
                out.append(b"\x1b[%dG" % cols)
            if here[0][2] and (len(here) > 1 or here[0][0] < cols):
                # A new row is filled with the background of what wraps into it.
                first = _cell(here, 0)
                rest = clip(here, first[0], cols - first[0])
                drawn = draw([first], cols)
                if first[0] < cols:
                    while rest and not rest[-1][1] and not rest[-1][2]:
                        rest.pop()
                    drawn += b"\x1b[K" + draw(rest, cols)
            out.append(drawn)
            return
        # Letters that are taken away again make the line wrap.
        if half:
            out.append(b"\x1b[%dG\xe6\xbc\xa2\r\x1b[2G\x1b[1K\r" % cols + drawn)
            return
        out.append(b"x" if full else b"\x1b[%dGxx" % cols)
        if not full:
            out.append(b"\x1b[A" + _over(clip(above, 0, cols), cols) + b"\x1b[B")
        out.append(b"\r\x1b[1K" + drawn)


def _over(runs: list[Run], cols: int) -> bytes:
    """Draw a whole row over another, without ending its wrap.

    Only erasing to the left does not, so that gaps are made from the right to the left.
    """
    out: list[bytes] = []
    column = cols
    for width, text, sgr, *_ in reversed(runs):
        if not text:
            out.append(b"\x1b[%dG%s\x1b[1K" % (column, sgr or b"\x1b[m"))
        column -= width
    out.append(b"\x1b[m\r")
    for run in runs:
        out.append(draw([run], 0) if run[1] else b"\x1b[%dC" % run[0])
    return b"".join(out)


def _cell(runs: list[Run], x: int) -> Run:
    """Return the one cell at a column, as a run."""
    column = 0
    for width, text, sgr, link, protected, cluster in runs:
        if column + width > x:
            if not text:
                return (1, "", sgr, link, protected, False)
            if cluster:
                return (width, text, sgr, link, protected, True)
            if len(text) == width:
                return (1, text[x - column], sgr, link, protected, False)
            for letter in text:
                size = max(columns_of(letter), 1)
                if column + size > x:
                    return (size, letter, sgr, link, protected, False)
                column += size
        column += width
    return (1, "", b"", None, False, False)


def _charset(new: int, old: int) -> bytes:
    """Return what goes from one choice of character sets to another (ISO 2022)."""
    out = b""
    for slot in range(4):
        now, before = new >> 2 * slot & 3, old >> 2 * slot & 3
        if now != before:
            out += b"\x1b" + _SLOTS[slot : slot + 1] + _CHARSETS[now : now + 1]
    if (new ^ old) >> 8 & 3:
        out += _LEFT[new >> 8 & 3]
    right, before = (new >> 10 & 3 or _USUAL_RIGHT), (old >> 10 & 3 or _USUAL_RIGHT)
    if right != before:
        out += _RIGHT[right]
    return out


def _is_used(screen: CopiedScreen) -> bool:
    """Whether a screen behind has anything that would be missed."""
    return (
        screen.saved is not None
        or screen.protection != 0
        or any(screen.keyboard)
        or any(raw for page in screen.pages for _, raw in page.rows)
    )
