"""Files and folders that are sent to a node, and those that are pulled from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import BadRequest
from loopsy_core.files import find_sources, last_name, receive_files, send_files, sight, umask
from loopsy_core.wire import FetchFiles, PullFiles, PushFiles, SendFiles, read_reply

from .moving import AnyPath, Moved, Moving, Progress, absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loopsy_core.files import Place
    from loopsy_core.home import Home
    from loopsy_core.wire.transfer import FileKept

    from .moving import Way

__all__ = ["Pulling", "Sending"]


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

    def _order(self) -> SendFiles:
        return SendFiles(
            paths=[absolute(path) for path in self._paths],
            dest=self._dest,
            after=self.after,
            sight=sight(),
        )

    async def _move(self, client: Way) -> Moved:
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
                self._add_kept(read_reply(operation, await call.answer()))
        return self._moved()


class Pulling(Moving):
    """Files and folders of a node that are fetched to this machine."""

    def __init__(
        self,
        paths: Sequence[AnyPath],
        dest: AnyPath,
        *,
        home: Home | None = None,
        mask: int | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Fetch what is at `paths` there to `dest` here; as for `Sending` otherwise.

        `mask` is the umask, if not this process's own.
        """
        super().__init__(home, on_progress)
        self._umask = umask() if mask is None else mask
        self._paths = _sources(paths)
        self._dest = os.fsencode(dest) or b"."
        self._into = len(self._paths) > 1 or self._dest.endswith(b"/")

    def _order(self) -> FetchFiles:
        return FetchFiles(
            paths=self._paths,
            dest=absolute(self._dest),
            after=self.after,
            sight=sight(),
            umask=self._umask,
        )

    async def _move(self, client: Way) -> Moved:
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
                    mask=self._umask,
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


def _sources(paths: Sequence[AnyPath]) -> list[bytes]:
    if not paths:
        raise BadRequest("there is nothing to move: name at least one file or folder")
    return [os.fsencode(path) for path in paths]
