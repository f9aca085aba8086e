"""How fast and how far ahead: rates with bursts, and windows of unacknowledged bytes.

The buckets are sans-io: the caller passes the time in and does any waiting itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Buckets", "TokenBucket", "Window", "WindowSize"]

K = TypeVar("K", bound="Hashable")

# Seconds too short to wait for. Whoever comes back after just the time it was told may, rounded,
# be early by the last bit of its clock. Nothing is gained by it: what is taken counts in full.
_NO_TIME: Final = 1e-6

# Buckets remembered by one collection: some 2 MiB, and more peers than one machine talks to.
_MOST_BUCKETS: Final = 10_000

_WINDOW_SPAN: Final = 0.1


class TokenBucket:
    """Allows `rate` things a second on average, and `burst` of them at once.

    Every `now` is in seconds of one clock that does not go back; if it does all the same, the
    bucket just does not fill meanwhile.
    """

    # Kept as the one moment at which it is full again (the generic cell rate algorithm, ITU-T
    # I.371) instead of a level and a date: one number, and comparing moments does not drift.
    __slots__ = ("_burst", "_full_at", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        """Begin full. `rate` is per second; `ValueError` unless both are above 0."""
        if not (rate > 0 and burst > 0):
            raise ValueError("rate and burst must be above 0")
        self._rate = rate
        self._burst = burst
        self._full_at = 0.0

    def take(self, now: float, amount: float = 1) -> bool:
        """Take `amount` if there is that much; otherwise take nothing and return False.

        Raises `ValueError` for an amount below 0 or above the burst, which could never be.
        """
        if self.wait_seconds(now, amount) > 0:
            return False
        self._full_at = max(self._full_at, now) + amount / self._rate
        return True

    def wait_seconds(self, now: float, amount: float = 1) -> float:
        """Return after how many seconds `amount` could be taken, 0.0 for at once.

        Raises `ValueError` as `take` does.
        """
        if not 0 <= amount <= self._burst:
            raise ValueError(f"{amount} is not between 0 and the burst of {self._burst}")
        wait = self._full_at - (self._burst - amount) / self._rate - now
        return wait if wait > _NO_TIME else 0.0

    def is_full(self, now: float) -> bool:
        """Return whether it has recovered from everything taken, so is as good as new."""
        return self._full_at <= now


class Buckets(Generic[K]):
    """One token bucket per key, for limits per address or per contact; bounded in memory.

    Full buckets are forgotten, for a new one is the same. When `most` are in use all the same,
    the one that was asked for longest ago is dropped: whoever owns that many addresses gets
    past a limit per address anyway, and memory is worth more than a perfect count.
    """

    def __init__(self, rate: float, burst: float, most: int = _MOST_BUCKETS) -> None:
        """Give every key `rate` per second and `burst`; `ValueError` unless all are above 0."""
        if most < 1:
            raise ValueError("keep at least one bucket")
        TokenBucket(rate, burst)  # refuses wrong numbers now, not at the first visitor
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[K, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._buckets)

    def take(self, key: K, now: float, amount: float = 1) -> bool:
        """Take `amount` from the bucket of `key`, as `TokenBucket.take`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst)
        # A refused visitor counts as seen too: knocking on must not get anybody forgotten.
        self._buckets.move_to_end(key)
        return bucket.take(now, amount)

    def wait_seconds(self, key: K, now: float, amount: float = 1) -> float:
        """Return after how many seconds `key` could take `amount`."""
        bucket = self._buckets.get(key) or TokenBucket(self._rate, self._burst)
        return bucket.wait_seconds(now, amount)

    def _make_room(self, now: float) -> None:
        """Forget full buckets from the oldest on, and one more if it still is too many."""
        while self._buckets:
            oldest = next(iter(self._buckets.values()))
            if not oldest.is_full(now) and len(self._buckets) < self._most:
                return
            self._buckets.popitem(last=False)


class Window:
    """A budget of `limit` bytes that may be under way at once.

    Whoever asks first is served first, also when somebody behind asks for less: otherwise
    small requests could keep a large one waiting for ever. Not for use from other threads.
    """

    def __init__(self, limit: int) -> None:
        """Begin empty; `ValueError` for a limit below 1 byte."""
        if limit < 1:
            raise ValueError("a window must let at least one byte through")
        self._limit = limit
        self._used = 0
        self._closed = False
        self._waiting: deque[_Reservation] = deque()

    @property
    def used(self) -> int:
        """Bytes reserved and not yet released."""
        return self._used

    def reserve_nowait(self, size: int) -> bool:
        """Reserve `size` bytes, or return False when that would have to wait.

        A size beyond the limit is allowed while nothing else is reserved, or it could never go.
        Raises `trio.ClosedResourceError` after `close`, `ValueError` for a negative size.
        """
        if size < 0:
            raise ValueError("sizes are not negative")
        if self._closed:
            raise trio.ClosedResourceError
        if self._waiting or not self._fits(size):
            return False
        self._used += size
        return True

    async def reserve(self, size: int) -> None:
        """Reserve `size` bytes, waiting for room. Raises as `reserve_nowait` does.

        Cancelled means not reserved, and whoever waited behind moves up.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.reserve_nowait(size):
            # From here on the bytes are ours, so cancellation must not come in between.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        reservation = _Reservation(size)
        self._waiting.append(reservation)
        try:
            await reservation.settled.wait()
        except trio.Cancelled:
            # Between the cancellation and this line somebody may have settled it all the same.
            if reservation.granted:
                self.release(reservation.size)
            elif not reservation.settled.is_set():
                self._waiting.remove(reservation)
                self._admit()
            raise
        if not reservation.granted:
            raise trio.ClosedResourceError

    def release(self, size: int) -> None:
        """Give `size` reserved bytes back, also after `close`.

        Raises `ValueError` when more would be released than is reserved.
        """
        if not 0 <= size <= self._used:
            raise ValueError(f"cannot release {size} of {self._used} bytes")
        self._used -= size
        self._admit()

    def close(self) -> None:
        """Refuse whoever waits or comes later with `trio.ClosedResourceError`."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().settled.set()

    def _fits(self, size: int) -> bool:
        return self._used == 0 or self._used + size <= self._limit

    def _admit(self) -> None:
        """Grant on behalf of those who wait, so that a newcomer cannot slip in before they run."""
        while self._waiting and self._fits(self._waiting[0].size):
            reservation = self._waiting.popleft()
            self._used += reservation.size
            reservation.granted = True
            reservation.settled.set()


class WindowSize:
    """How wide the window of a stream is: what comes in a tenth of a second, within bounds.

    Wide where that is needed to use a connection fully, fast or far away as it may be; but whatever
    else goes over a slow one never waits for more than that tenth of a second behind the stream.
    """

    __slots__ = ("_came", "_least", "_most", "_since", "_width")

    def __init__(self, least: int, most: int) -> None:
        """Begin with `least` bytes; there will never be more than `most`."""
        self._least = least
        self._most = most
        self._width = least
        self._came = 0
        self._since = -math.inf

    def came(self, amount: int, now: float) -> int:
        """Note that `amount` bytes came; return how many may be under way from now on."""
        past = now - self._since
        self._came += amount
        if past >= _WINDOW_SPAN:
            self._width = self._within(int(self._came / past * _WINDOW_SPAN))
            self._came = 0
            self._since = now
        elif self._came > self._width:  # it need not last that long to be seen as fast
            self._width = self._within(self._came)
        return self._width

    def _within(self, width: int) -> int:
        return max(self._least, min(width, self._most))


class _Reservation:
    """One waiting call of `reserve`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.granted = False
        self.settled = trio.Event()
