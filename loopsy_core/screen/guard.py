"""What the emulator is spared: output that would end its process, or keep it for a long time.

Each cause was found by trying; libghostty 1.3 as pyghostty 0.1.3 has it. What is left (more than
half of a page's cells with links, while rows move) ends the process, which sessions survive.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyghostty.core import Terminal

__all__ = ["feed_sparingly", "pieces", "smallest", "without_floods"]

MIN_COLS: Final = 3
MIN_ROWS: Final = 2
"""The smallest terminal that it keeps: in smaller ones it reads beyond its memory on a resize."""
CLUSTERS: Final = 2027
"""The mode in which letters are joined to clusters. A cluster that grows wide in the last column,
where wrapping scrolls nothing, has it write to a cell that is not there."""
MOST_REPEATED: Final = 1000
"""How often one sequence may repeat a letter: a row of the widest terminal. With more, four
kilobytes of output can take half a minute."""

_NO_CLUSTERS: Final = b"\x1b[?2027l"
# Control characters may stand inside a sequence; cancelling ones end it.
_SET_MODE: Final = re.compile(rb"\x1b\[\?[^\x18\x1a\x1b@-~]*h")
_REPEAT: Final = re.compile(rb"\x1b\[([\x00-\x17\x19\x1c-\x1f0-9:;\x7f]*)b")
_DIGITS: Final = re.compile(rb"[0-9]+")


def feed_sparingly(terminal: Terminal, data: bytes) -> None:
    """Feed `terminal` with output of a program, but not with what it would end on."""
    unfinished = not terminal.get("vt_ground", "bool")
    for piece in pieces(without_floods(data), unfinished=unfinished):
        terminal.feed(piece)
        if terminal.mode(CLUSTERS):
            terminal.feed(_NO_CLUSTERS)


def smallest(cols: int, rows: int) -> tuple[int, int]:
    """Return the size that the emulator is to have for a terminal of this one."""
    return max(cols, MIN_COLS), max(rows, MIN_ROWS)


def pieces(data: bytes, *, unfinished: bool) -> Iterator[bytes]:
    """Yield `data` in pieces, each of which ends where a mode may have been set.

    `unfinished` says that a sequence is under way before it: if that sets a mode, it ends with
    the first `h`. So whoever looks behind each piece whether a mode is set reads no parameters, and
    no way of writing or splitting the sequence gets past.
    """
    start = 0
    if unfinished and (first := data.find(b"h")) >= 0:
        yield data[: first + 1]
        start = first + 1
    if b"\x1b[?" in data:
        for match in _SET_MODE.finditer(data, start):
            yield data[start : match.end()]
            start = match.end()
    if start < len(data):
        yield data[start:]


def without_floods(data: bytes) -> bytes:
    """Return `data` with no letter repeated more often than a row is wide."""
    if b"b" not in data or b"\x1b[" not in data:
        return data
    return _REPEAT.sub(_less, data)


def _less(match: re.Match[bytes]) -> bytes:
    counts = _DIGITS.findall(match[1])
    if all(len(count) <= 4 and int(count) <= MOST_REPEATED for count in counts):
        return match[0]
    return b"\x1b[%db" % MOST_REPEATED
