"""Small events from one place to many listeners, none of whom can hold up the others.

Each listener has a bounded queue. One that lets it run over is cut off with notice (`Missed`),
and can subscribe again and ask for the present state, which beats acting on half a history.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Broadcast", "Missed", "Subscription"]

T = TypeVar("T")

# Events a listener may be behind, unless it asks for another number.
_CAPACITY: Final = 64


class Missed(Exception):
    """The listener fell too far behind; `count` events were not delivered to it."""

    def __init__(self, count: int) -> None:
        """Keep `count`, a number of events."""
        super().__init__(f"fell behind and missed {count} events")
        self.count = count


class Broadcast(Generic[T]):
    """Hands every published item to everyone who subscribes at that moment.

    Not for use from other threads.
    """

    def __init__(self) -> None:
        """Begin without subscribers."""
        # A dict for a set that keeps the order of arrival.
        self._queues: dict[_Queue[T], None] = {}
        self._closed = False

    def publish(self, item: T) -> None:
        """Give `item` to all subscribers, in the order of publishing. Never blocks.

        Raises `trio.ClosedResourceError` after `close`.
        """
        if self._closed:
            raise trio.ClosedResourceError
        for queue in self._queues:
            queue.put(item)

    def close(self) -> None:
        """Say that nothing follows: every subscriber gets what it has waiting, then the end."""
        self._closed = True
        for queue in self._queues:
            queue.end()

    @contextmanager
    def subscribe(self, capacity: int = _CAPACITY) -> Generator[Subscription[T]]:
        """Subscribe for as long as the block lasts; what was published before is not seen.

        `capacity` is the number of items that may wait (`ValueError` below 1). Leaving the block
        drops what still waits and ends any iteration over it.
        """
        if capacity < 1:
            raise ValueError("a subscriber must be allowed at least one waiting item")
        queue: _Queue[T] = _Queue(capacity)
        if self._closed:
            queue.end()
        self._queues[queue] = None
        try:
            yield Subscription(queue)
        finally:
            del self._queues[queue]
            queue.forget()


class Subscription(Generic[T]):
    """Iterates over what is published; several tasks may share one, each item goes to one."""

    def __init__(self, queue: _Queue[T]) -> None:
        """Read from `queue`; made by `Broadcast.subscribe`."""
        self._queue = queue

    def __aiter__(self) -> Subscription[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the next item, waiting for one.

        A subscriber that fell behind gets what came before the gap, then `Missed` once; after
        that, and after the broadcast was closed, the iteration ends. Cancellation takes no item.
        """
        queue = self._queue
        await trio.lowlevel.checkpoint()
        while not queue.items and not queue.missed and not queue.ended:
            await queue.readers.park()
        if queue.items:
            return queue.items.popleft()
        if queue.missed:
            missed = Missed(queue.missed)
            queue.forget()
            raise missed
        raise StopAsyncIteration


class _Queue(Generic[T]):
    """What waits for one subscriber. Once an item is missed, none is added behind the gap."""

    def __init__(self, capacity: int) -> None:
        self.items: deque[T] = deque()
        self.missed = 0
        self.ended = False
        self.readers = trio.lowlevel.ParkingLot()
        self._capacity = capacity

    def put(self, item: T) -> None:
        if self.ended:
            return
        if self.missed or len(self.items) >= self._capacity:
            self.missed += 1
        else:
            self.items.append(item)
        # All, not one: an unparked reader may be beaten to the item by one that came running.
        self.readers.unpark_all()

    def end(self) -> None:
        self.ended = True
        self.readers.unpark_all()

    def forget(self) -> None:
        self.items.clear()
        self.missed = 0
        self.end()
