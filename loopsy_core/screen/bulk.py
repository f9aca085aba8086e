"""Rows by the thousand as terminal output or text; each as in `rows`.

How the looks change along a row is worked out once, as a template, and filled with the letters of
all rows like it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from .cells import MOST, STYLED, is_usual, unpack, unpack_usual
from .rows import alike, draw, runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cells import Cells
    from .page import Page
    from .rows import Run

__all__ = ["drawn_rows", "styled_rows", "text_rows"]

Template: TypeAlias = "tuple[str, Callable[[str], object]]"
"""A row's output with places for text, and what cuts the row's text into pieces for them."""

_TEMPLATES: Final = 500
"""How many are kept for one table of styles."""
_VARIED: Final = 12
"""Looks in a row; with more it will hardly be like another one."""
_PLACE: Final = "\x02"
"""Stands in a template, until that is finished, for the text of a run."""
_GAPS = re.compile("\0+")


def drawn_rows(page: Page, ys: range) -> list[str]:
    """Draw some rows of a page; `whole` must be applied to what becomes of them."""
    return _each_row(page, ys, as_picture=True)


def styled_rows(page: Page, ys: range) -> list[str]:
    """Return some rows of a page as text with SGR sequences, and blanks in gaps."""
    return _each_row(page, ys, as_picture=False)


def text_rows(page: Page, ys: range) -> list[str]:
    """Return the text of some rows of a page, as in `Cells.text`, each up to its last letter."""
    texts = [""] * len(page.rows)
    for some, cells in _together(page, [y for y in ys if page.rows[y]]):
        at = 0
        for y in some:
            width = page.width(y)
            texts[y] = cells.text[at : at + width].rstrip("\0")
            at += width
    for y, clusters in page.clusters.items():
        texts[y] = "".join(letter + clusters.get(x, "") for x, letter in enumerate(texts[y]))
    return texts[ys.start : ys.stop]


def _each_row(page: Page, ys: range, *, as_picture: bool) -> list[str]:
    drawn = [""] * len(page.rows)
    by_templates: list[int] = []
    for y in ys:
        raw = page.rows[y]
        if not raw:
            continue
        size = page.packings[y]
        if y in page.clusters:
            drawn[y] = draw(runs_of(page, y), page.cols, as_picture=as_picture)
        elif size < 4:
            text = raw.decode("latin-1" if size == 1 else "utf-16-le")
            drawn[y] = _GAPS.sub(_move if as_picture else _blank, text) if "\0" in text else text
        else:
            by_templates.append(y)
    for some, cells in _together(page, by_templates):
        width = cells.width
        templates = _templates(page.table, width, page.cols, as_picture)
        at = 0
        for y in some:
            count = page.width(y)
            text = cells.text[at : at + count]
            faces = every = cells.faces[at * width : (at + count) * width]
            at += count
            if width == 1 and not faces[-1] & 1:
                # However long its last letters of one style are, a row is like others.
                last = faces[-1:]
                faces = faces.rstrip(last) + last
            template = templates.get(faces)
            if template is None:
                words = _numbers(every, width)
                looks = set(words)
                if len(looks) > _VARIED and max(looks) <= STYLED:
                    drawn[y] = _cell_by_cell(page, text, words, as_picture=as_picture)
                    continue
                if len(templates) >= _TEMPLATES:
                    templates.clear()
                template = templates[faces] = _template(page, faces, width, as_picture=as_picture)
            output, pieces_of = template
            drawn[y] = output % pieces_of(text)
    return drawn[ys.start : ys.stop]


@lru_cache(maxsize=6)
def _templates(table: bytes, width: int, cols: int, as_picture: bool) -> dict[bytes, Template]:
    """Return the templates for all pages with such a table of styles, by the faces of rows."""
    return {}


def _numbers(faces: bytes, width: int) -> memoryview[int]:
    view = memoryview(faces)
    return view if width == 1 else view.cast("I") if width == 4 else view.cast("Q")


def _template(page: Page, faces: bytes, width: int, *, as_picture: bool) -> Template:
    runs: list[Run] = []
    pieces: list[slice] = []
    for start, end, raw in alike(faces, width):
        face = page.face(raw)
        runs.append((end - start, "" if face.gap else _PLACE, face))
        if not face.gap:
            pieces.append(slice(start, end))
    if not runs[-1][2].gap:
        pieces[-1] = slice(pieces[-1].start, None)
    output = draw(runs, page.cols, as_picture=as_picture)
    output = output.replace("%", "%%").replace(_PLACE, "%s")
    return output, itemgetter(*pieces) if pieces else _no_pieces


def _no_pieces(_: str) -> tuple[()]:
    return ()


def _cell_by_cell(page: Page, text: str, words: memoryview[int], *, as_picture: bool) -> str:
    """Draw a row whose looks change so often that it will hardly be like another one."""
    before = None
    out: list[str] = []
    for word, letter in zip(words, text, strict=True):
        if word != before:
            before = word
            out.append(page.pen(word, words.itemsize))
        out.append(letter)
    out.append("\x1b[m")
    return "".join(out).replace("\0", "\x1b[X\x1b[C" if as_picture else " ")


def _together(page: Page, ys: list[int]) -> Iterator[tuple[list[int], Cells]]:
    """Unpack many rows at a time; yield their numbers, and what stands in them."""
    by_packing: dict[int, list[int]] = {}
    for y in ys:
        by_packing.setdefault(page.packings[y], []).append(y)
    step = max(MOST // page.cols, 1)
    for size, group in by_packing.items():
        for first in range(0, len(group), step):
            part = group[first : first + step]
            rows = [page.rows[y] for y in part]
            if size < 4:
                yield part, unpack(rows, size)
            elif cells := unpack_usual(rows, size):
                yield part, cells
            else:
                yield from _apart(page, part, size)


def _apart(page: Page, ys: list[int], size: int) -> Iterator[tuple[list[int], Cells]]:
    """Unpack rows of which some are unusual."""
    for usual in (True, False):
        some = [y for y in ys if is_usual(page.rows[y], size) is usual]
        rows = [page.rows[y] for y in some]
        cells = unpack_usual(rows, size) if usual else unpack(rows, size)
        if some and cells:
            yield some, cells


def _move(gap: re.Match[str]) -> str:
    return f"\x1b[{len(gap[0])}C"


def _blank(gap: re.Match[str]) -> str:
    return " " * len(gap[0])
