"""The cursor as terminal output: where it is saved, where it stands, and its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .again import last_letter, letter_at, unlinked
from .looks import NO_LINK
from .modes import mode_bit, mode_bytes
from .pen import reset_pen, set_pen, single_shift
from .rows import draw, whole

if TYPE_CHECKING:
    from .snapshot import Fixed, Side, Snapshot

__all__ = ["USUAL_SHAPE", "place_cursor", "save_cursor", "shape_cursor"]

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
    waits = ""
    in_empty = single_shift(saved) != ""
    if saved.wraps:
        x, run = letter_at(page, y, min(saved.x, page.cols - 1))
        # A link that is opened again would be another one.
        if run is None or run[2].link:
            in_empty = True
        waits = " "
        if run and not in_empty:
            waits = _move(x, saved.y) + whole(draw([run], x + run[0], x))
        if saved.x < page.cols - 1:
            waits = _margin(saved.x) + _move(saved.x, saved.y) + waits
    out = "\x1b[?6h" if saved.origin else ""
    out += _move(saved.x, saved.y) + waits
    out += set_pen(saved, side) + single_shift(saved) + "\x1b7" + reset_pen(saved)
    if waits and in_empty:
        out += "\x1b[2K"
    if waits:
        out += "\x1b[?69l"
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
    if last.again and (not cursor.wraps or fixed.may_wrap(cursor.x)):
        return _move(last.x, cursor.y, fixed) + pen + last.again
    beyond = not fixed.reaches(cursor.x, cursor.y)
    if ((cursor.wraps and not last.run) or beyond) and _as_saved(side, fixed):
        return "\x1b8" + pen
    if cursor.wraps:
        return _wait_to_wrap(snapshot, side) + pen
    if beyond and side.saved and side.saved.origin:
        # Hardly anything leads to such a place but restoring a cursor that was saved there.
        right, down = cursor.x - side.saved.x, cursor.y - side.saved.y
        return f"\x1b8{_step(right, 'CD')}{_step(down, 'BA')}{pen}"
    # It may have been moved to the left, out of the margins.
    return (
        _move(cursor.x, cursor.y, fixed) + "\x1b[D" * max(fixed.left - cursor.x, 0) * beyond + pen
    )


def _wait_to_wrap(snapshot: Snapshot, side: Side) -> str:
    """Print a letter at the edge: nothing else makes the next one wrap."""
    fixed, cursor = snapshot.fixed, side.cursor
    last = last_letter(snapshot, side)
    out = _move(last.x, cursor.y, fixed)
    link = cursor.link
    if last.run is None:
        # The letter that was there is gone, scrolled away: a blank takes its place.
        page, y = side.visible(fixed.rows)[cursor.y]
        letter = f"{page.cell(y, cursor.x)[1].look.background} \x1b[m"
    else:
        run = last.run
        if link and run[2].link == link:
            run = unlinked(run)
            link = None
        letter = whole(draw([run], last.x + run[0], last.x))
    if link:
        letter = f"{NO_LINK}{letter}{link.opening}"
    if fixed.may_wrap(cursor.x):
        return out + letter
    return f"{_margin(cursor.x)}{out}{letter}\x1b[?69l"  # it waits where a margin was


def _margin(x: int) -> str:
    """Set the right margin."""
    return f"\x1b[?69h\x1b[1;{x + 1}s"


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
