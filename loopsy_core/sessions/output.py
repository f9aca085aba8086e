"""What a session has printed, and the sizes that its terminal had meanwhile, in exact order.

Whoever shows it (a viewer, the emulator) holds a `Place` of its own, which costs nothing here.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from loopsy_core.kit import ByteLog, Lagged
from loopsy_core.wire import CHUNK, Resized

__all__ = ["Output", "Place"]

LOG_SIZE: Final = 4 << 20
"""Bytes of output that can be resumed; a viewer further behind gets a picture."""
MAX_RESIZES: Final = 256
"""Size changes that are remembered; with more of them ahead, a viewer gets a picture."""


@attrs.define(order=True)
class Place:
    """How much of the output somebody has: so many bytes, and so many size changes.

    Both are needed: a terminal that is made narrow and wide again shows its lines differently
    from one that was not, and nothing need be printed meanwhile.
    """

    offset: int = 0
    resizes: int = 0

    def copy(self) -> Place:
        """Return the same place, to go its own way from here."""
        return Place(self.offset, self.resizes)


class Output:
    """A bounded log of bytes and size changes. Not for use from other threads."""

    def __init__(self, cols: int, rows: int) -> None:
        """Begin with nothing printed on a terminal of this size."""
        self.log = ByteLog(LOG_SIZE)
        # The sizes and the offsets from which on they held; number `_first` stands first.
        self._sizes: deque[tuple[int, Resized]] = deque([(0, Resized(cols, rows))])
        self._first = 0

    @property
    def end(self) -> Place:
        """The place behind all that there is."""
        return Place(self.log.end, self._first + len(self._sizes) - 1)

    @property
    def size(self) -> Resized:
        """The size at the end."""
        return self._sizes[-1][1]

    def resize(self, cols: int, rows: int) -> None:
        """Note another size, from the end on."""
        self._sizes.append((self.log.end, Resized(cols, rows)))
        if len(self._sizes) > MAX_RESIZES:
            self._sizes.popleft()
            self._first += 1

    def has(self, place: Place) -> bool:
        """Whether all that follows `place` is still there."""
        return place.offset >= self.log.start and place.resizes >= self._first

    def size_at(self, place: Place) -> Resized:
        """Return the size that the terminal had at `place`, or the oldest that is known."""
        return self._sizes[max(place.resizes - self._first, 0)][1]

    def place_at(self, offset: int, resizes: int | None = None) -> Place | None:
        """Return the place of somebody who has exactly the output before `offset`.

        None if what follows is no longer there, or if nobody can tell the place: where the size
        changed several times with nothing printed between, and they do not say how many of the
        changes they have (`resizes`).
        """
        if not self.log.start <= offset <= self.log.end:
            return None
        if resizes is not None:
            number = resizes - self._first
            if not 0 <= number < len(self._sizes) or self._sizes[number][0] > offset:
                return None
            later = self._sizes[number + 1][0] if number + 1 < len(self._sizes) else offset
            return Place(offset, resizes) if offset <= later else None
        changes = [at for at, _ in self._sizes if at == offset]
        known = self._sizes[0][0] < offset or self._first == 0
        initial = offset == 0 and self._first == 0  # the first size is no change
        return self.resume(offset) if known and len(changes) <= 1 + initial else None

    def resume(self, offset: int) -> Place:
        """Return a place from which somebody can go on who is content with gaps."""
        offset = min(max(offset, self.log.start), self.log.end)
        before = sum(at <= offset for at, _ in self._sizes)
        return Place(offset, self._first + max(before, 1) - 1)

    def take(self, place: Place, most: int = CHUNK) -> bytes | Resized | None:
        """Return what comes next, up to `most` bytes, and move `place` behind it; None at the end.

        Raises `Lagged` when it is no longer there; `place` stays.
        """
        if place.resizes < self._first:
            raise Lagged(self.log.start)
        number = place.resizes + 1 - self._first
        if number < len(self._sizes):
            at, size = self._sizes[number]
            if at <= place.offset:
                place.resizes += 1
                return size
            most = min(most, at - place.offset)
        data = self.log.peek(place.offset, most)
        place.offset += len(data)
        return data or None
