"""What a program asks the user's terminal that cannot be told from a key when it is answered.

F3 with Ctrl, say, is reported just like a cursor in the first line: `CSI 1;5R`. Only whoever
has seen the question knows which it is. Sans-io.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Questions"]

MOST: Final = 64
"""Questions that are waited for; a terminal that owes more answers none, and the rest are keys."""
_WHERE: Final = re.compile(rb"\x1b\[\??6n")
_LONGEST: Final = 5


class Questions:
    """Counts how often the terminal was asked where its cursor is, and not told it yet."""

    def __init__(self) -> None:
        """Begin with a terminal that was asked nothing."""
        self._asked = 0
        self._tail = b""

    def shown(self, data: bytes) -> None:
        """Note output that the terminal gets as it is."""
        if b"\x1b" not in data and not self._tail:
            return
        data = self._tail + data
        end = 0
        for match in _WHERE.finditer(data):
            self._asked, end = min(self._asked + 1, MOST), match.end()
        begun = data.rfind(b"\x1b", max(end, len(data) - _LONGEST))
        self._tail = data[begun:] if begun >= 0 else b""

    def answered(self) -> bool:
        """Take note of what may be the answer; return whether there was such a question."""
        if not self._asked:
            return False
        self._asked -= 1
        return True
