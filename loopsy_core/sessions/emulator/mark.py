"""Which session's emulator is at work, in memory that host and emulator process share.

When the process dies, whatever it was about to say dies with it; what stands here stays.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import contextmanager
from struct import Struct
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["AtWork", "Mark"]

SIZE: Final = mmap.PAGESIZE
_FIELDS: Final = Struct("=QQQQ")  # turns taken so far, number (0: nobody), offset, resizes


@attrs.frozen
class AtWork:
    """Whose turn it is, and the place in that session's output where it will be afterwards."""

    number: int
    offset: int
    resizes: int


class Mark:
    """One writes, in the process; the other reads."""

    def __init__(self, descriptor: int) -> None:
        """Share the memory of `descriptor`, which may be closed afterwards; nobody is at work."""
        self._memory = mmap.mmap(descriptor, SIZE)
        self._turns = 0

    @staticmethod
    def make() -> int:
        """Return a descriptor of fresh memory. Raises `OSError` when there is none."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("loopsy-mark")
            os.ftruncate(descriptor, SIZE)
            return descriptor
        with tempfile.TemporaryFile() as file:  # macOS; it has no name any more
            # Written, for a page that the disk has no room for would end whoever touches it.
            file.write(bytes(SIZE))
            file.flush()
            return os.dup(file.fileno())

    @contextmanager
    def at_work(self, number: int, offset: int, resizes: int) -> Generator[None]:
        """Say whose emulator is at work for as long as the block lasts."""
        self._turns += 1
        _FIELDS.pack_into(self._memory, 0, self._turns, number, offset, resizes)
        try:
            yield
        finally:
            _FIELDS.pack_into(self._memory, 0, self._turns, 0, 0, 0)

    @property
    def turns(self) -> int:
        """How many turns there were; as long as this stays, whoever is at work is the same."""
        return int(_FIELDS.unpack_from(self._memory)[0])

    @property
    def worker(self) -> AtWork | None:
        """Who is at work, None if nobody is."""
        _, number, offset, resizes = _FIELDS.unpack_from(self._memory)
        return AtWork(number, offset, resizes) if number else None

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
