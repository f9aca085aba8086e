"""Files and folders on their way to a node or from it, across lost connections.

A `Sending` or a `Pulling` knows what has arrived, as `Viewing` knows what was shown: pass it to
`keep_moving`, and after a cut it goes on where it was, over whatever connection there is then.

What is moved between this machine and another, our node carries where it sees the same files as
we do: then the bytes go through one process less, which would be a third of the work.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import attrs
import trio

from loopsy_core.errors import Busy, Gone, NotFound, Refused
from loopsy_core.files import Confinement, Disk
from loopsy_core.home import Home
from loopsy_core.kit import Backoff
from loopsy_core.wire import FetchFiles, Hello, Item, SendFiles, read_reply
from loopsy_core.wire.transfer import (
    FileAgain,
    FileBegins,
    FileEnds,
    FileFrom,
    FileKept,
    FilesCarried,
    FileSkipped,
    FileTotal,
    SenderItem,
    SmallFile,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.links import Call
    from loopsy_core.wire import FilesMoved, Operation

    from .file_calls import FileCalls

__all__ = ["AnyPath", "Moved", "Moving", "Progress", "Way", "absolute", "keep_moving"]

PATIENCE: Final = 60.0
"""Seconds without any progress after which a lost connection is not waited for any more."""
MOST_SKIPPED: Final = 1000
"""Things that were not sent which are told one by one."""
MOST_TOLD: Final = 16
"""Of them in one Item."""
ELSEWHERE: Final = "elsewhere"

R = TypeVar("R")
AnyPath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"


@attrs.define
class Progress:
    """How far it is. The totals are 0 until they are known, and may be wrong while files change."""

    files: int = 0
    bytes: int = 0
    total_files: int = 0
    total_bytes: int = 0
    path: str = ""
    """What is moved now, as it is called there."""


@attrs.frozen
class Moved:
    """What was moved: it is on disk, and its SHA-256 is that of the source."""

    files: int
    bytes: int
    skipped: tuple[FileSkipped, ...]
    """What was not sent, and why: unreadable or special files, links that point outside."""


class Way(Protocol):
    """Where files are moved to or from."""

    @property
    def by_our_node(self) -> bool:
        """Whether our node passes on what is asked there."""

    def open_call(self, operation: Operation[R]) -> AbstractAsyncContextManager[Call]:
        """Ask, and talk over the call's stream."""


