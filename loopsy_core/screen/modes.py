"""Modes of a terminal: which there are, and the sequences that set them (DECSET, SM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from .copy import Copy

__all__ = ["MODES", "input_bytes", "mode_bytes", "mouse_bytes", "saved_mode_bytes"]

MODES: Final = (
    *((2, b""), (4, b""), (12, b""), (20, b"")),
    *((number, b"?") for number in (1, 3, 4, 5, 6, 7, 8, 9, 12, 25, 40, 45, 47, 66, 67, 69)),
    *((number, b"?") for number in (1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016)),
    *((number, b"?") for number in (1035, 1036, 1039, 1045, 1047, 1048, 1049, 2004, 2026, 2027)),
    *((number, b"?") for number in (2031, 2033, 2048, 5522)),
)
"""In the order of their bits in a copy: number, and what stands before it."""

_BIT: Final = {(number, prefix): bit for bit, (number, prefix) in enumerate(MODES)}
# In the order of the values that a copy knows, from one on.
_MOUSE: Final = (9, 1000, 1002, 1003)
_MOUSE_FORMATS: Final = (1005, 1006, 1015, 1016)
_COLUMNS: Final = 5
_INPUT: Final = (1, 66, 67, 1004, 1007, 1035, 1036, 1039, 2004, 2031)


def mode_bytes(which: int, values: int, without: Collection[int] = ()) -> bytes:
    """Return what sets or resets the modes at the bits of `which`, but for those of `without`."""
    return b"".join(
        b"\x1b[%s%d%s" % (prefix, number, b"h" if values >> bit & 1 else b"l")
        for bit, (number, prefix) in enumerate(MODES)
        if which >> bit & 1 and bit not in without
    )


def saved_mode_bytes(which: int, copy: Copy) -> bytes:
    """Return what saves modes as they were saved (XTSAVE), and leaves all at their defaults."""
    out = b""
    for bit, (number, prefix) in enumerate(MODES):
        if which >> bit & 1 and prefix and bit != _COLUMNS:
            saved, usual = copy.saved_modes >> bit & 1, copy.default_modes >> bit & 1
            out += b"\x1b[?%d%s\x1b[?%ds" % (number, b"h" if saved else b"l", number)
            out += b"\x1b[?%d%s" % (number, b"h" if usual else b"l")
    return out


def mouse_bytes(copy: Copy) -> bytes:
    """Return what sets the mouse's modes, and which of them is in force: the last one set."""
    return (
        _exclusive(copy, _MOUSE, copy.mouse)
        + _exclusive(copy, _MOUSE_FORMATS, copy.mouse_format)
        + (b"\x1b[>%ds" % (copy.shift_capture - 1) if copy.shift_capture else b"")
    )


def _exclusive(copy: Copy, numbers: tuple[int, ...], chosen: int) -> bytes:
    on = [number for number in numbers if copy.modes >> _BIT[number, b"?"] & 1]
    winner = numbers[chosen - 1] if chosen else 0
    out = b"".join(b"\x1b[?%dh" % number for number in on if number != winner)
    if winner in on:
        return out + b"\x1b[?%dh" % winner
    # Resetting any of them means none.
    idle = [number for number in numbers if number not in on]
    return out + b"\x1b[?%dl" % idle[0] if on and idle else out


def input_bytes(copy: Copy) -> bytes:
    """Return what makes another terminal send what this one would: keys, paste, mouse, focus.

    Every mode is set or reset, whatever it was there.
    """
    which = sum(1 << _BIT[number, b"?"] for number in _INPUT)
    off = b"".join(b"\x1b[?%dl" % number for number in (*_MOUSE, *_MOUSE_FORMATS))
    flags = copy.active.keyboard[-1] if copy.active.keyboard else 0
    return (
        mode_bytes(which, copy.modes)
        + off
        + mouse_bytes(copy)
        + (b"\x1b[>4;2m" if copy.other_keys else b"\x1b[>4m")
        + b"\x1b[=%d;1u" % flags
    )
