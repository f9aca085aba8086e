"""What a shell says of rows and of what comes next (OSC 133), as terminal output.

The emulator scrolls a screen away instead of erasing it (ED 2) where a prompt is at its bottom, and
takes a prompt away when the size changes, for the shell draws it anew. Which cells are prompt and
which are input matters to neither, so that only rows are marked, and only those that are visible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .snapshot import Side

__all__ = ["OUTPUT", "go_on", "mark_prompts"]

_ROW_SHIFT: Final = 2
_KINDS: Final = {1: "i", 2: "c"}
"""Of rows: the first of a prompt, and one that continues it."""
_WITH_THE_LINE: Final = 4
"""Says of what comes next that it is input up to the end of the line."""
OUTPUT: Final = "\x1b]133;D\x1b\\"
"""Says that what comes next is output."""


def mark_prompts(side: Side, rows: int) -> str:
    """Return what marks the rows of prompts; what comes next is output then."""
    out = ""
    for row, (page, y) in enumerate(side.visible(rows), 1):
        if kind := _KINDS.get(page.flags[y] >> _ROW_SHIFT & 3):
            out += f"\x1b[{row};1H\x1b]133;P;k={kind}\x1b\\{OUTPUT}"
    return out


def go_on(side: Side) -> str:
    """Return what says of the letters that come next what the shell has said of them.

    Prompt is said to be input, which need not begin in the cursor's row.
    """
    if not side.next_is:
        return ""
    return f"\x1b]133;{'I' if side.next_is & _WITH_THE_LINE else 'B'}\x1b\\"
