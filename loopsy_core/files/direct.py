"""A large file written past the page cache: from a buffer of ours right to the disk.

The system's own copy of each page is the dearest part of writing a file that nobody reads soon,
and it pushes out what others do read. A disk takes whole blocks only, from memory that begins
where a page does. Where the file system has no such way (one in memory, some networks), the same
buffer is written in the ordinary one.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WORTH_IT", "DirectWriter"]

BLOCK: Final = 1 << 20
"""Bytes that go to the disk at once; a multiple of what any disk calls a block."""
WORTH_IT: Final = 8 << 20
"""Bytes that are to be written from which on it pays: each block is waited for."""
_WRITEBACK: Final = 16 << 20
"""Bytes in the page cache after which the disk is told to begin, so that there is little to wait
for at the end."""
_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)  # macOS has none


class DirectWriter:
    """Writes to a descriptor, block by block. All of it blocks and raises `OSError`."""

    def __init__(self, descriptor: int, offset: int) -> None:
        """Write from `offset` on, which need not be where a block begins."""
        self._descriptor = descriptor
        self._offset = offset
        self._buffer = mmap.mmap(-1, BLOCK)
        self._filled = 0
        self._possible = bool(_DIRECT)
        self._direct = False  # what the descriptor is now
        self._unsynced = 0

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append `pieces`; of the last, some may stay in the buffer."""
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                # The first block may be short, so that all others begin where they should.
                room = BLOCK - (self._offset + self._filled) % BLOCK
                some = rest[:room]
                self._buffer[self._filled : self._filled + len(some)] = some
                self._filled += len(some)
                rest = rest[room:]
                if len(some) == room:
                    self._write_block()

    def flush(self) -> None:
        """Write what is left. Nothing can be written from here on; the descriptor stays open."""
        with self._buffer:
            self._write_block()

    def _write_block(self) -> None:
        done = 0
        with memoryview(self._buffer) as buffer, buffer[: self._filled] as block:
            if self._possible and len(block) == BLOCK:
                try:
                    self._switch(direct=True)
                    done = os.pwrite(self._descriptor, block, self._offset)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    self._possible = False
            self._switch(direct=self._possible and done == BLOCK)
            while done < len(block):
                with block[done:] as rest:
                    written = os.pwrite(self._descriptor, rest, self._offset + done)
                done += written
                self._unsynced += written
        self._offset += self._filled
        self._filled = 0
        if self._unsynced >= _WRITEBACK:
            self._begin_writeback()

    def _switch(self, *, direct: bool) -> None:
        if direct is not self._direct:
            flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
            flags = flags | _DIRECT if direct else flags & ~_DIRECT
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags)
            self._direct = direct

    def _begin_writeback(self) -> None:
        # Of pages that are still dirty, this advice only has Linux begin to write them.
        if hasattr(os, "posix_fadvise"):
            begin = self._offset - self._unsynced
            os.posix_fadvise(self._descriptor, begin, self._unsynced, os.POSIX_FADV_DONTNEED)
        self._unsynced = 0