class Moving(ABC):
    """Files that are moved, over as many connections as it takes."""

    def __init__(self, home: Home | None, on_progress: Callable[[Progress], object] | None) -> None:
        """Begin with nothing; `home` is the home of Loopsy, which is never sent or written."""
        self.progress = Progress()
        self.begun = False
        """Whether the other side was ever reached."""
        self.moves = 0
        """Goes up with everything that is moved."""
        self._on_progress = on_progress or (lambda _: None)
        self._disk = Disk()
        self._denied = ((home or Home.find()).root,)
        self.after: bytes | None = None
        """Everything up to this path is known to be kept."""
        self._kept_files = 0
        self._kept_bytes = 0
        self._kept_before = (0, 0)
        self._of_this_file = 0
        self._skipped: dict[bytes, FileSkipped] = {}
        self._path = b""
        self._carried = True  # until our node says that it cannot

    async def over(self, client: Way) -> Moved:
        """Move what is left over the connection of `client`; raises `Gone` when that is cut."""
        self._begin_connection()
        if self._carried and client.by_our_node:
            try:
                return await self._have_carried(client)
            except Refused as error:
                if error.details.get("why") != ELSEWHERE:
                    raise
                self._carried = False
        return await self._move(client)

    @abstractmethod
    async def _move(self, client: Way) -> Moved:
        """Move what is left ourselves."""

    @abstractmethod
    def _order(self) -> SendFiles | FetchFiles:
        """Return what to ask of our node."""

    async def _have_carried(self, client: Way) -> Moved:
        operation = self._order()
        async with client.open_call(operation) as call:
            call.end()
            while isinstance(piece := await call.receive(), Item):
                self._hear_carried(call.read(piece, FilesCarried))
            self._add_kept(read_reply(operation, await call.answer()))
        return self._moved()

    def _hear_carried(self, told: FilesCarried) -> None:
        progress = self.progress
        files, size = self._kept_before
        progress.files, progress.bytes = files + told.files, size + told.bytes
        progress.total_files, progress.total_bytes = told.total_files, told.total_bytes
        progress.path = _text(told.path)
        if told.after is not None:
            self.after = told.after
        self._kept_files, self._kept_bytes = files + told.kept_files, size + told.kept_bytes
        for skipped in told.skipped:
            self._skip(skipped)
        self.moves += 1
        self._on_progress(progress)

    def carried(self, known: int) -> FilesCarried:
        """Return how far it is; `known` of what was skipped was told before."""
        progress = self.progress
        return FilesCarried(
            path=self._path,
            files=progress.files,
            bytes=progress.bytes,
            total_files=progress.total_files,
            total_bytes=progress.total_bytes,
            after=self.after,
            kept_files=self._kept_files,
            kept_bytes=self._kept_bytes,
            skipped=list(islice(self._skipped.values(), known, known + MOST_TOLD)),
        )

    def _here(self) -> Confinement:
        return Confinement(None, self._denied, base=absolute(b""), tilde=False)

    def _begin_connection(self) -> None:
        self._kept_before = (self._kept_files, self._kept_bytes)
        self.progress.files, self.progress.bytes = self._kept_before

    def _add_kept(self, reply: FilesMoved) -> None:
        files, size = self._kept_before
        self._kept_files, self._kept_bytes = files + reply.files, size + reply.bytes

    def _skip(self, said: FileSkipped) -> None:
        if len(self._skipped) < MOST_SKIPPED:
            self._skipped[said.path] = said

    def _kept(self, item: FileKept) -> None:
        files, size = self._kept_before
        self.after = item.path
        self._kept_files, self._kept_bytes = files + item.files, size + item.bytes
        self.moves += 1

    def _note(self, said: SenderItem | int) -> None:
        progress = self.progress
        self.moves += 1
        match said:
            case int():
                progress.bytes += said
                self._of_this_file += said
            case FileTotal():
                progress.total_files, progress.total_bytes = said.files, said.bytes
            case SmallFile():
                self._path = said.path
                progress.path = _text(said.path)
                progress.files += 1
                progress.bytes += len(said.data)
            case FileBegins():
                self._path = said.path
                progress.path = _text(said.path)
                self._of_this_file = 0
            case FileFrom():
                self._of_this_file = said.offset
                progress.bytes += said.offset
            case FileEnds():
                progress.files += 1
            case FileAgain():
                progress.bytes -= self._of_this_file
            case FileSkipped():
                self._skip(said)
            case _:
                pass
        self._on_progress(progress)

    def _moved(self) -> Moved:
        return Moved(self._kept_files, self._kept_bytes, tuple(self._skipped.values()))


async def keep_moving(
    moving: Moving, reach: Callable[[], AbstractAsyncContextManager[FileCalls]]
) -> Moved:
    """Move it all, over a new connection by `reach` whenever one is lost.

    Raises `Gone` when the other side cannot be reached at all, or has not been for a minute;
    whoever then begins anew with the same files goes on in the middle of the large one. Whatever
    else goes wrong is raised at once.
    """
    backoff = Backoff(first=0.2, most=5.0)
    moves = 0
    since = trio.current_time()
    while True:
        try:
            async with reach() as client:
                await client.ask(Hello())  # whoever answers once is waited for from then on
                moving.begun = True
                return await moving.over(client)
        # Busy: our own former call, of whose end the other side has not heard yet.
        except (Gone, Busy):
            if moving.moves > moves:
                moves = moving.moves
                since = trio.current_time()
                backoff.reset()
            if not moving.begun or trio.current_time() - since > PATIENCE:
                raise
        await trio.sleep(backoff.next())


def absolute(path: bytes) -> bytes:
    """Return a path that leads from anywhere to where `path` leads from here."""
    try:
        return os.path.join(os.getcwdb(), path)
    except OSError:
        raise NotFound("the current folder has been removed; go to another one") from None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
