"""The calls about files that a client has, apart from the others."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from loopsy_core.wire import FilePage, ListFiles

from .files import Pulling, Sending
from .moving import Moved, keep_moving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.links import Call
    from loopsy_core.wire import FileInfo, Operation

    from .moving import AnyPath, Progress

__all__ = ["FileCalls"]

R = TypeVar("R")


class FileCalls(ABC):
    """Whoever asks a node has these."""

    by_our_node: bool
    """Whether our node passes on what is asked here to another machine."""

    @abstractmethod
    async def ask(self, operation: Operation[R]) -> R:
        """Ask any operation and return its reply."""

    @abstractmethod
    def open_call(self, operation: Operation[R]) -> AbstractAsyncContextManager[Call]:
        """Ask, and talk over the call's stream."""

    async def send(
        self,
        paths: Sequence[AnyPath],
        dest: AnyPath,
        *,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Moved:
        """Send files and folders of this machine there; see `Sending` for what `dest` means.

        They are on disk there when this returns, verified, under their final names. `on_progress`
        is called for every piece. Raises `Gone` when the connection stays lost for a minute: doing
        the same once more goes on where that was.
        """
        sending = Sending(paths, dest, on_progress=on_progress)
        return await keep_moving(sending, lambda: nullcontext(self))

    async def pull(
        self,
        paths: Sequence[AnyPath],
        dest: AnyPath,
        *,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Moved:
        """Fetch files and folders from there to this machine, as `send` sends them."""
        pulling = Pulling(paths, dest, on_progress=on_progress)
        return await keep_moving(pulling, lambda: nullcontext(self))

    async def list_files(self, path: AnyPath) -> list[FileInfo]:
        """Return what is in a folder there, sorted by name, or the one file that `path` is."""
        entries: list[FileInfo] = []
        async with self.open_call(ListFiles(path=os.fsencode(path))) as call:
            call.end()
            while (piece := await call.receive()) is not None:
                if not isinstance(piece, bytes):
                    entries += call.read(piece, FilePage).entries
        return sorted(entries, key=lambda entry: entry.name)
