"""How far ahead of a viewer output may be sent, so that what it types is felt soon.

Whatever is under way cannot be taken back: a whole window (256 KiB) keeps a viewer busy for a
quarter of a second where it gets 1 MB/s. So a slow viewer is sent less at once.
"""

from __future__ import annotations

from typing import Final

from loopsy_core.wire import WINDOW

__all__ = ["Pacing"]

SLOW: Final = 2_000_000
"""Bytes a second below which a viewer is slow."""
SLOW_WINDOW: Final = WINDOW * 3 // 8
"""Bytes under way to a slow viewer; it grants credit anew after a quarter of a window."""


class Pacing:
    """Pure state: is told what a viewer takes, and says how much it should be sent."""

    def __init__(self) -> None:
        """Hold the viewer to be fast until it shows otherwise."""
        self._slow = False
        self._consumed = 0
        self._since: float | None = None

    @property
    def held_back(self) -> int:
        """How much of the room that credit gives is not to be used."""
        return WINDOW - SLOW_WINDOW if self._slow else 0

    def idle(self) -> None:
        """Note that there was nothing to send: the time until now says nothing."""
        self._since = None

    def waited(self, consumed: int, now: float) -> None:
        """Note that room was waited for, and the viewer has consumed `consumed` bytes in all.

        `now` is in seconds, on any clock.
        """
        if self._since is not None and now > self._since and consumed > self._consumed:
            self._slow = (consumed - self._consumed) / (now - self._since) < SLOW
        self._consumed, self._since = consumed, now
