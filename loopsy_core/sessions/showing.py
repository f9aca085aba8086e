"""Showing a session to one viewer, from where it stands, until it has seen the end.

PROTOCOL.md section 5, the host's side: the output from an exact place on, and a picture whenever
the output cannot tell what the screen shows.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Busy, Gone
from loopsy_core.kit import Lagged
from loopsy_core.wire import CHUNK, Ended, Picture, Resized, Resumed

from .feeder import Drawing
from .output import Place

if TYPE_CHECKING:
    from loopsy_core.links import Asked
    from loopsy_core.wire import AttachSession

    from .session import Session
    from .viewer import Viewer

__all__ = ["Showing"]

HURRY: Final = 65_536
"""Bytes by which a viewer that types may be behind; more, and it is shown what is there now."""
HASTE: Final = 0.5
"""Seconds that it waits for that; then the output itself is sooner there."""
LONGEST_BEGINNING: Final = 65_536
"""Bytes of output that are shown whole where there is no emulator, yet, to draw a picture."""
# What shells print first, none of which a terminal answers: colours, modes, titles, moves.
_HARMLESS: Final = re.compile(
    rb"\x1b\[[0-9;:?]*[A-HJKmhl]|\x1b\](?:[0127]|133);[^\x07\x1b]*(?:\x07|\x1b\\)"
)
_QUERY: Final = re.compile(rb"[\x05\x1b\x90\x9b\x9d]")


class Showing:
    """One attached call and the viewer behind it."""

    def __init__(self, session: Session, viewer: Viewer, asked: Asked) -> None:
        """Show `session` to `viewer` over `asked`; nothing is sent yet."""
        self._session = session
        self._output = session.output
        self._viewer = viewer
        self._asked = asked

    async def show(self, request: AttachSession) -> None:
        """Show everything up to the end, beginning with what `request` lacks."""
        if (place := self._resume_at(request)) is not None:
            await self._resume(place)
        elif self._session.feeder.no_emulator and self._can_begin_blank():
            await self._show_drawing(Drawing(Place(), self._output.size_at(Place()), "", b""))
        else:
            await self._draw()
        while not await self._show_next():
            if not self._session.audience.has(self._viewer.id, self._viewer):
                raise Gone("the viewer has reconnected")

    def _resume_at(self, request: AttachSession) -> Place | None:
        """Return where the output goes on for whoever asks, None if it takes a picture."""
        output = self._output
        offset = request.offset if request.epoch == self._session.epoch else None
        if request.all_output and request.epoch is None and (output.log.end or self._session.alive):
            offset = 0
        if offset is None or offset > output.log.end:
            return None
        if request.all_output:
            return output.resume(offset)
        return output.place_at(offset, request.resizes)

    async def _resume(self, place: Place) -> None:
        """Let the output go on at `place`."""
        session = self._session
        typed = session.begin(self._viewer, place)
        size = self._output.size_at(place)
        await self._asked.send_item(
            Resumed(
                session.epoch,
                place.offset,
                typed,
                size.cols,
                size.rows,
                session.title,
                place.resizes,
            )
        )

    async def _draw(self) -> None:
        """Show the screen as it is now, or a little later, and let the output go on there."""
        drawing = await self._session.screen.picture(self._output.end)
        assert drawing is not None
        await self._show_drawing(drawing)

    async def _draw_in_haste(self, longest: int) -> bool:
        """Do the same where it is soon done and takes at most `longest` bytes; else return False.

        Of the very end, for which the emulator has a little to go: a picture of where it is now
        would leave all that to be looked through, which takes much longer.
        """
        drawing = None
        with suppress(Busy), trio.move_on_after(HASTE):  # the emulator may be gone, or stuck
            drawing = await self._session.screen.picture(self._output.end, longest)
        if drawing is None:
            return False
        await self._show_drawing(drawing)
        return True

    def _can_begin_blank(self) -> bool:
        """Whether the whole output shows the viewer what a picture would.

        Not where the viewer's terminal would answer queries that were answered already.
        """
        if not self._session.feeder.whole or self._output.log.end > LONGEST_BEGINNING:
            return False
        place, parts = Place(), []
        while (piece := self._output.take(place)) is not None:
            parts.append(piece if isinstance(piece, bytes) else b"")
        return not (self._viewer.may_answer and _QUERY.search(_HARMLESS.sub(b"", b"".join(parts))))

    async def _show_drawing(self, drawing: Drawing) -> None:
        session = self._session
        typed = session.begin(self._viewer, drawing.place.copy())
        size = drawing.size
        await self._asked.send_item(
            Picture(
                session.epoch,
                drawing.place.offset,
                typed,
                size.cols,
                size.rows,
                drawing.title,
                len(drawing.picture),
                drawing.place.resizes,
            )
        )
        await self._asked.send(drawing.picture)

    async def _show_next(self) -> bool:
        """Send the viewer one thing, or wait for one; return whether that was the end."""
        viewer, asked = self._viewer, self._asked
        room = asked.room - viewer.pacing.held_back
        if room < 1:
            room = await asked.wait_room(viewer.pacing.held_back)
            viewer.pacing.waited(asked.consumed, trio.current_time())
        if await self._refresh():
            return False
        if (item := viewer.next_item()) is not None:
            await asked.send_item(item)
            return False
        try:
            piece = self._output.take(viewer.place, min(room, CHUNK))
        except Lagged:
            await self._skip()
            return False
        if isinstance(piece, Resized):
            await asked.send_item(piece)
        elif piece is not None:
            asked.send_nowait(piece)
            # Not every piece waits for room, and nobody else may starve meanwhile.
            await trio.lowlevel.checkpoint()
        elif self._output.log.closed:
            await asked.send_item(Ended(self._session.exit_code))
            return True
        else:
            viewer.waiting = asked
            viewer.pacing.idle()
            try:
                await self._session.news.park()
            finally:
                viewer.waiting = None
        return False

    async def _refresh(self) -> bool:
        """Show a new picture if one is due; return whether there was one."""
        viewer = self._viewer
        if viewer.outdated:
            viewer.outdated = False
            await self._draw()
            return True
        if viewer.hurry:
            viewer.hurry = False
            if (behind := self._output.log.end - viewer.place.offset) > HURRY:
                return await self._draw_in_haste(behind)
        return False

    async def _skip(self) -> None:
        """Go on where there is something, for the viewer has fallen off the log's end."""
        if not self._viewer.all_output:
            await self._draw()
            return
        # Who reads goes on in the middle: at the beginning it would lag again at once.
        log = self._output.log
        await self._resume(self._output.resume((log.start + log.end) // 2))
