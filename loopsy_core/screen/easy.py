"""Which rows the emulator's own formatter writes exactly: it is fast, but leaves some things out.

It writes letters with their styles, wide ones, too, and the rows of one line without a break. It
does not know gaps between letters, colours without letters, links, protection, and letters that
share a cell only where clusters do; and it takes blanks from the end of a row to the next that
says it goes on, also where that is not true.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from .cells import CUT, only_letters
from .page import CONTINUED, WRAPS, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Block", "Formatted", "blocks", "orphans"]

Formatted: TypeAlias = "Callable[[int, int], str]"
"""Returns rows of the screen that shows as the emulator formats them, those of one line joined:
from the first to before the last argument, counted from the beginning of the scrollback."""

ENOUGH: Final = 8
"""Rows that are costly to draw by hand; the formatter is not called for fewer."""

_NONE: Final = 1 << 62, 1 << 62
_HARD, _COSTLY, _CHEAP, _EMPTY = range(4)
_LETTERS: Final = (_COSTLY, _CHEAP)
_ONLY_LINES: Final = bytes(flags & (WRAPS | CONTINUED) for flags in range(256))
_ORPHAN = re.compile(rb"(?<=[\x00\x02])[\x02\x03]")
_STRETCH = re.compile(rb"[\x01\x02](?:[\x01\x02\x03]*[\x01\x02])?")


@attrs.frozen
class Block:
    """Rows that belong together: some of one page, or some that the emulator formats."""

    page: Page
    """The page of the first row."""
    first: int
    last_page: Page
    last: int
    output: str | None
    """The rows as they were formatted, or else they are yet to be drawn."""


def blocks(pages: Sequence[Page], formatted: Formatted | None) -> Iterator[Block]:
    """Yield all rows; as many as it can write exactly and fast are left to `formatted`."""
    stretches = _stretches(pages) if formatted else iter(())
    first, after = next(stretches, _NONE)
    begun: tuple[Page, int] | None = None
    number = 0
    for page in pages:
        count = len(page.rows)
        y = 0
        while y < count:
            if number + y < first:
                until = min(first - number, count)
                yield Block(page, y, page, until - 1, None)
            else:
                until = min(after - number, count)
                begun = begun or (page, y)
                if number + until == after and formatted:
                    yield Block(*begun, page, until - 1, formatted(first, after))
                    begun = None
                    first, after = next(stretches, _NONE)
            y = until
        number += count


def _stretches(pages: Sequence[Page]) -> Iterator[tuple[int, int]]:
    """Yield the first row of each stretch that may be formatted, and the one after its last."""
    kinds = bytearray().join(map(_kinds, pages))
    for number in orphans(pages):
        kinds[number] = _HARD
    kinds.append(_HARD)
    start = 0
    for page, following in pairwise((*pages, None)):
        if page:
            if page.wraps:
                _correct(kinds, start, page, following)
            start += len(page.rows)
    for stretch in _STRETCH.finditer(kinds):
        if stretch[0].count(_COSTLY) >= ENOUGH:
            yield stretch.span()


def orphans(pages: Sequence[Page]) -> list[int]:
    """Return the rows whose line began in a row above that does not go on: it was another.

    The formatter puts the blanks of that before them.
    """
    flags = b"".join(page.flags for page in pages).translate(_ONLY_LINES)
    return [match.start() for match in _ORPHAN.finditer(flags)]


def _kinds(page: Page) -> bytearray:
    """Return how each row of a page may be drawn, whatever stands before and after it."""
    sizes = page.packings
    if max(sizes) < 4 and not page.wraps:
        return bytearray(len(sizes))  # nothing is costly
    if min(sizes) == max(sizes) and all(page.rows) and only_letters(b"".join(page.rows), sizes[0]):
        return bytearray((_CHEAP if sizes[0] < 4 else _COSTLY,)) * len(sizes)
    kinds = bytearray(len(sizes))
    for y, (raw, size) in enumerate(zip(page.rows, sizes, strict=True)):
        if not raw:
            kinds[y] = _EMPTY
        elif only_letters(raw, size):
            kinds[y] = _CHEAP if size < 4 else _COSTLY
    return kinds


def _correct(kinds: bytearray, start: int, page: Page, following: Page | None) -> None:
    """Take out rows of a page whose lines do not go on of themselves in the next one.

    The page's first row is number `start` of `kinds`, which has one more than there are.
    """
    full = {size: page.cols * size for size in (1, 2, 4, 8)}
    for y, flags in enumerate(page.flags):
        if not flags & WRAPS:
            continue
        kind = kinds[start + y]
        kinds[start + y] = _HARD
        if (
            kind in _LETTERS
            and kinds[start + y + 1] in _LETTERS
            and len(page.rows[y]) == full[page.packings[y]]
            and (page.packings[y] < 8 or page.cell(y, page.cols - 1)[0] != CUT)
        ):
            # A new row is filled with the background of what wraps into it.
            below, z = (page, y + 1) if y + 1 < len(page.rows) else (following, 0)
            if below and below.flags[z] & CONTINUED and below.first_style(z) not in below.coloured:
                kinds[start + y] = _COSTLY
