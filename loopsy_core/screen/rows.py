"""Rows of cells, unpacked: what stands in them as runs, and how a run is written.

Cells come packed in 1, 2, 4 or 8 bytes each, by what a row needs: letters of Latin-1, any letters,
letters with styles or coloured blanks, everything (links, protection, wide letters).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from pyghostty import lib

from .looks import Link, background

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .copy import Page

__all__ = [
    "CONTINUED",
    "WRAPS",
    "Run",
    "clip",
    "columns_of",
    "draw",
    "is_half",
    "plain_text",
    "runs_of",
]

Run: TypeAlias = "tuple[int, str, bytes, Link | None, bool, bool]"
"""Columns, text, style, link, whether protected, whether one cell of several letters.

Without text it is a gap: never written, or erased under the style's background.
"""

WRAPS: Final = 1
"""A row's flag: the line goes on in the next row."""
CONTINUED: Final = 2
"""A row's flag: the line began in a row above."""

_HALF: Final = "\x01"
"""Stands for the second half of a wide letter."""
_HALF_CELL: Final = 3
_WIDE_BLANK: Final = " \x01"
"""What a wide letter becomes under line drawing; nothing but that prints it."""
_SEGMENT = re.compile("\0+|[^\0]+")
_ATTRIBUTES_4 = re.compile(rb"(?s)(.{4})\1*")
_ATTRIBUTES_8 = re.compile(rb"(?s)(.{8})\1*")
_KIND: Final = 3
_COLOURED: Final = 2
"""Of a cell's kinds (letter, several letters, colour of the palette, colour) the last two."""
_CONTENT: Final = 0xFFFFFF
_COLOUR: Final = _CONTENT << 2 | _KIND
_LETTER: Final = 0x1FFFFF
_STYLE_SHIFT, _WIDTH_SHIFT, _PROTECTED_SHIFT, _LINK_SHIFT = 26, 42, 44, 48
_STYLE_MASK: Final = 0xFFFF
# What makes two neighbours differ: not the letter, its width, or what a shell says of it.
_LOOK: Final = 0xFFFF << _LINK_SHIFT | 1 << _PROTECTED_SHIFT | _STYLE_MASK << _STYLE_SHIFT


@lru_cache(maxsize=64)
def _masks(cells: int, size: int) -> tuple[int, int, int, int]:
    """Return, for that many cells: kinds, letters, second halves, looks."""
    ones = int.from_bytes((b"\x01" + bytes(size - 1)) * cells, "little")
    look = _LOOK & ((1 << 8 * size) - 1)
    return ones * _COLOURED, ones * _LETTER, ones << 2, ones * look


