"""How letters look: styles as SGR sequences (ECMA-48), links as OSC 8."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

import attrs

__all__ = ["PLAIN", "Link", "Look", "background", "read_style"]

_STYLE = struct.Struct("<4s4s4sHH")
_FLAGS: Final = ("1", "3", "2", "5", "7", "8", "9", "53")
"""Bold, italic, faint, blinking, inverse, invisible, crossed out, overlined: from bit 0."""
_UNDERLINE_SHIFT: Final = 8
_PALETTE, _RGB = 1, 2


@attrs.frozen
class Link:
    """What a cell leads to; `number` tells links without a name apart."""

    name: bytes
    uri: bytes
    number: int

    @property
    def opening(self) -> bytes:
        """The sequence that begins it."""
        return b"\x1b]8;%s;%s\x1b\\" % (b"id=" + self.name if self.name else b"", self.uri)


@attrs.frozen
class Look:
    """How the next letter looks."""

    sgr: bytes
    """The sequence that sets the style from any other; nothing for the plain one."""
    background: bytes
    """The sequence for its background alone."""
    link: Link | None = None
    protected: bool = False


PLAIN: Final = Look(b"", b"")


@lru_cache(maxsize=4096)
def read_style(raw: bytes) -> tuple[bytes, bytes]:
    """Return a style's SGR sequence and the one of its background; nothing for what is plain."""
    front, back, line, flags, _ = _STYLE.unpack(raw)
    numbers = [number for bit, number in enumerate(_FLAGS) if flags >> bit & 1]
    underline = flags >> _UNDERLINE_SHIFT & 7
    if underline:
        numbers.append("4" if underline == 1 else f"4:{underline}")
    numbers += _colour(front, 30) + _colour(back, 40) + _colour(line, 50)
    if not numbers:
        return b"", b""
    alone = ";".join(_colour(back, 40))
    sgr = "\x1b[0;" + ";".join(numbers) + "m"
    return sgr.encode(), f"\x1b[0;{alone}m".encode() if alone else b""


@lru_cache(maxsize=4096)
def background(kind: int, content: int) -> bytes:
    """Return the SGR sequence for the colour of a cell without text; 2 and 3 are its kinds."""
    raw = bytes([kind - 1, content & 255, content >> 8 & 255, content >> 16 & 255])
    return ("\x1b[0;" + ";".join(_colour(raw, 40)) + "m").encode()


def _colour(raw: bytes, base: int) -> list[str]:
    kind, first, second, third = raw
    if kind == _PALETTE:
        if base < 50 and first < 8:
            return [str(base + first)]
        if base < 50 and first < 16:
            return [str(base + 60 + first - 8)]
        return [f"{base + 8};5;{first}"]
    if kind == _RGB:
        return [f"{base + 8};2;{first};{second};{third}"]
    return []
