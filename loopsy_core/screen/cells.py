"""Cells as the emulator packs them in a snapshot, and unpacked: thousands at a time.

A cell takes 1, 2, 4 or 8 bytes, by what its row needs: letters of Latin-1, any letters, letters
with styles and coloured blanks, everything. As a word it holds, from its lowest bit: its kind (2
bits: a letter, several letters, a colour of the palette, a colour), the letter or colour (24), its
style (16), its width (2: narrow, wide, second half, no place for a wide one), whether it is
protected (1) and has a link (1), what a shell says of it (2), and the number of its link (16).
(libghostty: snapshot/grid.zig, snapshot/snapshot.ksy)

Python's integers are as long as one likes: all cells of some rows are one number, and what is done
to a cell is done to all of them by one operation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CLUSTERED",
    "CONTENT_SHIFT",
    "CUT",
    "ERASED",
    "GAP",
    "HALF",
    "LINK_SHIFT",
    "MOST",
    "PROTECTED",
    "STYLED",
    "STYLE_MASK",
    "STYLE_SHIFT",
    "Cells",
    "is_usual",
    "only_letters",
    "unpack",
    "unpack_usual",
]

HALF, CUT = "\x01", "\x03"
"""Stand in text, where no letter is either: for the second half of a wide letter; and for the last
cell of a row where a wide one found no place, so that it went to the next row."""
MOST: Final = 1 << 13
"""Cells that are unpacked together at the most; more would be no faster."""

CLUSTERED, ERASED = 1, 2
"""Kinds: several letters share a cell; a bit of both kinds that are nothing but a colour."""
CONTENT_SHIFT: Final = 2
STYLE_SHIFT, STYLE_MASK = 26, 0xFFFF
PROTECTED: Final = 1 << 44
LINK_SHIFT: Final = 48
GAP: Final = 4
"""In a face, where a word has its letter: there is none."""
STYLED: Final = PROTECTED - 1
"""The highest face, as a number, of a cell that has no link and is not protected."""

_LETTER, _LETTER_BITS = 0x1FFFFF, 21
_CONTENT: Final = 0xFFFFFF << CONTENT_SHIFT
_WIDE_SHIFT, _HALF_SHIFT = 42, 43
"""The bits of the width; both are set where a wide letter found no place."""
_FACE: Final = 3 | STYLE_MASK << STYLE_SHIFT | PROTECTED | 0xFFFF << LINK_SHIFT
_FEW: Final = 0x3F
"""The styles whose numbers fit into a face of one byte."""
_UNUSUAL: Final = _FACE & ~CLUSTERED & ~(_FEW << STYLE_SHIFT)
_LETTER_KINDS: Final = bytes(byte for byte in range(256) if not byte & 3)
"""The first bytes of cells that hold one letter, or none."""
_LINK_BYTE: Final = 5
_FREE: Final = bytes(byte for byte in range(256) if not byte & 0x30)
"""The bytes in that place of cells that are not protected and have no link."""


@attrs.frozen
class Cells:
    """The cells of some rows, one row after the other with nothing between."""

    text: str
    """A character for each cell: its letter or the first of several, U+0000 in gaps, HALF, CUT."""
    faces: bytes
    """All but the letters, in `width` bytes for each cell: what two cells of one look have in
    common. With 1 byte it is whether there is a gap (bit 0), and the style; with more, the word
    without its letter, but with GAP."""
    width: int


def unpack(rows: Sequence[bytes], size: int) -> Cells:
    """Unpack rows whose cells take `size` bytes each, of MOST cells altogether at the most."""
    joined = b"".join(rows)
    if size < 4:
        return _unpack_letters(joined, size)
    count = len(joined) // size
    masks = _masks(size)
    words = int.from_bytes(joined, "little")
    erased = words >> 1 & masks.ones
    letters = _letters(words, masks, size)
    letters ^= letters & erased * _LETTER
    gaps = _gaps(letters, masks, count)
    faces = words & masks.faces | words & erased * _CONTENT | (gaps ^ erased) * GAP
    return Cells(_text(letters, count, size), faces.to_bytes(len(joined), "little"), size)


def unpack_usual(rows: Sequence[bytes], size: int) -> Cells | None:
    """Do the same with faces of one byte, if the rows are usual: letters of few styles, and gaps.

    `size` is 4 or 8. Several letters in a cell are taken for one.
    """
    joined = b"".join(rows)
    count = len(joined) // size
    masks = _masks(size)
    words = int.from_bytes(joined, "little")
    if words & masks.unusual:
        return None
    letters = _letters(words, masks, size)
    faces = (words >> STYLE_SHIFT & masks.few) << 1 | _gaps(letters, masks, count)
    short = faces.to_bytes(len(joined), "little")[::size]
    return Cells(_text(letters, count, size), short, 1)


def is_usual(row: bytes, size: int) -> bool:
    """Whether `unpack_usual` would unpack a row."""
    return not int.from_bytes(row, "little") & _masks(size).unusual


def only_letters(cells: bytes, size: int) -> bool:
    """Whether each of any number of cells has one letter, and no more to it than style, width."""
    if size == 1:
        return 0 not in cells
    first = cells[::size]
    # A letter's lowest byte may well be zero, but hardly ever is.
    if 0 in first and _have_gaps(cells, size):
        return False
    if size == 2:
        return True
    if first.translate(None, _LETTER_KINDS):
        return False
    return size == 4 or not cells[_LINK_BYTE::size].translate(None, _FREE)


def _have_gaps(cells: bytes, size: int) -> bool:
    """Whether any cell has no letter, or is a wide blank: that is made in a way of its own."""
    if size == 2:
        return "\0" in cells.decode("utf-16-le")
    masks = _masks(size)
    step = MOST * size
    for at in range(0, len(cells), step):
        part = cells[at : at + step]
        count = len(part) // size
        words = int.from_bytes(part, "little")
        letters = _letters(words, masks, size)
        if _gaps(letters, masks, count):
            return True
        if size == 8:
            blanks = _gaps(letters ^ masks.blanks >> (MOST - count) * masks.bits, masks, count)
            if blanks & words >> _WIDE_SHIFT:
                return True
    return False


def _unpack_letters(joined: bytes, size: int) -> Cells:
    text = joined.decode("latin-1" if size == 1 else "utf-16-le")
    faces = bytes(letter == "\0" for letter in text) if "\0" in text else bytes(len(text))
    return Cells(text, faces, 1)


def _letters(words: int, masks: _Masks, size: int) -> int:
    """Return the letter of each cell, which may be HALF or CUT."""
    letters = words >> CONTENT_SHIFT & masks.letters
    if size < 8:
        return letters
    halves = words >> _HALF_SHIFT & masks.ones
    return letters | halves | (halves & words >> _WIDE_SHIFT) << 1


def _gaps(letters: int, masks: _Masks, count: int) -> int:
    """Return 1 for each of `count` cells that has no letter, and 0 for the others."""
    beyond = (MOST - count) * masks.bits
    # Adding the highest number to any but zero carries into the next bit.
    some = letters + (masks.letters >> beyond) >> _LETTER_BITS & masks.ones
    return some ^ masks.ones >> beyond


def _text(letters: int, count: int, size: int) -> str:
    raw = letters.to_bytes(count * size, "little")
    if size == 8:
        raw = memoryview(raw).cast("I")[::2].tobytes()
    return raw.decode("utf-32-le")


@attrs.frozen
class _Masks:
    """For MOST cells: the same bits of each, as one number."""

    bits: int
    ones: int
    letters: int
    blanks: int
    faces: int
    few: int
    unusual: int


@lru_cache(maxsize=2)
def _masks(size: int) -> _Masks:
    ones = int.from_bytes((b"\x01" + bytes(size - 1)) * MOST, "little")
    word = (1 << 8 * size) - 1
    return _Masks(
        bits=8 * size,
        ones=ones,
        letters=ones * _LETTER,
        blanks=ones * ord(" "),
        faces=ones * (_FACE & word),
        few=ones * _FEW,
        unusual=ones * (_UNUSUAL & word),
    )
