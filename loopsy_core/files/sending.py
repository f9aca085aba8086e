"""The side of a transfer that sends: reads ahead in threads while the last piece travels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, asynccontextmanager, closing
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from loopsy_core.errors import LoopsyError, ProtocolViolation, Refused
from loopsy_core.kit import one_error
from loopsy_core.wire import CHUNK, FilesMoved
from loopsy_core.wire.transfer import (
    RESUMABLE,
    FileAgain,
    FileBegins,
    FileFrom,
    FileHave,
    FileKept,
    FileSkipped,
    FileTotal,
    SenderItem,
    SendingFile,
    SmallFile,
    decode_receiver_item,
)

from .faults import explained, readable
from .walk import MODE, OpenFile, sizes, walk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from loopsy_core.links import Stream

    from .confine import Place
    from .disk import Disk
    from .walk import Sent

__all__ = ["OnReceived", "OnSent", "send_files"]

PIECE: Final = 16 * CHUNK
"""Bytes that are read at once: large enough that threads cost little, and full messages."""
AHEAD: Final = 1
"""Pieces of a file that may wait to be sent, beside one that is sent and one that is read."""
PREFIX: Final = 8 << 20
"""Bytes that are compared in one go when a file goes on where it was cut off."""
BATCH: Final = 131_072
"""Bytes of small files that are read in one go."""
MOST_IN_BATCH: Final = 64
COUNTED: Final = 1000
"""Files that are counted in one go."""
TRIES: Final = 2
"""How often a file is sent that changes meanwhile."""

OnSent: TypeAlias = Callable[[SenderItem | int], object]
"""Told of every item that was sent, and of the size of each piece of Data."""
OnReceived: TypeAlias = Callable[[FileKept], object]


async def send_files(
    stream: Stream,
    places: Sequence[Place],
    disk: Disk,
    *,
    after: bytes | None = None,
    most: int | None = None,
    on_sent: OnSent = lambda _: None,
    on_kept: OnReceived = lambda _: None,
    end: Callable[[], object] | None = None,
) -> FilesMoved:
    """Send what is at `places` that comes after the path `after`; return how much that was.

    `most` is the size in bytes of the largest file that may be sent. What cannot be sent is
    skipped and told; whoever receives it may fail at any time, and then its error is raised.
    With `end`, that is called when everything has been said, and we listen on until the receiver
    has nothing more to say: that everything is kept, say.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            sender = _Sender(stream, disk, most, on_sent)
            nursery.start_soon(sender.listen, on_kept)
            counting = await nursery.start(sender.tell_total, places)
            with closing(walk(places, after)) as entries:
                while batch := await disk.run(_next_batch, entries):
                    try:
                        for entry in batch:
                            await sender.send(entry)
                    finally:
                        for entry in batch:
                            if isinstance(entry, OpenFile):
                                os.close(entry.descriptor)
            counting.cancel()
            if end is None:
                nursery.cancel_scope.cancel()
            else:
                end()
    return FilesMoved(sender.files, sender.size)


def _next_batch(entries: Generator[Sent]) -> list[Sent]:
    batch: list[Sent] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.data) if isinstance(entry, SmallFile) else 0
        if isinstance(entry, OpenFile) or size >= BATCH or len(batch) >= MOST_IN_BATCH:
            break
    return batch


