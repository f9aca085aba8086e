"""The side of a transfer that receives: writes in a thread while more arrives, syncs beside it.

Three tasks, each no further ahead of the next than what the bounds below say: one reads the
stream, one has a thread write what was read, one has threads bring complete files to the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import trio

from loopsy_core.errors import LoopsyError
from loopsy_core.kit import one_error
from loopsy_core.wire import FilesMoved, Item
from loopsy_core.wire.transfer import (
    FileKept,
    FileSkipped,
    FileTotal,
    SenderItem,
    decode_sender_item,
)

from .faults import umask
from .writing import Finished, Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from loopsy_core.links import Stream

    from .confine import Place
    from .disk import Disk
    from .folder import Folder
    from .parts import Part

__all__ = ["OnCame", "OnKept", "receive_files"]

PIECE: Final = 1 << 20
"""Bytes that are written at once, about; and items of small files."""
MOST_ITEMS: Final = 64
AHEAD: Final = 2
"""Such pieces that may wait to be written."""
SOON: Final = 0.02
"""Seconds that less than such a piece is kept, if it is a part of a file."""
PREFIX: Final = 8 << 20
"""Bytes that are compared in one go when a file goes on where it was cut off."""
SYNCS: Final = 8
"""Files that are synced at once: a disk does many in the time of one."""

T = TypeVar("T")

OnCame: TypeAlias = Callable[[SenderItem | int], object]
"""Told of every item that came, and of the size of each piece of Data."""
OnKept: TypeAlias = Callable[[FileKept], Awaitable[object]]
"""Told what is on disk, as often as that changes."""


async def receive_files(
    stream: Stream,
    place: Place,
    disk: Disk,
    *,
    into: bool = False,
    most: int | None = None,
    names: Collection[bytes] | None = None,
    mask: int | None = None,
    on_came: OnCame = lambda _: None,
    on_kept: OnKept,
) -> FilesMoved:
    """Receive files at `place` until the sender has no more; return what is kept on disk.

    With `into` the place has to be a folder that is there. `most` is the size in bytes of the
    largest file that is taken, `names` are all that the sender may use in that folder, where not
    any will do, and `mask` is the umask, if not this process's own. Cancelled or failed, what was
    told as kept stays; an incomplete file is under no name but a private one, and only if it is
    large enough to go on with later.
    """
    with one_error():
        writer = await disk.run(Writer, place, into=into, most=most, names=names)
        try:
            receiver = _Receiver(stream, writer, disk, mask, on_came, on_kept)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receiver.write)
                nursery.start_soon(receiver.settle)
                await receiver.read()
        finally:
            writer.close()
    return FilesMoved(receiver.files, receiver.size)


class _Receiver:
    def __init__(
        self,
        stream: Stream,
        writer: Writer,
        disk: Disk,
        mask: int | None,
        on_came: OnCame,
        on_kept: OnKept,
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._disk = disk
        self._on_came = on_came
        self._on_kept = on_kept
        self._umask = umask() if mask is None else mask
        self._put, self._said = trio.open_memory_channel[list[SenderItem | bytes]](AHEAD)
        self._hand_over, self._complete = trio.open_memory_channel[Finished](0)
        self.files = 0
        self.size = 0

    async def read(self) -> None:
        """Read the stream to its end, in batches that are worth a thread's turn."""
        batch: list[SenderItem | bytes] = []
        size = 0
        async with self._put:
            while (piece := await self._next(batch)) is not None:
                if not batch:
                    size = 0
                if isinstance(piece, Item):
                    said = decode_sender_item(piece.value)
                    self._on_came(said)
                    if isinstance(said, FileTotal | FileSkipped):
                        continue  # there is nothing to write
                    batch.append(said)
                    size += len(piece.value)
                else:
                    self._on_came(len(piece))
                    batch.append(piece)
                    size += len(piece)
                if size >= PIECE or len(batch) >= MOST_ITEMS:
                    await self._put_all(batch)
            await self._put_all(batch)

    async def _next(self, batch: list[SenderItem | bytes]) -> Item | bytes | None:
        try:
            return self._stream.receive_nowait()
        except trio.WouldBlock:
            pass
        if batch and isinstance(batch[-1], bytes):
            # More of the file is likely under way, and a thread's turn has its price.
            with trio.move_on_after(SOON):
                return await self._stream.receive()
        # The sender may be waiting for an answer to what is in the batch.
        await self._put_all(batch)
        return await self._stream.receive()

    async def _put_all(self, batch: list[SenderItem | bytes]) -> None:
        if batch:
            await self._put.send(batch.copy())
            batch.clear()

    async def write(self) -> None:
        """Have everything written that was said, and answer what was asked."""
        disk, writer = self._disk, self._writer
        async with self._hand_over:
            async for said in self._said:
                if await disk.run(writer.take, said):
                    while await disk.run(writer.hash_some, PREFIX):
                        pass
                    await self._stream.send_item(writer.have())
                await self._pass_on(wait=writer.finished.large)
            writer.check_ended()
            await self._pass_on(wait=True)

    async def _pass_on(self, *, wait: bool) -> None:
        finished = self._writer.finished
        if finished.empty:
            return
        try:
            if wait:
                await self._hand_over.send(finished)
            else:
                self._hand_over.send_nowait(finished)
        except trio.WouldBlock:
            return  # the disk is at work: meanwhile there may as well be more to do at once
        self._writer.take_finished()

    async def settle(self) -> None:
        """Bring what is complete to the disk, and under its name."""
        async for finished in self._complete:
            try:
                await self._in_parallel(_sync_parts, finished.parts)
                await self._disk.run(finished.name_files, self._umask)
                await self._in_parallel(_sync_folders, list(finished.changed.values()))
            finally:
                finished.close()
            self.files += finished.files
            self.size += finished.size
            if finished.last is not None:
                await self._on_kept(FileKept(finished.last, self.files, self.size))

    async def _in_parallel(
        self, sync: Callable[[Sequence[T], int], None], things: Sequence[T]
    ) -> None:
        failures: list[LoopsyError] = []

        async def sync_some(some: Sequence[T]) -> None:
            try:
                await self._disk.run(sync, some, self._umask)
            except LoopsyError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for first in range(min(SYNCS, len(things))):
                nursery.start_soon(sync_some, things[first::SYNCS])
        if failures:
            raise failures[0]  # a disk that is full says so of each file


def _sync_parts(parts: Sequence[Part], mask: int) -> None:
    for part in parts:
        part.sync(mask)


def _sync_folders(folders: Sequence[Folder], _mask: int) -> None:
    for folder in folders:
        folder.sync()
