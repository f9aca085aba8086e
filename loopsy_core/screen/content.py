"""All rows of a screen as terminal output, and the wraps between them.

Written to an empty screen they scroll by as they once did. A line that goes on in the next row does
so because the next letter was printed when it was full: that is done again, if need be with
letters that are taken away afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .bulk import drawn_rows
from .cells import CUT, HALF
from .easy import blocks
from .looks import NO_LINK
from .page import CONTINUED, WRAPS, Face
from .rows import draw, runs_of, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .easy import Formatted
    from .looks import Link
    from .page import Page
    from .rows import Run

__all__ = ["draw_content"]

_GAP: Final = Face(gap=True)
_LEFT_ERASED: Final = "\x1b[1K"
"""Erases up to the cursor. Of all ways to erase only this one does not end the wrap of a row."""
_WIDE: Final = "漢"
_INSERTED: Final = "\x1b[L"
"""An inserted row continues no other, and takes nothing from the wrap of the one above."""


def draw_content(pages: Sequence[Page], rows: int, formatted: Formatted | None = None) -> str:
    """Draw all rows of a screen, from the top left corner of an empty one of `rows` rows.

    All is plain before and after; the cursor ends somewhere in the last row. `formatted` is given
    for the screen that the emulator shows.
    """
    drawing = _Drawing(rows)
    for block in blocks(pages, formatted):
        if block.output is None:
            drawing.draw(block.page, range(block.first, block.last + 1))
        else:
            drawing.join(_Row(block.page, block.first), block.output)
            drawing.above = _Row(block.last_page, block.last)
    return drawing.finish()


class _Row:
    """One row of a page."""

    __slots__ = ("page", "y")

    def __init__(self, page: Page, y: int) -> None:
        self.page = page
        self.y = y

    @property
    def wraps(self) -> bool:
        return bool(self.page.flags[self.y] & WRAPS)

    @property
    def continued(self) -> bool:
        return bool(self.page.flags[self.y] & CONTINUED)

    @property
    def first_link(self) -> Link | None:
        return self.page.cell(self.y, 0)[1].link

    @property
    def last_link(self) -> Link | None:
        count = self.page.width(self.y)
        return self.page.cell(self.y, count - 1)[1].link if count else None


class _Drawing:
    """Takes rows from the top to the bottom."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._out: list[str] = []
        self.above: _Row | None = None
        """The last row that was drawn."""

    def draw(self, page: Page, ys: range) -> None:
        """Draw some rows of a page, one after the other."""
        drawn = drawn_rows(page, ys)
        if not (page.linked or page.wraps):
            # The usual: nothing goes on from any row to the next.
            self.join(_Row(page, ys[0]), "\r\n".join(drawn))
            self.above = _Row(page, ys[-1])
            return
        for y, output in zip(ys, drawn, strict=True):
            row = _Row(page, y)
            if page.linked and self.above and self.above.last_link == row.first_link:
                self._go_on(row, output)
            else:
                self.join(row, output)
            self.above = row

    def join(self, row: _Row, output: str) -> None:
        """Put what begins with a row below the last one."""
        if self.above:
            wraps = self.above.wraps
            self._out.append(_seam(self.above, row) if wraps else "\r\n")
        self._out.append(output)

    def finish(self) -> str:
        """Return all that was drawn."""
        above, rows = self.above, self._rows
        if above and above.wraps:
            # The lowest row wraps onto itself where it stands below the margins, or beside them.
            cols = above.page.cols
            last, face = above.page.cell(above.y, cols - 1)
            letters = _cut_letter(face) if last == CUT else "xx"
            letters = f"\x1b[{rows};{cols}H{_LEFT_ERASED}{letters}"
            if rows > 2:
                self._out.append(f"\x1b[1;{rows - 1}r{letters}{_over(above)}\x1b[r")
            else:
                self._out.append(f"\x1b[?69h\x1b[1;2s{letters}\x1b[?69l{_over(above)}")
        return whole("".join(self._out))

    def _go_on(self, row: _Row, output: str) -> None:
        """Join a row that begins with the link in which the last one ended: it is one link."""
        place = len(self._out)
        self.join(row, output)
        link = row.first_link
        if link:
            self._out[place - 1] = self._out[place - 1].removesuffix(NO_LINK)
            self._out[-1] = output.removeprefix(link.opening)


def _seam(above: _Row, below: _Row) -> str:
    """Return what stands between two rows of one line."""
    cols = above.page.cols
    last, end = above.page.cell(above.y, cols - 1)
    _, begin = below.page.cell(below.y, 0)
    # A new row is filled with the background of what wraps into it.
    if below.continued and not (begin.gap or begin.look.background):
        wide = cols > 1 and below.page.cell(below.y, 1)[0] == HALF
        if (wide and end.look == begin.look) if last == CUT else not end.gap:
            return ""
    inserted = "" if below.continued else _INSERTED
    if not end.gap and last != CUT:
        return f"x\r{_LEFT_ERASED}{inserted}"
    # A wide letter does not fit into the last column, and leaves it empty. The column is marked
    # as left out for as long as that letter is there.
    letter = _cut_letter(end) + ("" if last == CUT else "\rx")
    return f"\x1b[{cols}G{letter}\x1b[{cols}G{_LEFT_ERASED}\r{inserted}"


def _cut_letter(face: Face) -> str:
    """Print a wide letter that finds no place in its row, which leaves a mark there."""
    letter = f"{face.look.sgr}{_WIDE}\x1b[m"
    return f'\x1b[1"q{letter}\x1b[0"q' if face.protected else letter


def _over(row: _Row) -> str:
    """Draw a row over whatever stands in it, without ending its wrap."""
    cols = row.page.cols
    runs = runs_of(row.page, row.y)
    column = sum(width for width, *_ in runs)
    if column < cols:
        runs.append((cols - column, "", _GAP))
    # What no letter can be printed to is not to be erased.
    column = cols - (row.page.cell(row.y, cols - 1)[0] == CUT)
    out = [f"\x1b[{column}G{_LEFT_ERASED}"]
    column = cols
    # Gaps are made from the right to the left, for each takes all that is left of it along.
    for width, _, face in reversed(runs):
        if face.gap:
            colour = face.look.background or "\x1b[m"
            out.append(f"\x1b[{column}G{colour}{_LEFT_ERASED}")
        column -= width
    letters: list[Run] = [(width, text, _GAP if face.gap else face) for width, text, face in runs]
    return "".join(out) + "\x1b[m\r" + draw(letters, cols)
