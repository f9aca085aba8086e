"""What the next letter will be like, as terminal output: style, protection, character sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .snapshot import Cursor, Side

__all__ = ["becomes", "protection", "reset_pen", "set_pen", "single_shift"]

_USUAL_CHARSETS: Final = 2 << 10
"""All four sets take letters as they are; the first is on the left, the third on the right."""
_CHARSETS: Final = "BBA0"
"""UTF-8 and ASCII, which are the same here; British; line drawing."""
_SLOTS: Final = "()*+"
_LEFT: Final = ("\x0f", "\x0e", "\x1bn", "\x1bo")
_RIGHT, _USUAL_RIGHT = ("", "\x1b~", "\x1b}", "\x1b|"), 2
_SHIFTS: Final = {3: "\x1bN", 4: "\x1bO"}
"""By the number of the set, counted from 1."""
_MEANT: Final[dict[int, dict[str, str]]] = {
    2: {"#": "£"},
    3: dict(zip(map(chr, range(0x60, 0x7F)), "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True)),
}
"""What the letters of British and of line drawing become."""
_ISO: Final = 1


def set_pen(cursor: Cursor, side: Side) -> str:
    """Return what makes a plain pen that of a cursor, but for its link and its single shift."""
    out = protection(side) + (cursor.look.sgr or "\x1b[m")
    if cursor.protected:
        out += "\x1bV" if side.protection == _ISO else '\x1b[1"q'
    return out + _change_charsets(cursor.charsets, _USUAL_CHARSETS)


def reset_pen(cursor: Cursor) -> str:
    """Return what makes it plain again, in a row that is empty and stays so."""
    out = _change_charsets(_USUAL_CHARSETS, cursor.charsets) + "\x1b[m"
    if cursor.protected:
        out += '\x1b[0"q'
    # A single shift is over when a letter was printed.
    return out + "\r \x1b[2K" if single_shift(cursor) else out


def single_shift(cursor: Cursor) -> str:
    """Return what takes the next letter, and only that, from another set (SS2, SS3)."""
    return _SHIFTS.get(cursor.charsets >> 12 & 7, "")


def protection(side: Side) -> str:
    """Return what makes erasing heed letters as they were protected last on a screen."""
    if not side.protection:
        return ""
    return "\x1bV\x1bW" if side.protection == _ISO else '\x1b[1"q\x1b[0"q'


def becomes(letter: str, cursor: Cursor) -> str:
    """Return what a letter is in the character set on the left."""
    charset = cursor.charsets >> 2 * (cursor.charsets >> 8 & 3) & 3
    if charset not in _MEANT:
        return letter
    return _MEANT[charset].get(letter, letter) if letter <= "\xff" else " "


def _change_charsets(new: int, old: int) -> str:
    """Return what goes from one choice of character sets to another (ISO 2022)."""
    out = ""
    for slot in range(4):
        charset = new >> 2 * slot & 3
        if charset != old >> 2 * slot & 3:
            out += f"\x1b{_SLOTS[slot]}{_CHARSETS[charset]}"
    if (new ^ old) >> 8 & 3:
        out += _LEFT[new >> 8 & 3]
    right, before = new >> 10 & 3 or _USUAL_RIGHT, old >> 10 & 3 or _USUAL_RIGHT
    return out + _RIGHT[right] if right != before else out