def runs_of(page: Page, y: int) -> list[Run]:
    """Return what stands in a row, from the left; what follows the last run is empty."""
    flags, raw = page.rows[y]
    clusters = page.clusters.get(y) if page.clusters else None
    packing = flags >> 4
    if packing == 0:
        return _split([(raw.decode("latin-1"), 0)], page, clusters)
    if packing == 1:
        return _split([(raw.decode("utf-16-le"), 0)], page, clusters)
    size = 1 << packing
    if is_half(flags, raw):
        raw = raw[:-size]
    kinds, letters, seconds, looks = _masks(len(raw) // size, size)
    whole = int.from_bytes(raw, "little")
    if whole & kinds:
        return _runs_with_colours(page, raw, size, clusters)
    if size == 8:
        # A second half has no letter: its flag takes the place of one.
        whole |= (whole >> (_WIDTH_SHIFT + 1 - 2)) & seconds
    text = (whole >> 2 & letters).to_bytes(len(raw), "little")
    if size == 8:
        text = memoryview(text).cast("I")[::2].tobytes()
    shown = text.decode("utf-32-le")
    attributes = (whole & looks).to_bytes(len(raw), "little")
    pattern = _ATTRIBUTES_8 if size == 8 else _ATTRIBUTES_4
    parts: list[tuple[str, int]] = []
    for match in pattern.finditer(attributes):
        start, end = match.span()
        look = int.from_bytes(match[1], "little")
        parts.append((shown[start // size : end // size], look))
    return _split(parts, page, clusters)


def _split(
    parts: Iterable[tuple[str, int]], page: Page, clusters: dict[int, str] | None
) -> list[Run]:
    runs: list[Run] = []
    column = 0
    for text, attributes in parts:
        sgr = page.styles[attributes >> _STYLE_SHIFT & _STYLE_MASK][0]
        protected = bool(attributes >> _PROTECTED_SHIFT & 1)
        number = attributes >> _LINK_SHIFT
        link = page.links[number] if number else None
        if not text:
            continue
        if _WIDE_BLANK in text:
            text = text.replace(_WIDE_BLANK, "  ")
        if clusters is None and "\0" not in text and _HALF not in text:
            runs.append((len(text), text, sgr, link, protected, False))
            column += len(text)
            continue
        for segment in _SEGMENT.findall(text):
            if segment[0] == "\0":
                runs.append((len(segment), "", b"", None, False, False))
            elif clusters is None:
                shown = segment.replace(_HALF, "")
                if shown:
                    runs.append((len(segment), shown, sgr, link, protected, False))
            else:
                runs += _with_clusters(segment, column, clusters, (sgr, link, protected))
            column += len(segment)
    return runs


def _with_clusters(
    segment: str, column: int, clusters: dict[int, str], look: tuple[bytes, Link | None, bool]
) -> list[Run]:
    runs: list[Run] = []
    start = 0
    for at in range(len(segment)):
        if column + at not in clusters:
            continue
        if at > start:
            runs.append((at - start, segment[start:at].replace(_HALF, ""), *look, False))
        width = 2 if segment[at + 1 : at + 2] == _HALF else 1
        runs.append((width, segment[at] + clusters[column + at], *look, True))
        start = at + width
    if start < len(segment):
        runs.append((len(segment) - start, segment[start:].replace(_HALF, ""), *look, False))
    return runs


def _runs_with_colours(
    page: Page, raw: bytes, size: int, clusters: dict[int, str] | None
) -> list[Run]:
    words = memoryview(raw).cast("Q" if size == 8 else "I").tolist()
    runs: list[Run] = []
    column = 0

    for look, group in groupby(words, _likeness):
        cells = list(group)
        if look & _COLOURED:
            sgr = background(look & _KIND, look >> 2 & _CONTENT)
            runs.append((len(cells), "", sgr, None, False, False))
        else:
            text = "".join(
                _HALF if cell >> _WIDTH_SHIFT & 2 else chr(cell >> 2 & _LETTER) for cell in cells
            )
            shifted = clusters and {x - column: added for x, added in clusters.items()}
            runs += _split([(text, look)], page, shifted)
        column += len(cells)
    return runs


def _likeness(word: int) -> int:
    return word & _COLOUR if word & _COLOURED else word & _LOOK


def is_half(flags: int, raw: bytes) -> bool:
    """Whether a row's last cell waits for a wide letter, which went to the next row."""
    return flags >> 4 == 3 and len(raw) > 0 and raw[-3] >> 2 & 3 == _HALF_CELL  # bits 42 and 43


def plain_text(runs: Iterable[Run]) -> str:
    """Return the text without any style; gaps are blanks, those at the end are left out."""
    return "".join(run[1] or " " * run[0] for run in runs).rstrip(" ")


def draw(runs: Iterable[Run], cols: int, *, holes: bool = True) -> bytes:
    """Return runs as terminal output, from the first column on; it begins and ends plain.

    Gaps are moved over and erased (`holes`), so that they are as empty as they were; or else
    they become blanks, links and protection are left out, and only SGR sequences remain.
    """
    out: list[bytes] = []
    pen = b""
    target: Link | None = None
    guarded = False
    column = 0
    for width, text, sgr, link, protected, cluster in runs:
        column += width
        if not text:
            if holes and not sgr:
                out.append(b"\x1b[%dC" % width)
                continue
            if sgr != pen:
                out.append(sgr or b"\x1b[m")
                pen = sgr
            if not holes:
                out.append(b" " * width)
                continue
            # The cursor does not get behind the last column.
            out.append(b"\x1b[%dX" % width)
            if column < cols:
                out.append(b"\x1b[%dC" % width)
            continue
        if sgr != pen:
            out.append(sgr or b"\x1b[m")
            pen = sgr
        if holes:
            if link is not target:
                out.append(link.opening if link else b"\x1b]8;;\x1b\\")
                target = link
            if protected is not guarded:
                out.append(b'\x1b[1"q' if protected else b'\x1b[0"q')
                guarded = protected
        if cluster and _needs_clustering(width, text):
            after = b"\x1b[%dG" % (column + 1) if holes and column < cols else b""
            out.append(b"\x1b[?2027h" + text.encode() + b"\x1b[?2027l" + after)
        else:
            out.append(text.encode())
    if guarded:
        out.append(b'\x1b[0"q')
    if target:
        out.append(b"\x1b]8;;\x1b\\")
    if pen:
        out.append(b"\x1b[m")
    return b"".join(out)


def _needs_clustering(width: int, text: str) -> bool:
    """Whether letters share a cell only where whole clusters do (mode 2027)."""
    return columns_of(text[0]) != width or any(columns_of(letter) for letter in text[1:])


@lru_cache(maxsize=4096)
def columns_of(letter: str) -> int:
    """Return how many columns a letter takes."""
    columns: int = lib.ghostty_unicode_codepoint_width(ord(letter))
    return columns


def clip(runs: Iterable[Run], left: int, cols: int) -> list[Run]:
    """Return the part of a row that a window shows, exactly `cols` wide.

    A wide letter that the border cuts becomes a blank.
    """
    right = left + cols
    clipped: list[Run] = []
    column = 0
    for width, text, sgr, link, protected, cluster in runs:
        start, end = column, column + width
        column = end
        if end <= left or start >= right:
            continue
        if start >= left and end <= right:
            clipped.append((width, text, sgr, link, protected, cluster))
            continue
        shown = min(end, right) - max(start, left)
        if not text or cluster:
            cut = " " * shown if text else ""
        elif len(text) == width:
            cut = text[max(left - start, 0) : right - start]
        else:
            cut = _cut_wide(text, left - start, right - start)
        clipped.append((shown, cut, sgr, link, protected, False))
    if column < right:
        clipped.append((right - max(column, left), "", b"", None, False, False))
    return clipped


def _cut_wide(text: str, left: int, right: int) -> str:
    out: list[str] = []
    column = 0
    for letter in text:
        end = column + max(columns_of(letter), 1)
        if column >= left and end <= right:
            out.append(letter)
        elif end > left and column < right:
            out.append(" " * (min(end, right) - max(column, left)))
        column = end
    return "".join(out)
