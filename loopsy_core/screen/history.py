"""What a terminal has shown, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bulk import styled_rows, text_rows
from .cells import CUT, HALF
from .easy import blocks
from .page import WRAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .easy import Formatted
    from .page import Page
    from .snapshot import Side, Snapshot

__all__ = ["history_of"]


def history_of(
    snapshot: Snapshot, *, ansi: bool, lines: int | None, formatted: Formatted | None = None
) -> list[bytes]:
    """Return what `Screen.history` does; see `draw_picture`. Raises one of UNREADABLE."""
    sides = [(snapshot.primary, formatted)]
    if snapshot.fixed.active and snapshot.alternate:
        sides = [(snapshot.primary, None), (snapshot.alternate, formatted)]
    found: list[bytes] = []
    for side, way in sides:
        if lines is None:
            found += _lines(side.pages, way, ansi=ansi)
        else:
            found += _lines(_last(side, lines), None, ansi=ansi)
    return found if lines is None else found[max(len(found) - lines, 0) :]


def _last(side: Side, lines: int) -> list[Page]:
    """Return as many of the last pages as surely hold so many lines."""
    pages: list[Page] = []
    whole = 0
    # One line more, for the first may begin on the page before.
    while whole <= lines and len(pages) < len(side.spans):
        page = side.page(len(side.spans) - 1 - len(pages))
        whole += sum(
            bool(raw) and not flags & WRAPS
            for raw, flags in zip(page.rows, page.flags, strict=True)
        )
        pages.insert(0, page)
    return pages


def _lines(pages: Sequence[Page], formatted: Formatted | None, *, ansi: bool) -> list[bytes]:
    """Return the rows of a screen, those of one line joined, without empty lines at the end."""
    lines: list[str] = []
    begun = ""
    for block in blocks(pages, formatted if ansi else None):
        page = block.page
        if block.output is not None:
            rows = block.output.split("\r\n")
            lines.append(begun + rows[0])
            lines += rows[1:]
            begun = lines.pop() if block.last_page.flags[block.last] & WRAPS else ""
            continue
        ys = range(block.first, block.last + 1)
        rows = styled_rows(page, ys) if ansi else text_rows(page, ys)
        if not (begun or page.wraps):
            lines += rows
            continue
        for y, row in zip(ys, rows, strict=True):
            begun += row
            if page.flags[y] & WRAPS:
                # What follows in the next row keeps its distance.
                held = page.width(y) if ansi else len(row)
                begun += " " * (page.cols - held)
            else:
                lines.append(begun)
                begun = ""
    if begun:
        lines.append(begun)
    text = "\n".join(lines).replace("\0", " ").replace(" " + HALF, "  ")
    found = text.replace(HALF, "").replace(CUT, "").encode().split(b"\n")
    while found and not found[-1].strip():
        found.pop()
    return found
