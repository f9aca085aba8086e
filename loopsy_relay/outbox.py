"""What waits to be sent on one connection: bounded, fair to those who fill it, one who empties it.

Producers that may wait use `put` and are served in the order they came, so that one phone with
much to say takes turns with all the others. Producers that must not wait use `put_nowait`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from loopsy_core.kit import Window

__all__ = ["Outbox"]

# Bytes that every message is counted as on top of its own: what Python's objects cost, rounded
# up. So one bound holds for the number of messages too: 4 MiB are 16 384 empty ones.
_MESSAGE_COST: Final = 256

# Bytes handed out at once. More would not be faster, and what is being sent cannot be dropped.
_BATCH: Final = 65536


class Outbox:
    """Messages on their way to one connection, in order. Not for use from other threads."""

    def __init__(self, limit: int) -> None:
        """Hold up to `limit` bytes, with those that are being sent at the moment."""
        self._window = Window(limit)
        self._messages: deque[bytes] = deque()
        self._sending = 0  # what the last batch is counted as
        self._poked = False
        self._closed = False
        self._writer = trio.lowlevel.ParkingLot()

    @property
    def waiting(self) -> int:
        """Bytes that wait or are being sent, each message's overhead included."""
        return self._window.used

    def put_nowait(self, message: bytes) -> bool:
        """Add `message`, or return False when that would go beyond the limit.

        Raises `trio.ClosedResourceError` after `close`.
        """
        if not self._window.reserve_nowait(len(message) + _MESSAGE_COST):
            return False
        self._add(message)
        return True

    async def put(self, message: bytes) -> None:
        """Add `message` once there is room; cancelled means not added.

        Not a checkpoint while there is room: this is called for every message that was just
        awaited. Raises `trio.ClosedResourceError` after `close`, also to those who wait.
        """
        size = len(message) + _MESSAGE_COST
        if not self._window.reserve_nowait(size):
            await self._window.reserve(size)
        self._add(message)

    def poke(self) -> None:
        """Make `take` return, if need be with nothing: the connection itself has to write."""
        self._poked = True
        self._writer.unpark()

    async def take(self) -> list[bytes] | None:
        """Return the next messages, some 64 KiB of them at most, waiting for one.

        Returns an empty list after `poke`, and None once it is closed and empty. The batch
        before is counted as sent, so there may be one caller only.
        """
        self._settle()
        if self._messages or self._poked or self._closed:
            await trio.lowlevel.checkpoint()
        else:
            await self._writer.park()
        if self._closed and not self._messages and not self._poked:
            return None
        self._poked = False
        batch: list[bytes] = []
        size = 0
        while self._messages and size < _BATCH:
            message = self._messages.popleft()
            batch.append(message)
            size += len(message)
        self._sending = size + len(batch) * _MESSAGE_COST
        return batch

    def drop(self) -> None:
        """Forget what waits; what is being sent still counts."""
        self._window.release(self._window.used - self._sending)
        self._messages.clear()

    def close(self) -> None:
        """Refuse what is put from now on; what waits can still be taken."""
        self._closed = True
        self._window.close()
        self._writer.unpark()

    def _add(self, message: bytes) -> None:
        self._messages.append(message)
        self._writer.unpark()

    def _settle(self) -> None:
        self._window.release(self._sending)
        self._sending = 0
