"""The cursor as terminal output: where it is saved, where it stands, and its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .again import last_letter, letter_at, printed_last, unlinked
from .looks import NO_LINK
from .modes import mode_bit, mode_bytes
from .pen import reset_pen, set_pen, single_shift
from .rows import columns_of, draw, whole

if TYPE_CHECKING:
    from collections.abc import Collection

    from .page import Page
    from .rows import Run
    from .snapshot import Fixed, Side, Snapshot

__all__ = ["TAB_EVERY", "USUAL_SHAPE", "place_cursor", "save_cursor", "shape_cursor"]

TAB_EVERY: Final = 8
USUAL_SHAPE: Final = 1
_SHAPES: Final = {0: 5, 1: 1, 2: 3, 3: 1}
"""DECSCUSR's numbers for a blinking bar, block, underline, and hollow block; the next is steady."""


def save_cursor(side: Side, rows: int) -> tuple[str, str]:
    """Return what saves the cursor as it was saved (DECSC): before the screen is drawn, and after.

    One of the two is empty. Some terminals save a place in the scrollback, so that it is done
    afterwards, unless it takes a blank that must not stay.
    """
    saved = side.saved
    if saved is None:
        return "", ""
    page, y = side.visible(rows)[min(saved.y, rows - 1)]
    edge = page.cols - 1
    waits = ""
    in_empty = single_shift(saved) != ""
    if saved.wraps:
        x, run = letter_at(page, y, edge)
        # A link that is opened again would be another one.
        if run is None or run[2].link or saved.x < edge:
            in_empty = True
        letter = " "
        if run and not in_empty:
            letter = _move(x, saved.y) + whole(draw([run], page.cols, x))
        usual = range(TAB_EVERY, page.cols, TAB_EVERY)
        waits = _back_from(edge, saved.x, usual, _move(edge, saved.y) + letter)
    out = "\x1b[?6h" if saved.origin else ""
    out += _move(saved.x, saved.y) + waits
    out += set_pen(saved, side) + single_shift(saved) + "\x1b7" + reset_pen(saved)
    if waits and in_empty:
        out += "\x1b[2K"
    if saved.origin:
        out += "\x1b[?6l"
    out += "\x1b[H"
    return (out, "") if in_empty else ("", out)


def shape_cursor(side: Side, fixed: Fixed, *, usual: bool) -> str:
    """Return what gives the cursor its shape; `usual` if no program chose one."""
    if usual:
        return "\x1b[0 q"
    return f"\x1b[{_SHAPES[side.shape] + (not fixed.modes & mode_bit('?12'))} q"


def place_cursor(snapshot: Snapshot, side: Side) -> str:
    """Return what puts the cursor where it is, so that whatever comes next finds all as it was.

    All else is drawn, the cursor's link is open, and all modes are in force but three: inserting,
    not wrapping, and clusters of letters.
    """
    fixed, cursor = snapshot.fixed, side.cursor
    pen = mode_bytes(mode_bit("?2027") & fixed.modes, fixed.modes) + set_pen(cursor, side)
    last = last_letter(snapshot, side)
    if last.again:
        return _move(last.x, cursor.y, fixed) + pen + last.again
    beyond = not fixed.reaches(cursor.x, cursor.y)
    if cursor.wraps:
        return _wait_to_wrap(snapshot, side, beyond=beyond) + pen
    if beyond and _as_saved(side, fixed):
        return "\x1b8" + pen
    if beyond and side.saved and side.saved.origin:
        # Hardly anything leads to such a place but restoring a cursor that was saved there.
        right, down = cursor.x - side.saved.x, cursor.y - side.saved.y
        return f"\x1b8{_step(right, 'CD')}{_step(down, 'BA')}{pen}"
    # It may have been moved to the left, out of the margins.
    return (
        _move(cursor.x, cursor.y, fixed) + "\x1b[D" * max(fixed.left - cursor.x, 0) * beyond + pen
    )


