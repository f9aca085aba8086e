"""A page: some rows of a screen, as they stand in a snapshot, with their styles and links."""

from __future__ import annotations

import struct
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import attrs

from .cells import (
    CLUSTERED,
    CONTENT_SHIFT,
    ERASED,
    GAP,
    HALF,
    LINK_SHIFT,
    PROTECTED,
    STYLE_MASK,
    STYLE_SHIFT,
    Cells,
    unpack,
)
from .looks import PLAIN, Link, Look, erased, read_look

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONTINUED", "WRAPS", "Face", "Page", "read_link", "read_text"]

WRAPS: Final = 1
"""A row's flag: its line goes on in the next row."""
CONTINUED: Final = 2
"""A row's flag: its line began in a row above. That may be gone."""

_HEADER = struct.Struct("<HHHHHHII")
_STYLE = struct.Struct("<H16s")
_ROW = struct.Struct("<BH")
_CLUSTER = struct.Struct("<HHH")
_SIZE = struct.Struct("<I")
_WITHOUT_NAME: Final = 1

_PACKING_SHIFT: Final = 4
_PACKINGS: Final = bytes(1 << (flags >> _PACKING_SHIFT & 3) for flags in range(256))
_NOT_WRAPPED: Final = bytes(flags for flags in range(256) if not flags & WRAPS)
_BACKGROUND: Final = 4
"""Where a style says whether it has one."""


@attrs.frozen
class Face:
    """All of a cell but its letters."""

    look: Look = PLAIN
    link: Link | None = None
    protected: bool = False
    gap: bool = False
    """It has no letter: nothing was ever written there, or it was erased. Only the look's
    background is seen."""
    clustered: bool = False
    """It has several letters; the text of its row holds the first of them."""


