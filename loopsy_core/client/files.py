"""Files and folders on their way to a node or from it, across lost connections.

A `Sending` or a `Pulling` knows what has arrived, as `Viewing` knows what was shown: pass it to
`keep_moving`, and after a cut it goes on where it was, over whatever connection there is then.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

from loopsy_core.errors import BadRequest, Busy, Gone, NotFound
from loopsy_core.files import Confinement, Disk, find_sources, last_name, receive_files, send_files
from loopsy_core.home import Home
from loopsy_core.kit import Backoff
from loopsy_core.wire import Hello, PullFiles, PushFiles, read_reply
from loopsy_core.wire.transfer import (
    FileAgain,
    FileBegins,
    FileEnds,
    FileFrom,
    FileKept,
    FileSkipped,
    FileTotal,
    SenderItem,
    SmallFile,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.files import Place

    from .file_calls import FileCalls

__all__ = ["AnyPath", "Moved", "Moving", "Progress", "Pulling", "Sending", "keep_moving"]

PATIENCE: Final = 60.0
"""Seconds without any progress after which a lost connection is not waited for any more."""
MOST_SKIPPED: Final = 1000
"""Things that were not sent which are told one by one."""

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

    @abstractmethod
    async def over(self, client: FileCalls) -> Moved:
        """Move what is left over the connection of `client`; raises `Gone` when that is cut."""

    def _here(self) -> Confinement:
        try:
            base = os.getcwdb()
        except OSError:
            raise NotFound("the current folder has been removed; go to another one") from None
        return Confinement(None, self._denied, base=base, tilde=False)

    def _begin_connection(self) -> None:
        self._kept_before = (self._kept_files, self._kept_bytes)
        self.progress.files, self.progress.bytes = self._kept_before

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
                progress.path = _text(said.path)
                progress.files += 1
                progress.bytes += len(said.data)
            case FileBegins():
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
                if len(self._skipped) < MOST_SKIPPED:
                    self._skipped[said.path] = said
            case _:
                pass
        self._on_progress(progress)

    def _moved(self) -> Moved:
        return Moved(self._kept_files, self._kept_bytes, tuple(self._skipped.values()))


class Sending(Moving):
    """Files and folders of this machine that are sent to a node."""

    def __init__(
        self,
        paths: Sequence[AnyPath],
        dest: AnyPath,
        *,
        home: Home | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Send what is at `paths` to `dest` there: into it, if it is a folder.

        If it is not there, or is a file, a single source gets that name; with several, or
        with a / at its end, it has to be a folder. A relative `dest` begins in the home
        directory there.
        """
        super().__init__(home, on_progress)
        self._paths = _sources(paths)
        self._dest = os.fsencode(dest)
        self._into = len(self._paths) > 1 or self._dest.endswith(b"/")

    async def over(self, client: FileCalls) -> Moved:
        """Send what is left."""
        self._begin_connection()
        operation = PushFiles(path=self._dest, into=self._into)
        with self._here() as here:
            places = await self._disk.run(find_sources, here, self._paths)
            async with client.open_call(operation) as call:
                await send_files(
                    call,
                    places,
                    self._disk,
                    after=self.after,
                    on_sent=self._note,
                    on_kept=self._kept,
                    end=call.end,
                )
                reply = read_reply(operation, await call.answer())
        files, size = self._kept_before
        self._kept_files, self._kept_bytes = files + reply.files, size + reply.bytes
        return self._moved()


class Pulling(Moving):
    """Files and folders of a node that are fetched to this machine."""

    def __init__(
        self,
        paths: Sequence[AnyPath],
        dest: AnyPath,
        *,
        home: Home | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Fetch what is at `paths` there to `dest` here; as for `Sending` otherwise."""
        super().__init__(home, on_progress)
        self._paths = _sources(paths)
        self._dest = os.fsencode(dest) or b"."
        self._into = len(self._paths) > 1 or self._dest.endswith(b"/")

    async def over(self, client: FileCalls) -> Moved:
        """Fetch what is left."""
        self._begin_connection()
        operation = PullFiles(paths=self._paths, after=self.after)
        with self._here() as here:
            place = await self._disk.run(here.find, self._dest)
            async with client.open_call(operation) as call:
                await receive_files(
                    call,
                    place,
                    self._disk,
                    into=self._into,
                    names=self._names(place),
                    on_came=self._note,
                    on_kept=self._keep,
                )
        return self._moved()

    def _names(self, place: Place) -> list[bytes] | None:
        """Return the names that may come, for the other side is not to choose them."""
        names = [last_name(path) for path in self._paths]
        if all(names):
            return names
        if place.is_folder:
            raise BadRequest(
                "what is fetched has no name of its own in what you wrote: write its whole path,"
                " or a DEST that is not there yet and will be its name"
            )
        return None

    async def _keep(self, item: FileKept) -> None:
        await trio.lowlevel.checkpoint()
        self._kept(item)


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


def _sources(paths: Sequence[AnyPath]) -> list[bytes]:
    if not paths:
        raise BadRequest("there is nothing to move: name at least one file or folder")
    return [os.fsencode(path) for path in paths]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
