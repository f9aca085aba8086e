"""A row as terminal output: runs of cells that look alike, beginning and ending plain."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from pyghostty import lib

from .cells import CUT, HALF
from .looks import NO_LINK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .page import Face, Page

__all__ = [
    "Run",
    "alike",
    "columns_of",
    "draw",
    "needs_clustering",
    "runs_of",
    "spelled",
    "whole",
]

Run: TypeAlias = "tuple[int, str, Face]"
"""Columns, text, and what the cells have in common. The text has a character for each cell, as in
`Cells.text`, but none in gaps. A cell of several letters is a run of its own, with all of them."""

_ALIKE: Final = {
    1: re.compile(rb"(?s)(.)\1*"),
    4: re.compile(rb"(?s)(.{4})\1*"),
    8: re.compile(rb"(?s)(.{8})\1*"),
}
_WIDE_BLANK: Final = " " + HALF
"""What becomes of a wide letter that is printed while line drawing is in force."""
_PRINT_WIDE_BLANK: Final = "\x1b(0漢\x1b(B"
_KEYCAPS, _KEYCAP = frozenset("0123456789#*"), "\u20e3"
_SELECTORS: Final = "\ufe0e\ufe0f"
"""Say whether an emoji is text or a picture. Wide letters and keycaps have them only where clusters
are one."""


def runs_of(page: Page, y: int) -> list[Run]:
    """Return what stands in a row, from the left; what follows the last run are gaps."""
    cells = page.cells(y)
    clusters = page.clusters.get(y, {})
    runs: list[Run] = []
    done = 0
    for start, end, raw in alike(cells.faces, cells.width):
        face = page.face(raw)
        if face.clustered:
            for x in range(start, end):
                half = cells.text[x + 1 : x + 2] == HALF
                runs.append((1 + half, cells.text[x] + clusters[x], face))
                done = x + 1 + half
        elif done < end:
            runs.append((end - done, "" if face.gap else cells.text[done:end], face))
            done = end
    return runs


def draw(runs: Iterable[Run], cols: int, column: int = 0, *, as_picture: bool = True) -> str:
    """Return runs as output for a row of `cols` columns, from `column` on.

    Gaps are moved over, or erased with their colour: they stay what they are. Or else, not as a
    picture, they are blanks, and there are no sequences but SGR. `whole` must be applied to it.
    """
    out: list[str] = []
    pen = ""
    link = None
    protected = False
    for width, text, face in runs:
        column += width
        if face.gap:
            colour = face.look.background
            if as_picture and not colour:
                out.append(f"\x1b[{width}C")
                continue
            if colour != pen:
                pen = colour
                out.append(pen or "\x1b[m")
            # The cursor does not get behind the last column.
            on = f"\x1b[{width}C" if column < cols else ""
            out.append(f"\x1b[{width}X{on}" if as_picture else " " * width)
            continue
        if as_picture:
            if face.link is not link:
                link = face.link
                out.append(link.opening if link else NO_LINK)
            if face.protected is not protected:
                protected = face.protected
                out.append('\x1b[1"q' if protected else '\x1b[0"q')
        if face.look.sgr != pen:
            pen = face.look.sgr
            out.append(pen or "\x1b[m")
        if as_picture and face.clustered:
            out.append(_cluster(width, text, column if column < cols else None))
        else:
            out.append(text)
    if pen:
        out.append("\x1b[m")
    if protected:
        out.append('\x1b[0"q')
    if link:
        out.append(NO_LINK)
    return "".join(out)


def alike(faces: bytes, width: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield where each run of cells with one face begins and ends, and that face."""
    for match in _ALIKE[width].finditer(faces):
        start, end = match.span()
        yield start // width, end // width, match[1]


def whole(output: str) -> str:
    """Take the marks for halves of letters out of output, and print wide blanks as they were."""
    if HALF in output:
        output = output.replace(_WIDE_BLANK, _PRINT_WIDE_BLANK).replace(HALF, "")
    return output.replace(CUT, "")


def needs_clustering(width: int, text: str, face: Face) -> bool:
    """Whether the letters of a run share a cell only where clusters of them do (mode 2027)."""
    return face.clustered and _only_clustered(width, text)


@lru_cache(maxsize=4096)
def _only_clustered(width: int, text: str) -> bool:
    return (
        columns_of(text[0]) != width
        or any(columns_of(letter) for letter in text[1:])
        or ((width == 2 or text[0] in _KEYCAPS) and text[1] in _SELECTORS)
    )


def spelled(letters: str) -> str:
    """Return letters that share a cell as programs write them.

    A keycap has a selector, which the emulator lets go of and other terminals do not.
    """
    keycap = letters[1:2] == _KEYCAP and letters[0] in _KEYCAPS
    return f"{letters[0]}\ufe0f{letters[1:]}" if keycap else letters


@lru_cache(maxsize=4096)
def columns_of(letter: str) -> int:
    """Return how many columns a letter takes."""
    columns: int = lib.ghostty_unicode_codepoint_width(ord(letter))
    return columns


def _cluster(width: int, text: str, column: int | None) -> str:
    """Print a cell of several letters; the next column is given, if it is not the edge."""
    if width == 2 and text[0] == " ":
        return _PRINT_WIDE_BLANK + text[1:]
    if not _only_clustered(width, text):
        return spelled(text)
    # Other terminals may take the letters for more columns, or for fewer.
    there = f"\x1b[{column + 1}G" if column is not None else ""
    return f"\x1b[?2027h{text}\x1b[?2027l{there}"
