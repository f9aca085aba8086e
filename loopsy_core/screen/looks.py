"""How letters look: styles as SGR sequences (ECMA-48), links as OSC 8."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

import attrs

__all__ = ["NO_LINK", "PLAIN", "Link", "Look", "erased", "read_look"]

NO_LINK: Final = "\x1b]8;;\x1b\\"
_STYLE = struct.Struct("<4s4s4sH")
_FLAGS: Final = ("1", "3", "2", "5", "7", "8", "9", "53")
"""Bold, italic, faint, blinking, inverse, invisible, crossed out, overlined: from bit 0."""
_UNDERLINE_SHIFT: Final = 8
_PALETTE, _RGB = 1, 2
_FRONT, _BACK, _LINE = 30, 40, 50


@attrs.frozen
class Link:
    """What a letter leads to."""

    uri: bytes
    name: bytes
    """The program's `id`: letters with the same are one link. Empty when it gave none."""
    number: int
    """Tells links without a name apart."""

    @property
    def opening(self) -> str:
        """The sequence that begins it."""
        name = b"id=" + self.name if self.name else b""
        # Whatever bytes the program wrote there; the picture gives them back.
        return (b"\x1b]8;%s;%s\x1b\\" % (name, self.uri)).decode("utf-8", "surrogateescape")


@attrs.frozen
class Look:
    """A style, as the sequences that set it from any other; each empty for what is plain."""

    sgr: str
    background: str
    """Its background alone, which is all that erasing leaves of it."""


PLAIN: Final = Look("", "")


@lru_cache(maxsize=1 << 14)
def read_look(raw: bytes) -> Look:
    """Read a style as a snapshot packs it, 16 bytes."""
    front, back, line, flags = _STYLE.unpack_from(raw)
    numbers = [number for bit, number in enumerate(_FLAGS) if flags >> bit & 1]
    underline = flags >> _UNDERLINE_SHIFT & 7
    if underline:
        numbers.append("4" if underline == 1 else f"4:{underline}")
    behind = _colour(back, _BACK)
    numbers += filter(None, (_colour(front, _FRONT), behind, _colour(line, _LINE)))
    return Look(_sgr(";".join(numbers)), _sgr(behind))


@lru_cache(maxsize=4096)
def erased(kind: int, colour: int) -> Look:
    """Return the look of a cell that was erased; the colour's kind is as in a style, 1 or 2."""
    sgr = _sgr(_colour(bytes((kind, *colour.to_bytes(3, "little"))), _BACK))
    return Look(sgr, sgr)


def _sgr(numbers: str) -> str:
    return f"\x1b[0;{numbers}m" if numbers else ""


def _colour(raw: bytes, base: int) -> str:
    kind, first, second, third = raw
    if base == _LINE:
        # With colons: terminals that do not know the colour of lines would read blinking.
        return {_PALETTE: f"58:5:{first}", _RGB: f"58:2::{first}:{second}:{third}"}.get(kind, "")
    if kind == _RGB:
        return f"{base + 8};2;{first};{second};{third}"
    if kind != _PALETTE:
        return ""
    if first < 8:
        return str(base + first)
    return str(base + 60 + first - 8) if first < 16 else f"{base + 8};5;{first}"
