"""Mouse reports of a terminal that shows part of another screen: what a program there should get.

Our terminal is told to report in one way (SGR, mode 1006), because that is easy to read and knows
no largest column; the program gets the way that it has asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Spot", "translate"]

_REPORT: Final = re.compile(rb"\x1b\[<(\d{1,4});(\d{1,5});(\d{1,5})([Mm])")
_FOCUS: Final = re.compile(rb"\x1b\[[IO]")
_SGR, _PIXELS, _URXVT, _UTF8 = 1006, 1016, 1015, 1005
_CELL: Final = (8, 16)
"""Pixels of a cell, for programs that ask for those; the emulator tells them the same."""
_RELEASED: Final = 3
_BUTTONS: Final = 0b11
_MOVED, _WHEEL = 32, 64
_LARGEST_BYTE, _LARGEST_CHARACTER = 223, 2015


class Spot(NamedTuple):
    """A cell of the session's screen, counted from 0."""

    x: int
    y: int
    inside: bool
    """Whether it was pointed at; else it is the nearest one."""


def translate(
    data: bytes, locate: Callable[[int, int], Spot], mode: Callable[[int], bool]
) -> bytes:
    """Return typed `data` with each mouse report in it as the program should get it.

    `locate` finds a spot by column and row of our terminal, counted from 0. `mode` tells whether
    the program has set a DEC mode. Reports of the focus are left out, and so are presses beside
    the screen; what was begun on it ends on it.
    """

    def report(match: re.Match[bytes]) -> bytes:
        buttons, column, row = (int(match[group]) for group in (1, 2, 3))
        spot = locate(column - 1, row - 1)
        released = match[4] == b"m"
        if not spot.inside and not released and not buttons & _MOVED:
            return b""
        return _encode(buttons, spot, released, mode)

    return _REPORT.sub(report, _FOCUS.sub(b"", data))


def _encode(buttons: int, spot: Spot, released: bool, mode: Callable[[int], bool]) -> bytes:
    if mode(_SGR) or mode(_PIXELS):
        x, y = spot.x + 1, spot.y + 1
        if mode(_PIXELS):
            x, y = (at * size + size // 2 for at, size in zip(spot[:2], _CELL, strict=True))
        return b"\x1b[<%d;%d;%d%s" % (buttons, x, y, b"m" if released else b"M")
    if released:
        if buttons & _WHEEL:
            return b""  # which the older ways do not know
        buttons |= _RELEASED
    if mode(_URXVT):
        return b"\x1b[%d;%d;%dM" % (buttons + 32, spot.x + 1, spot.y + 1)
    largest = _LARGEST_CHARACTER if mode(_UTF8) else _LARGEST_BYTE
    if max(spot[:2]) >= largest:
        return b""
    numbers = (buttons + 32, spot.x + 33, spot.y + 33)
    encoding = "utf-8" if mode(_UTF8) else "latin-1"
    return b"\x1b[M" + "".join(map(chr, numbers)).encode(encoding)
