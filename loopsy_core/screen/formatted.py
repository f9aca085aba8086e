"""Pictures and history as the emulator's own formatter writes them, where its state is unreadable.

It knows only the screen that shows, and leaves out gaps between words, what erasing coloured,
links, saved cursors and more; but nothing needs to be understood. Better such a picture than none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .emulator import Emulator

__all__ = ["formatted_history", "formatted_picture"]

_BEHIND: Final = (
    *("scrolling_region", "pwd", "keyboard"),
    *("style", "hyperlink", "protection", "kitty_keyboard", "charsets", "cursor"),
)
_LATE_MODES = re.compile(rb"\x1b\[(?:4h|\?6h|\?7l)")
"""Inserting, origin and not wrapping: under these content would come out differently."""
_HOME_AND_PLAIN: Final = b"\x1b[H\x1b[m"


def formatted_picture(emulator: Emulator, title: str) -> bytes:
    """Draw what shows, with its scrollback, for a fresh terminal of the same size."""
    content = emulator.formatted()
    modes = emulator.formatted("modes", "tabstops").removesuffix(content)
    behind = emulator.formatted(*_BEHIND).removeprefix(content)
    # Empty rows at the end hold all others in their place.
    drawn = emulator.formatted(unwrap=False).count(b"\r\n") + 1
    content += b"\r\n" * (emulator.get("total_rows", "size_t") - drawn)
    return b"".join(
        (
            _LATE_MODES.sub(b"", modes),
            _HOME_AND_PLAIN,
            content,
            *_LATE_MODES.findall(modes),
            behind,
            f"\x1b]0;{title}\x1b\\".encode() if title else b"",
            emulator.unfinished,
        )
    )


def formatted_history(emulator: Emulator, *, ansi: bool) -> list[bytes]:
    """Return the lines of what shows, with its scrollback; see `Screen.history`."""
    lines = emulator.formatted(styles=ansi).split(b"\r\n" if ansi else b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines
