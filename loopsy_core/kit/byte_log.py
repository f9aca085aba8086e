"""A bounded log of bytes in which every byte keeps its absolute offset.

One producer appends and never waits. Any number of readers each hold an offset of their own,
which costs the log nothing; a reader that falls further behind than the capacity is told so
(`Lagged`) and decides for itself how to catch up.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

__all__ = ["ByteLog", "Lagged"]

# Block number n holds the offsets from n * BLOCK on, so finding a byte is arithmetic. 64 KiB is
# what one read of a terminal or a socket brings at most, and as much as one read hands out.
_BLOCK: Final = 65536


class Lagged(Exception):
    """The bytes asked for were dropped already; `start` is the oldest offset still there."""

    def __init__(self, start: int) -> None:
        """Keep `start`, an absolute offset in bytes."""
        super().__init__(f"these bytes are gone; the log now starts at {start}")
        self.start = start


class ByteLog:
    """The last `capacity` bytes of a stream, addressed by their offset in the whole stream.

    Memory grows with what is kept: an idle log holds next to nothing, a full one its capacity
    and at most two blocks (128 KiB) more. Not for use from other threads.
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty log that keeps `capacity` bytes; `ValueError` below 1."""
        if capacity < 1:
            raise ValueError("a log must keep at least one byte")
        self._capacity = capacity
        self._blocks: deque[bytearray] = deque()
        self._first = 0  # the number of _blocks[0]
        self._room = 0  # bytes that still fit into _blocks[-1]
        self._drop_at = capacity + _BLOCK  # the end at which _blocks[0] is out of reach
        self._end = 0
        self._closed = False
        self._readers = trio.lowlevel.ParkingLot()

    @property
    def start(self) -> int:
        """The absolute offset of the oldest byte that can still be read."""
        return max(0, self._end - self._capacity)

    @property
    def end(self) -> int:
        """The absolute offset that the next appended byte will have."""
        return self._end

    @property
    def closed(self) -> bool:
        """Whether `close` was called, so that `end` is final."""
        return self._closed

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add `data` (a view must be of single bytes) and wake whoever waits for it.

        Never blocks: beyond the capacity the oldest bytes are dropped, and their readers learn
        of it by `Lagged`. Raises `trio.ClosedResourceError` after `close`.
        """
        if self._closed:
            raise trio.ClosedResourceError
        size = len(data)
        if not size:
            return
        # Appends are often a few bytes: this path is one copy into the tail and two comparisons.
        if size <= self._room:
            self._blocks[-1] += data
            self._room -= size
        else:
            self._append_across(memoryview(data))
        self._end += size
        if self._end >= self._drop_at:
            self._drop()
        if self._readers:
            self._readers.unpark_all()

    def close(self) -> None:
        """Say that nothing follows; waiting readers drain what is there and then get `b""`."""
        self._closed = True
        self._readers.unpark_all()

    def peek(self, offset: int, most: int = _BLOCK) -> bytes:
        """Return up to `most` bytes from `offset` on, or `b""` when there is nothing newer.

        It may return fewer than are there (never none): one call copies from one block, so ask
        again from where the answer ended. Raises `Lagged` when the bytes at `offset` are gone,
        and `ValueError` for an offset that never was, or a `most` below 1.
        """
        self._check(offset, most)
        if offset == self._end:
            return b""
        if offset < self.start:
            raise Lagged(self.start)
        number, at = divmod(offset, _BLOCK)
        # Through a view, because slicing the bytearray itself would copy twice.
        return bytes(memoryview(self._blocks[number - self._first])[at : at + most])

    async def read(self, offset: int, most: int = _BLOCK) -> bytes:
        """Return what `peek` would, but wait for bytes when there are none.

        Returns `b""` only once the log is closed and `offset` is its end. Raises as `peek` does.
        Reading takes nothing out, so cancellation leaves no trace.
        """
        self._check(offset, most)
        if offset == self._end and not self._closed:
            # Woken by growth or by the end, and either settles it: no loop is needed.
            await self._readers.park()
        else:
            await trio.lowlevel.checkpoint()
        return self.peek(offset, most)

    def _check(self, offset: int, most: int) -> None:
        if not 0 <= offset <= self._end:
            raise ValueError(f"offset {offset} is outside of 0 to {self._end}")
        if most < 1:
            raise ValueError("ask for at least one byte")

    def _append_across(self, data: memoryview) -> None:
        """Fill the tail and begin new blocks; `_end` still is where `data` begins."""
        # Of a piece beyond the capacity only the last blocks can ever be read. They begin on a
        # block's boundary, so offsets stay arithmetic without padding.
        kept = (self._end + len(data) - self._capacity) // _BLOCK * _BLOCK
        if kept > self._end:
            data = data[kept - self._end :]
            self._blocks.clear()
            self._first = kept // _BLOCK
            self._room = 0
        while data:
            if not self._room:
                self._blocks.append(bytearray())
                self._room = _BLOCK
            # The block grows as it fills, so a quiet log never pays for 64 KiB.
            piece = data[: self._room]
            self._blocks[-1] += piece
            self._room -= len(piece)
            data = data[len(piece) :]

    def _drop(self) -> None:
        """Forget the blocks that lie before `start` as a whole."""
        oldest = self.start // _BLOCK
        while self._first < oldest:
            self._blocks.popleft()
            self._first += 1
        self._drop_at = (oldest + 1) * _BLOCK + self._capacity
