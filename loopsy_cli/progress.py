"""A line on the terminal that says how far a transfer is; in a pipe there is none."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .show import clean, fit, size, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from loopsy_core.client import Progress

__all__ = ["progress_line"]

BETWEEN: Final = 0.1
"""Seconds between two drawings."""
RECENT: Final = 4.0
"""Seconds over which the speed is taken."""
NARROWEST: Final = 12
_CLEAR: Final = "\r\x1b[K"


@contextmanager
def progress_line(*, json: bool) -> Generator[Callable[[Progress], object]]:
    """Yield what draws the line, on standard error; it is gone when the block ends."""
    if json or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield lambda _: None
        return
    line = _Line()
    try:
        yield line.draw
    finally:
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()


class _Line:
    def __init__(self) -> None:
        self._drawn = 0.0
        self._past: list[tuple[float, int]] = []

    def draw(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._drawn < BETWEEN:
            return
        self._drawn = now
        self._past.append((now, progress.bytes))
        while now - self._past[0][0] > RECENT:
            del self._past[0]
        columns = shutil.get_terminal_size().columns - 1
        figures = self._figures(progress)
        path = clean(progress.path)
        room = columns - len(figures) - 2
        if room >= NARROWEST:
            if width_of(path) > room:
                path = "…" + path[-(room - 1) :]  # the end tells more than the beginning
            figures = f"{fit(path, room)}  {figures}"
        sys.stderr.write(f"{_CLEAR}{figures[:columns]}")
        sys.stderr.flush()

    def _figures(self, progress: Progress) -> str:
        (first, before), (last, now) = self._past[0], self._past[-1]
        speed = (now - before) / (last - first) if last > first else 0.0
        parts = [f"{size(progress.bytes)}B"]
        if progress.total_bytes:
            done = min(100, 100 * progress.bytes // progress.total_bytes)
            parts = [f"{done}%", f"{size(progress.bytes)}B of {size(progress.total_bytes)}B"]
        if progress.total_files > 1:
            parts.append(f"{progress.files} of {progress.total_files} files")
        if speed > 0:
            parts.append(f"{size(int(speed))}B/s")
            left = max(0, progress.total_bytes - progress.bytes) / speed
            parts.append(f"{int(left) // 60}:{int(left) % 60:02} left")
        return "  ".join(parts)