class _Sender:
    def __init__(self, stream: Stream, disk: Disk, most: int | None, on_sent: OnSent) -> None:
        self._stream = stream
        self._disk = disk
        self._most = most
        self._on_sent = on_sent
        self._tell_have, self._have = trio.open_memory_channel[FileHave](1)
        self.files = 0
        self.size = 0

    async def listen(self, on_kept: OnReceived) -> None:
        """Take in what the receiver says, until it says no more."""
        while (piece := await self._stream.receive()) is not None:
            if isinstance(piece, bytes):
                raise ProtocolViolation("who receives files sends no data")
            match decode_receiver_item(piece.value):
                case FileHave() as have:
                    try:
                        self._tell_have.send_nowait(have)
                    except trio.WouldBlock:
                        raise ProtocolViolation("nobody asked what is there of a file") from None
                case FileKept() as kept:
                    on_kept(kept)

    async def tell_total(
        self, places: Sequence[Place], *, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        """Count what there is, beside everything else, and tell it."""
        with trio.CancelScope() as scope:
            task_status.started(scope)
            found = sizes(places)
            files = size = 0
            while some := await self._disk.run(lambda: list(islice(found, COUNTED))):
                files += len(some)
                size += sum(some)
            await self.say(FileTotal(files, size))

    async def say(self, item: SenderItem) -> None:
        await self._stream.send_item(item)
        self._on_sent(item)

    async def send(self, entry: Sent) -> None:
        match entry:
            case OpenFile():
                await self._send_file(entry)
            case SmallFile():
                if not await self._skips(entry.path, len(entry.data)):
                    await self.say(entry)
                    self._count(len(entry.data))
            case _:
                await self.say(entry)

    def _count(self, size: int) -> None:
        self.files += 1
        self.size += size

    async def _skips(self, path: bytes, size: int) -> bool:
        if self._most is None or size <= self._most:
            return False
        why = f"{readable(path)} is larger than the {self._most} bytes that may be sent from there"
        await self.say(FileSkipped(path, Refused.code, why))
        return True

    async def _send_file(self, file: OpenFile) -> None:
        for _ in range(TRIES):
            if await self._skips(file.path, file.found.st_size):
                return
            found = file.found
            ask = found.st_size >= RESUMABLE
            await self.say(
                FileBegins(file.path, found.st_size, found.st_mode & MODE, found.st_mtime_ns, ask)
            )
            sending = SendingFile(found.st_size, await self._have.receive() if ask else None)
            while sending.prefix_left:
                await self._disk.run(_hash_prefix, file, sending)
            offset = sending.begin()
            if ask:
                await self.say(FileFrom(offset))
            if await self._send_bytes(file, sending):
                await self.say(sending.end())
                self._count(found.st_size)
                return
            await self.say(FileAgain())
            file = OpenFile(file.path, file.descriptor, os.fstat(file.descriptor), file.shown)
        why = f"{file.shown} changed each time that it was read; try again"
        await self.say(FileSkipped(file.path, LoopsyError.code, why))

    async def _send_bytes(self, file: OpenFile, sending: SendingFile) -> bool:
        """Send what is left; return whether the file was the same to the end."""
        async with _reading_ahead(self._disk, file, sending) as pieces:
            async for piece in pieces:
                await self._stream.send(piece)
                self._on_sent(len(piece))
        return not sending.left and not file.changed()


@asynccontextmanager
async def _reading_ahead(
    disk: Disk, file: OpenFile, sending: SendingFile
) -> AsyncGenerator[trio.MemoryReceiveChannel[memoryview]]:
    """Read what is left of the file; each piece holds until the next one is asked for."""
    put, pieces = trio.open_memory_channel[memoryview](AHEAD)

    async def read() -> None:
        # In turn, for memory that was not used before costs more than reading into it.
        buffers: deque[memoryview] = deque(maxlen=AHEAD + 2)
        async with put:
            while sending.left:
                new = len(buffers) < AHEAD + 2
                buffer = memoryview(bytearray(min(PIECE, sending.left))) if new else buffers[0]
                buffers.append(buffer)
                piece = await disk.run(_read_piece, file, sending, buffer)
                if not piece:
                    return  # it has become shorter
                await put.send(piece)

    async with trio.open_nursery() as nursery, aclosing(pieces):
        nursery.start_soon(read)
        yield pieces


def _read_piece(file: OpenFile, sending: SendingFile, buffer: memoryview) -> memoryview:
    with explained(file.shown):
        count = os.preadv(file.descriptor, [buffer[: sending.left]], sending.offset)
    piece = buffer[:count]
    sending.sent(piece)
    return piece


def _hash_prefix(file: OpenFile, sending: SendingFile) -> None:
    with explained(file.shown):
        piece = os.pread(file.descriptor, min(PREFIX, sending.prefix_left), sending.offset)
    if not piece:
        raise LoopsyError(f"{file.shown} became shorter while it was read; try again")
    sending.hash_prefix(piece)