class Page:
    """Some rows of one screen."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        """Read what stands from `start` to `end` of a snapshot; raises one of UNREADABLE."""
        self.cols, count, styles, links, *_ = _HEADER.unpack_from(data, start)
        start += _HEADER.size
        at = start + styles * _STYLE.size
        self._styles = data[start:at]
        self._links: dict[int, Link] = {}
        for _ in range(links):
            number = data[at] | data[at + 1] << 8
            self._links[number], at = read_link(data, at + 2)
        self.table = data[start:at]
        """Styles and links as they are packed: by the same table the same faces mean the same."""
        heads = bytearray()
        self.rows: list[bytes] = []
        """The cells of each row, packed, without the gaps at its end."""
        add_head, add_row, sizes = heads.append, self.rows.append, _SIZES
        for _ in range(count):
            head = data[at : at + 3]
            at += 3
            after = at + sizes[head]
            add_head(head[0])
            add_row(data[at:after])
            at = after
        self.clusters: dict[int, dict[int, str]] = {}
        """By row and column: the letters that follow the first in its cell."""
        if self._read_clusters(data, at) != end:
            raise ValueError("a page has another form")
        self.flags = bytes(heads)
        self.packings = self.flags.translate(_PACKINGS)
        """How many bytes a cell of each row takes."""
        self.wraps = bool(self.flags.translate(None, _NOT_WRAPPED))
        """Whether the line of any row goes on in the next."""
        self._looks: dict[int, Look] | None = None
        self._faces: dict[tuple[int, int], Face] = {}

    @property
    def linked(self) -> bool:
        """Whether there are any links."""
        return bool(self._links)

    @cached_property
    def coloured(self) -> frozenset[int]:
        """The styles that have a background."""
        if not self._styles[2 + _BACKGROUND :: _STYLE.size].strip(b"\0"):
            return frozenset()
        entries: Iterable[tuple[int, bytes]] = _STYLE.iter_unpack(self._styles)
        return frozenset(number for number, raw in entries if raw[_BACKGROUND])

    def width(self, y: int) -> int:
        """Return how many cells a row has, without the gaps at its end."""
        return len(self.rows[y]) // self.packings[y]

    def cells(self, y: int) -> Cells:
        """Unpack one row."""
        return unpack([self.rows[y]], self.packings[y])

    def cell(self, y: int, x: int) -> tuple[str, Face]:
        """Return one cell: its character as in `Cells.text`, and its face."""
        size = self.packings[y]
        raw = self.rows[y][x * size : (x + 1) * size]
        if not raw:
            return "\0", Face(gap=True)
        cells = unpack([raw], size)
        return cells.text, self.face(cells.faces)

    def first_style(self, y: int) -> int:
        """Return the style of a row's first cell."""
        size = self.packings[y]
        word = int.from_bytes(self.rows[y][:size], "little") if size >= 4 else 0
        return word >> STYLE_SHIFT & STYLE_MASK

    def take_out_wide(self, y: int, x: int) -> bool:
        """Erase the wide letter that begins in a column; return whether there was one."""
        if self.cell(y, x + 1)[0] != HALF:
            return False
        row = self.rows[y]  # where letters are wide, each cell takes 8 bytes
        self.rows[y] = row[: 8 * x] + bytes(16) + row[8 * (x + 2) :]
        self.clusters.get(y, {}).pop(x, None)
        return True

    def face(self, raw: bytes) -> Face:
        """Read a face of `Cells.faces`."""
        key = int.from_bytes(raw, "little"), len(raw)
        face = self._faces.get(key)
        if face is None:
            face = self._faces[key] = self._read_face(*key)
        return face

    def pen(self, face: int, size: int) -> str:
        """Return what sets the look of a face of `size` bytes, as a number: STYLED at the most."""
        if size == 1:
            look, gap = self._look(face >> 1), face & 1
        elif face & ERASED:
            return self._read_face(face, size).look.sgr
        else:
            look, gap = self._look(face >> STYLE_SHIFT), face & GAP
        return (look.background if gap else look.sgr) or "\x1b[m"

    def _read_face(self, word: int, size: int) -> Face:
        if size == 1:
            return Face(self._look(word >> 1), gap=bool(word & 1))
        if word & ERASED:
            return Face(erased((word & 1) + 1, word >> CONTENT_SHIFT & 0xFFFFFF), gap=True)
        gap = bool(word & GAP)
        number = word >> LINK_SHIFT
        return Face(
            look=self._look(word >> STYLE_SHIFT & STYLE_MASK),
            link=None if gap or not number else self._links[number],
            protected=bool(word & PROTECTED),
            gap=gap,
            clustered=bool(word & CLUSTERED),
        )

    def _look(self, number: int) -> Look:
        if self._looks is None:
            entries: Iterable[tuple[int, bytes]] = _STYLE.iter_unpack(self._styles)
            self._looks = {number: read_look(raw) for number, raw in entries}
            self._looks[0] = PLAIN
        return self._looks[number]

    def _read_clusters(self, data: bytes, at: int) -> int:
        """Read what stands at `at`; return where it ends."""
        (count,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
        for _ in range(count):
            y, x, letters = _CLUSTER.unpack_from(data, at)
            at += _CLUSTER.size
            after = at + 4 * letters
            self.clusters.setdefault(y, {})[x] = _read_letters(data[at:after])
            at = after
        return at


@lru_cache(maxsize=4096)
def _read_letters(raw: bytes) -> str:
    return raw.decode("utf-32-le")


def read_link(data: bytes, at: int) -> tuple[Link, int]:
    """Read a link as it is packed at `at`; return it and where it ends."""
    kind = data[at]
    at += 1
    name, number = b"", 0
    if kind == _WITHOUT_NAME:
        (number,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
    else:
        name, at = read_text(data, at)
    uri, at = read_text(data, at)
    return Link(uri, name, number), at


def read_text(data: bytes, at: int) -> tuple[bytes, int]:
    """Read bytes that stand behind their count; return them and where they end."""
    (size,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    return data[at : at + size], at + size


class _Sizes(dict[bytes, int]):
    """The bytes that a row's cells take, by its head: its flags, and how many cells it has."""

    def __missing__(self, head: bytes) -> int:
        flags, count = _ROW.unpack(head)
        size: int = count * _PACKINGS[flags]
        self[head] = size
        return size


_SIZES: Final = _Sizes()
