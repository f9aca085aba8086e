"""Letters that are printed once more, for what comes next looks back at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .cells import CUT, HALF
from .modes import mode_bit
from .page import WRAPS, Face
from .pen import becomes
from .rows import Run, columns_of, draw, needs_clustering, runs_of, spelled, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .looks import Look
    from .page import Page
    from .snapshot import Side, Snapshot

__all__ = [
    "LastLetter",
    "last_letter",
    "letter_at",
    "open_link",
    "printed_last",
    "repeat_letter",
    "unlinked",
]


@attrs.frozen
class LastLetter:
    """The letter before the cursor; where the cursor waits to wrap, that which fills the line."""

    x: int
    run: Run | None
    """None for a gap, and at the beginning of a row."""
    again: str
    """What prints it once more, if it was the last letter to be printed."""


def last_letter(snapshot: Snapshot, side: Side) -> LastLetter:
    """Return the letter before the cursor.

    Printed once more it is the last one again, which what comes next may repeat (REP), or be a mark
    that belongs to it.
    """
    fixed, cursor = snapshot.fixed, side.cursor
    page, y = side.visible(fixed.rows)[cursor.y]
    x, run = letter_at(page, y, cursor.x if cursor.wraps else cursor.x - 1)
    letter = printed_last(snapshot)
    if not (run and letter) or becomes(letter, cursor) != run[1][0]:
        return LastLetter(x, run, "")
    width, text, face = run
    fits = (
        width == columns_of(letter)
        and not needs_clustering(*run)
        # Where clusters are one, it might join the letter before it, or what follows it.
        and (not fixed.modes & mode_bit("?2027") or (letter <= "~" and not face.clustered))
        and (face.look, face.link, face.protected) == (cursor.look, cursor.link, cursor.protected)
        # Behind an edge the cursor would wait to wrap, and nowhere else.
        and x + width == cursor.x + cursor.wraps
        and fixed.wraps_behind(x + width - 1) == cursor.wraps
        and fixed.reaches(x, cursor.y)
    )
    return LastLetter(x, run, spelled(letter + text[1:].replace(HALF, "")) if fits else "")


def repeat_letter(snapshot: Snapshot, side: Side) -> str:
    """Return what prints the last letter and takes it away again, if it is not before the cursor.

    All rows have been drawn, no modes are in force, and the cursor's link is open.
    """
    letter = printed_last(snapshot)
    if not letter or last_letter(snapshot, side).again:
        return ""
    size = columns_of(letter)
    again = ""
    for row, (page, y, cut_above) in enumerate(_visible(side, snapshot.fixed.rows), 1):
        # Erasing would end a wrap, and let go of what was cut in the row above.
        free = None if page.flags[y] & WRAPS else _free(page, y, size, 2 * cut_above)
        if free:
            x, look = free
            there = f"\x1b[{row};{x + 1}H"
            return f"{there}{letter}{there}{look.background}\x1b[{size}X\x1b[m"
        x = page.cells(y).text.find(letter)
        if x >= 0 and not (again or side.cursor.link):
            _, run = letter_at(page, y, x)
            if run and not (run[2].clustered or run[2].link):
                again = f"\x1b[{row};{x + 1}H" + whole(draw([run], page.cols))
    if not (again or side.cursor.link or snapshot.alternate):
        again = f"\x1b[?47h{letter}\x1b[2J\x1b[?47l"
    return again


def open_link(snapshot: Snapshot, side: Side) -> str:
    """Return what makes what comes next part of the link that the cursor is in.

    All rows have been drawn, and no modes are in force. Whatever is printed after a link is opened
    belongs to that one link: so its visible letters are printed again.
    """
    link = side.cursor.link
    if link is None:
        return ""
    out = [link.opening]
    for row, (page, y, cut_above) in enumerate(_visible(side, snapshot.fixed.rows), 1):
        x = 0
        for run in runs_of(page, y) if page.linked else ():
            # Letters that make a cell wide one by one would let go of what was cut.
            if run[2].link == link and not (x == 0 and cut_above and needs_clustering(*run)):
                out.append(f"\x1b[{row};{x + 1}H" + whole(draw([unlinked(run)], page.cols, x)))
            x += run[0]
    return "".join(out)


def printed_last(snapshot: Snapshot) -> str:
    """Return the letter that was printed last; nothing if there is none that takes a column."""
    letter = snapshot.fixed.letter
    return chr(letter) if letter <= 0x10FFFF and columns_of(chr(letter)) else ""


def unlinked(run: Run) -> Run:
    """Return a run without its link."""
    width, text, face = run
    return width, text, attrs.evolve(face, link=None)


def letter_at(page: Page, y: int, x: int) -> tuple[int, Run | None]:
    """Return the first column of the letter that fills a column, and the letter."""
    if x < 0:
        return x, None
    letter, face = page.cell(y, x)
    if letter == HALF:
        x -= 1
        letter, face = page.cell(y, x)
    if face.gap or letter == CUT:
        return x, None
    wide = x + 1 < page.cols and page.cell(y, x + 1)[0] == HALF
    return x, (1 + wide, letter + (page.clusters[y][x] if face.clustered else HALF * wide), face)


def _visible(side: Side, rows: int) -> Iterator[tuple[Page, int, bool]]:
    """Yield the visible rows, and whether a wide letter found no place in the one above."""
    found = side.visible(rows + 1)
    cut_above = False
    for number, (page, y) in enumerate(found, rows - len(found)):
        if number >= 0:
            yield page, y, cut_above
        cut_above = page.cell(y, page.cols - 1)[0] == CUT


def _free(page: Page, y: int, size: int, first: int) -> tuple[int, Look] | None:
    """Return a column from `first` on where so many are empty, and their look."""
    column = x = 0
    gap: Look | None = None
    for width, _, face in (*runs_of(page, y), (page.cols, "", Face(gap=True))):
        if gap is None or face.look.background != gap.background:
            x = max(column, first)
        gap = face.look if face.gap else None
        column += width
        # Behind the last column the cursor would wait to wrap.
        if gap and x + size <= min(column, page.cols - 1):
            return x, gap
    return None
