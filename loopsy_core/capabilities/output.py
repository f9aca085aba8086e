"""What a job has written to its standard output and error, in order, for one reader at a time.

Bounded on both sides of the reader: whoever writes must wait while the reader is too far
behind, and what the reader has taken is kept for a while, because a lost connection loses what
was under way on it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, get_args

import trio

from loopsy_core.errors import BadRequest, Busy
from loopsy_core.wire import OutputName

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Output", "Reader"]

KEPT: Final = 1 << 20
"""Bytes that are kept. Half of that may be under way or lost with a connection (whose window is a
quarter), the other half is what a reader may be behind."""
MOST_BEHIND: Final = KEPT // 2
PIECE_COST: Final = 64
"""What a piece costs beside its bytes, so that a million tiny ones are not free."""
SMALL: Final = 4096
"""Bytes up to which what follows each other in the same stream is joined."""

_NAMES: Final[tuple[OutputName, ...]] = get_args(OutputName)


class _Piece:
    """Some bytes of one of the streams."""

    __slots__ = ("data", "offset", "stream")

    def __init__(self, stream: OutputName, offset: int, data: bytes) -> None:
        self.stream = stream
        self.offset = offset
        self.data = data


class Output:
    """Both streams of one job. Offsets are absolute, each stream has its own."""

    def __init__(self, kept: int = KEPT, most_behind: int = MOST_BEHIND) -> None:
        """Begin with nothing written, and a reader that has read nothing."""
        self._capacity = kept
        self._most_behind = most_behind
        self._pieces: deque[_Piece] = deque()
        self._first = 0  # the number of _pieces[0]
        self._kept = 0  # what they cost
        self._grown = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._unlimited = False
        self.ends: dict[OutputName, int] = dict.fromkeys(_NAMES, 0)
        """How many bytes were written to each stream."""
        self.closed = False
        self.reader = Reader(self, self.ends)
        """Who reads now; of all readers, only the latest gets anything."""

    @property
    def total(self) -> int:
        """How many bytes were written in all."""
        return sum(self.ends.values())

    def append(self, stream: OutputName, data: bytes) -> None:
        """Add what was written; never blocks, so call `wait_room` before there is more."""
        if not data:
            return
        last = self._pieces[-1] if self._pieces else None
        if last and last.stream == stream and len(last.data) + len(data) <= SMALL:
            last.data += data
        else:
            self._pieces.append(_Piece(stream, self.ends[stream], data))
            self._kept += PIECE_COST
        self._kept += len(data)
        self.ends[stream] += len(data)
        # What the reader has not got is never dropped; that it stays little is `wait_room`'s part.
        while self._kept > self._capacity and self._first < self.reader.number:
            self._kept -= len(self._pieces.popleft().data) + PIECE_COST
            self._first += 1
        self._grown.unpark_all()

    async def wait_room(self) -> None:
        """Wait until the reader is not too far behind. Not a checkpoint while it is not."""
        while not self._unlimited and self._behind() >= self._most_behind:
            await self._room.park()

    def let_go(self) -> None:
        """Take from now on what comes without waiting for the reader; for last words."""
        self._unlimited = True
        self._room.unpark_all()

    def close(self) -> None:
        """Say that nothing follows; the reader gets what is there, and then the end."""
        self.closed = True
        self._grown.unpark_all()

    def read_from(self, offsets: Mapping[OutputName, int]) -> Reader:
        """Return the reader that from now on gets the output, from these offsets on.

        Where those bytes are not kept any more, it begins at the first that are. Raises
        `BadRequest` for an offset that never was.
        """
        for name, offset in offsets.items():
            if not 0 <= offset <= self.ends[name]:
                raise BadRequest(f"{name} has {self.ends[name]} bytes, so none from {offset} on")
        starts = dict(self.ends)
        for piece in reversed(self._pieces):
            starts[piece.stream] = piece.offset
        self.reader = Reader(
            self, {name: max(offsets[name], starts[name]) for name in _NAMES}, self._first
        )
        self._grown.unpark_all()  # the reader until now learns of it
        self._room.unpark_all()
        return self.reader

    # For the reader.

    async def wait_growth(self) -> None:
        """Wait for more, the end, or another reader."""
        await self._grown.park()

    def piece(self, number: int) -> _Piece | None:
        """Return a piece that is kept, None if it is yet to come."""
        index = number - self._first
        return self._pieces[index] if index < len(self._pieces) else None

    def taken(self) -> None:
        """Note that the reader has taken something."""
        if self._room and self._behind() < self._most_behind:
            self._room.unpark_all()

    def _behind(self) -> int:
        reader = self.reader
        pieces = self._first + len(self._pieces) - reader.number
        return self.total - sum(reader.at.values()) + PIECE_COST * pieces


class Reader:
    """How far one reader has come; `Output.read_from` makes it."""

    def __init__(self, output: Output, at: Mapping[OutputName, int], number: int = 0) -> None:
        """Go on behind `at` in each stream; nothing of it is before piece `number`."""
        self._output = output
        self.at = dict(at)
        """The offset that the next bytes of each stream will have."""
        self.number = number

    @property
    def replaced(self) -> bool:
        """Whether another reader gets the output now."""
        return self._output.reader is not self

    async def wait(self) -> OutputName | None:
        """Wait for bytes and return the stream that they belong to, None at the end.

        Raises `Busy` when another reader has taken over. A checkpoint.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if (piece := self._next()) is not None:
                return piece.stream
            if self._output.closed:
                return None
            await self._output.wait_growth()

    def take(self, most: int) -> bytes:
        """Return up to `most` bytes (at least 1) of those that `wait` told of.

        Raises `Busy` as `wait` does.
        """
        piece = self._next()
        assert piece is not None
        begin = self.at[piece.stream] - piece.offset
        data = piece.data[begin : begin + most]
        self.at[piece.stream] += len(data)
        self._output.taken()
        return data

    def _next(self) -> _Piece | None:
        """Return the first piece with something in it that was not taken yet."""
        if self.replaced:
            raise Busy("this job was picked up over another connection")
        while (piece := self._output.piece(self.number)) is not None:
            if self.at[piece.stream] < piece.offset + len(piece.data):
                return piece
            if self._output.piece(self.number + 1) is None:
                return None  # it may grow
            self.number += 1
        return None