def _wait_to_wrap(snapshot: Snapshot, side: Side, *, beyond: bool) -> str:
    """Print a letter at an edge, for nothing else makes the next one wrap, and go to the cursor."""
    fixed, cursor = snapshot.fixed, side.cursor
    page, y = side.visible(fixed.rows)[cursor.y]
    edge, x, run = _edge(page, y, fixed, cursor.x)
    if beyond or run is None or run[2].link:
        # Nothing may be printed there, or a link would become two.
        if _as_saved(side, fixed):
            return "\x1b8"
        if not beyond and _may_wait_elsewhere(snapshot):
            return _wait_elsewhere(snapshot)
    link = cursor.link
    if run is None:
        # The letter that was there is gone, scrolled away: a blank takes its place.
        letter = f"{page.cell(y, edge)[1].look.background} \x1b[m"
    else:
        if link and run[2].link == link:
            run = unlinked(run)
            link = None
        letter = whole(draw([run], edge + 1, x))
    if link:
        letter = f"{NO_LINK}{letter}{link.opening}"
    letter = _move(x, cursor.y, fixed) + letter
    if not fixed.wraps_behind(edge):
        return f"\x1b[?69h\x1b[1;{edge + 1}s{letter}\x1b[?69l"  # it waits where a margin was
    return _move(cursor.x, cursor.y, fixed) + _back_from(edge, cursor.x, snapshot.tabs, letter)


def _edge(page: Page, y: int, fixed: Fixed, x: int) -> tuple[int, int, Run | None]:
    """Return an edge at or right of column `x`, if possible one with a letter.

    Return also where the letter begins, and the letter, or else the edge and None.
    """
    edges = sorted(edge for edge in {fixed.right, fixed.edge} if edge >= x)
    if x > 0 and not fixed.modes & mode_bit("?69"):
        edges.append(x)  # it can be made one
    for edge in edges:
        start, run = letter_at(page, y, edge)
        if run and start + run[0] == edge + 1:
            return edge, start, run
    return edges[0], edges[0], None


def _may_wait_elsewhere(snapshot: Snapshot) -> bool:
    """Whether letters can be printed to the alternate screen, and scrolled out of it again."""
    fixed, (here, other) = snapshot.fixed, snapshot.sides
    return (
        fixed.active == 0
        and not fixed.modes & mode_bit("?47")
        # It is closed there, and opened again it is another one, unless it has a name.
        and (here.cursor.link is None or here.cursor.link.name != b"")
        and fixed.top <= here.cursor.y <= fixed.bottom
        and (fixed.left, fixed.right) == (0, fixed.cols - 1)
        and not (other and any(any(page.rows) for page in other.pages))
    )


def _wait_elsewhere(snapshot: Snapshot) -> str:
    """Do the same on the alternate screen, which takes the cursor over and gives it back."""
    fixed, cursor = snapshot.fixed, snapshot.primary.cursor
    letter = printed_last(snapshot) or " "
    there = _move(fixed.edge + 1 - columns_of(letter), cursor.y, fixed)
    scrolled = f"{there}{letter}\x1b[{fixed.rows}S"
    waits = _back_from(fixed.edge, cursor.x, snapshot.tabs, scrolled)
    link = cursor.link.opening if cursor.link else ""
    return f"\x1b[?47h{_move(cursor.x, cursor.y, fixed)}{waits}\x1b[?47l{link}"


def _back_from(edge: int, x: int, tabs: Collection[int], letter: str) -> str:
    """Print a letter at an edge, and go from there back to column `x`, where the cursor stands.

    Of all ways to move the cursor only those from tab stop to tab stop leave it waiting to wrap.
    """
    if x == edge:
        return letter
    count = 1 + sum(x < tab < edge for tab in tabs)
    if x == 0 or x in tabs:
        return f"{letter}\x1b[{count}Z"
    return f"\x1bH{letter}\x1b[{count}Z\x1b[0g"


def _move(x: int, y: int, fixed: Fixed | None = None) -> str:
    """Move to a column and row; `fixed` is given where its margins are in force."""
    if fixed and fixed.modes & mode_bit("?6"):
        x, y = max(x - fixed.left, 0), max(y - fixed.top, 0)
    return f"\x1b[{y + 1};{x + 1}H"


def _step(count: int, directions: str) -> str:
    """Move forth, or back."""
    return f"\x1b[{abs(count)}{directions[count < 0]}" if count else ""


def _as_saved(side: Side, fixed: Fixed) -> bool:
    """Whether restoring the saved cursor (DECRC) would change nothing."""
    now = attrs.evolve(side.cursor, link=None, origin=bool(fixed.modes & mode_bit("?6")))
    return side.saved == now
