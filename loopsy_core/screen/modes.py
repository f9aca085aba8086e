"""Modes of a terminal: which there are, and the sequences that set them (DECSET, SM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .snapshot import Fixed

__all__ = ["MODES", "mode_bit", "mode_bytes", "mouse_bytes", "saved_mode_bytes"]

MODES: Final = (
    *((number, "") for number in (2, 4, 12, 20)),
    *((number, "?") for number in (1, 3, 4, 5, 6, 7, 8, 9, 12, 25, 40, 45, 47, 66, 67, 69)),
    *((number, "?") for number in (1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016)),
    *((number, "?") for number in (1035, 1036, 1039, 1045, 1047, 1048, 1049, 2004, 2026, 2027)),
    *((number, "?") for number in (2031, 2033, 2048, 5522)),
)
"""In the order of their bits in a snapshot: number, and what stands before it."""

_BIT: Final = {prefix + str(number): 1 << bit for bit, (number, prefix) in enumerate(MODES)}
# In the order of the values that a snapshot knows, from one on.
_MOUSE: Final = (9, 1000, 1002, 1003)
_MOUSE_FORMATS: Final = (1005, 1006, 1015, 1016)


def mode_bit(mode: str) -> int:
    """Return the bit of a mode in a snapshot: `4`, `?7`."""
    return _BIT[mode]


def mode_bytes(which: int, values: int) -> str:
    """Return what sets or resets the modes at the bits of `which`."""
    return "".join(
        f"\x1b[{prefix}{number}{'h' if values >> bit & 1 else 'l'}"
        for bit, (number, prefix) in enumerate(MODES)
        if which >> bit & 1
    )


def saved_mode_bytes(fixed: Fixed) -> str:
    """Return what saves modes as they were saved (XTSAVE), and leaves them as they are usually."""
    out = ""
    different = (fixed.saved_modes ^ fixed.default_modes) & ~mode_bit("?3")
    for bit, (number, prefix) in enumerate(MODES):
        if prefix and different >> bit & 1:
            one = 1 << bit
            out += mode_bytes(one, fixed.saved_modes) + f"\x1b[?{number}s"
            out += mode_bytes(one, fixed.default_modes)
    return out


def mouse_bytes(fixed: Fixed) -> str:
    """Return what sets the mouse's modes, so that the same are in force: the last that was set."""
    capture = f"\x1b[>{fixed.shift_capture - 1}s" if fixed.shift_capture else ""
    return (
        _exclusive(fixed.modes, _MOUSE, fixed.mouse)
        + _exclusive(fixed.modes, _MOUSE_FORMATS, fixed.mouse_format)
        + capture
    )


def _exclusive(modes: int, numbers: tuple[int, ...], chosen: int) -> str:
    on = [number for number in numbers if modes & mode_bit(f"?{number}")]
    winner = numbers[chosen - 1] if chosen else 0
    out = "".join(f"\x1b[?{number}h" for number in on if number != winner)
    if winner in on:
        return out + f"\x1b[?{winner}h"
    # Resetting any of them means none.
    idle = [number for number in numbers if number not in on]
    return out + f"\x1b[?{idle[0]}l" if on and idle else out
