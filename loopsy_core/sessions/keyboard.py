"""What viewers type, on its way into the program's terminal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import Gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from .audience import Audience
    from .running import Running
    from .viewer import Viewer

__all__ = ["Keyboard"]


class Keyboard:
    """One for a session. What a viewer types at once stays together, whoever else types."""

    def __init__(self, running: Running, audience: Audience, on_news: Callable[[], None]) -> None:
        """Type into the terminal of `running`; `audience` counts what each viewer has typed.

        `on_news` is called when a viewer is to be told of that.
        """
        self._running = running
        self._audience = audience
        self._on_news = on_news
        self._typist: Viewer | None = None
        self._others = trio.lowlevel.ParkingLot()

    def is_typing(self, viewer: Viewer) -> bool:
        """Whether `viewer` is in the middle of a piece."""
        return self._typist is viewer

    def type_nowait(self, viewer: Viewer, data: bytes) -> bytes:
        """Type what is possible now, and return the rest.

        Where that is some but not all of `data` the viewer goes on with `type`, or ends by `leave`.
        """
        if self._typist is not None or not self._audience.has(viewer.id, viewer):
            return data
        written = self._write(viewer, memoryview(data))
        if 0 < written < len(data):
            self._typist = viewer
        return data[written:]

    async def type(self, viewer: Viewer, data: bytes) -> None:
        """Type `data`, waiting for others and for the program; not a checkpoint if it need not.

        Raises `Gone` once the viewer has reconnected: it sends anew what was not typed.
        """
        while self._typist is not None and self._typist is not viewer:
            await self._others.park()
        self._typist = viewer
        try:
            view = memoryview(data)
            while view:
                if not self._audience.has(viewer.id, viewer):
                    raise Gone("the viewer has reconnected")
                if not (written := self._write(viewer, view)):
                    await self._wait_writable()
                view = view[written:]
        finally:
            self.leave(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Let others type, if `viewer` is in the middle of something."""
        if self._typist is viewer:
            self._typist = None
            self._others.unpark()

    def _write(self, viewer: Viewer, view: memoryview) -> int:
        # Written and counted with no await between: exactly once, also when the viewer has come
        # back meanwhile and was told the count.
        pty = self._running.pty
        written = len(view) if pty is None else pty.write_some_nowait(view)
        if viewer.note_typed(self._audience.count(viewer.id, written)):
            self._on_news()
        return written

    async def _wait_writable(self) -> None:
        if (pty := self._running.pty) is not None:
            with contextlib.suppress(trio.ClosedResourceError):  # the program has ended
                await pty.wait_writable()
