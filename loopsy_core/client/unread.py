"""Output that was received and that nobody has read yet: bounded, and honest about what is lost."""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Final

from loopsy_core.errors import LoopsyError

__all__ = ["OutputLost", "Unread"]

_BLOCK: Final = 65_536
"""Bytes after which a new piece is begun; what is too much is dropped in such pieces."""


class OutputLost(LoopsyError):
    """Some output is gone before it was read; reading goes on behind it.

    A session keeps the latest 4 MiB for those who are away, and a reader the latest 16 MiB that
    nobody has asked for.
    """

    code: ClassVar[str] = "output_lost"

    def __init__(self, missed: int | None) -> None:
        """Say that `missed` bytes are gone; None when nobody knows how many."""
        much = "some output" if missed is None else f"{missed} bytes of output"
        super().__init__(f"{much} came and went unread; what follows is complete again")
        self.missed = missed


class _Gap:
    """A place where bytes are missing."""

    def __init__(self, missed: int | None) -> None:
        self.missed = missed

    def widen(self, missed: int | None) -> None:
        self.missed = None if None in (self.missed, missed) else (self.missed or 0) + (missed or 0)


class Unread:
    """Pure state: bytes and gaps in the order of the stream, the latest `limit` bytes of it."""

    def __init__(self, limit: int) -> None:
        """Begin with nothing."""
        self._limit = limit
        self._size = 0
        self._parts: deque[bytearray | _Gap] = deque()

    def add(self, data: bytes) -> None:
        """Add output; what is too much is dropped where it is oldest, and leaves a gap."""
        if not data:
            return
        last = self._parts[-1] if self._parts else None
        if isinstance(last, bytearray) and len(last) < _BLOCK:
            last += data
        else:
            self._parts.append(bytearray(data))
        self._size += len(data)
        while self._size > self._limit:
            self._drop_oldest()

    def miss(self, missed: int | None) -> None:
        """Note that `missed` bytes are missing here; None when nobody knows how many."""
        last = self._parts[-1] if self._parts else None
        if isinstance(last, _Gap):
            last.widen(missed)
        else:
            self._parts.append(_Gap(missed))

    def take(self, most: int) -> bytes:
        """Return up to `most` bytes, b"" when there are none.

        Raises `OutputLost` once, in the place of what is missing.
        """
        if not self._parts:
            return b""
        first = self._parts[0]
        if isinstance(first, _Gap):
            self._parts.popleft()
            raise OutputLost(first.missed)
        data = bytes(first[:most])
        del first[:most]
        if not first:
            self._parts.popleft()
        self._size -= len(data)
        return data

    def _drop_oldest(self) -> None:
        gap = _Gap(0)
        while isinstance(oldest := self._parts.popleft(), _Gap):
            gap.widen(oldest.missed)
        gap.widen(len(oldest))
        self._size -= len(oldest)
        if self._parts and isinstance(following := self._parts[0], _Gap):
            self._parts.popleft()
            gap.widen(following.missed)
        self._parts.appendleft(gap)
