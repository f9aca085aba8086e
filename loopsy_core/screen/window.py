"""What others show of a screen: its lines as text, and a part of it, ready to be painted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .rows import WRAPS, clip, draw, plain_text, runs_of

if TYPE_CHECKING:
    from .copy import Copy, Page

__all__ = ["Window", "history_of", "lines_of"]

_KEPT: Final = 512
"""Painted rows that are remembered."""


def lines_of(copy: Copy) -> list[str]:
    """Return the visible rows as text without trailing blanks."""
    return [plain_text(runs_of(page, y)) for page, y in copy.visible]


def history_of(copy: Copy, *, ansi: bool, lines: int | None) -> list[bytes]:
    """Return scrollback and visible rows as lines, oldest first, at most the last `lines`.

    See Screen.history for what a line is. While the alternate screen shows, its rows follow those
    of the primary one.
    """
    found: list[bytes] = []
    for alternate in sorted(copy.screens):
        if alternate and not copy.alternate:
            continue
        screen = copy.screens[alternate]
        found += _lines([*screen.history, *screen.pages], copy.cols, ansi, lines)
    while found and found[-1] == b"\n":
        found.pop()
    return found if lines is None else found[max(len(found) - lines, 0) :]


def _lines(pages: list[Page], cols: int, ansi: bool, most: int | None) -> list[bytes]:
    rows = [(page, y) for page in pages for y in range(len(page.rows))]
    found: list[bytes] = []
    last = len(rows)
    while last and not rows[last - 1][0].rows[rows[last - 1][1]][1]:
        last -= 1  # empty rows at the end
    while last > 0 and (most is None or len(found) < most):
        first = last - 1
        while first > 0 and _wraps(rows[first - 1]):
            first -= 1
        found.append(_joined(rows[first:last], cols, ansi))
        last = first
    found.reverse()
    return found


def _wraps(row: tuple[Page, int]) -> bool:
    page, y = row
    return bool(page.rows[y][0] & WRAPS)


def _joined(rows: list[tuple[Page, int]], cols: int, ansi: bool) -> bytes:
    parts: list[bytes] = []
    for number, (page, y) in enumerate(rows, 1):
        runs = runs_of(page, y)
        if number < len(rows):
            runs = clip(runs, 0, cols)  # its end holds the next one in its place
        if ansi:
            parts.append(draw(runs, cols, holes=False))
        else:
            text = "".join(run[1] or " " * run[0] for run in runs)
            parts.append((text if number < len(rows) else text.rstrip(" ")).encode())
    return b"".join(parts) + b"\n"


class Window:
    """Paints parts of a screen; rows that stay the same are not painted anew."""

    def __init__(self) -> None:
        self._painted: dict[tuple[object, ...], bytes] = {}

    def paint(self, copy: Copy, left: int, top: int, cols: int, rows: int) -> list[bytes]:
        """Return `rows` strings, each `cols` columns wide, of what begins at `left` and `top`."""
        if len(self._painted) > _KEPT:
            self._painted.clear()
        found = copy.visible[max(top, 0) : max(top + rows, 0)]
        blank = b" " * cols
        painted = [blank] * min(max(-top, 0), rows)
        painted += [self._row(page, y, left, cols) for page, y in found]
        return (painted + [blank] * rows)[:rows]

    def _row(self, page: Page, y: int, left: int, cols: int) -> bytes:
        if y in page.clusters:
            return _painted(page, y, left, cols)
        # Pages with the same styles share one table, as long as it is remembered.
        key = (page.rows[y], id(page.styles), left, cols)
        known = self._painted.get(key)
        if known is None:
            known = self._painted[key] = _painted(page, y, left, cols)
        return known


def _painted(page: Page, y: int, left: int, cols: int) -> bytes:
    return draw(clip(runs_of(page, y), left, cols), cols, holes=False)
