"""One session: a program on a terminal, its output, its screen, and its viewers.

The program never waits for a viewer: what it prints goes into the output, and every viewer is
shown that from its own place on (PROTOCOL.md section 5). What the screen shows is known to the
emulator process, which is fed last.
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from loopsy_core.errors import Refused
from loopsy_core.wire import (
    AttachReply,
    AttachSession,
    Claim,
    Resized,
    SessionInfo,
    decode_viewer_item,
    is_answers,
)

from .answering import Answering
from .audience import Audience
from .far_screen import FarScreen
from .feeder import Drawing, Feeder
from .keyboard import Keyboard
from .output import Output, Place
from .records import Head, Record
from .running import Running
from .showing import Showing
from .viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.links import Asked

    from .emulator import Emulator
    from .program import Program

__all__ = ["Session"]


class Session:
    """A program and all that belongs to it; `run` is its life."""

    def __init__(
        self,
        program: Program,
        *,
        session_id: str,
        name: str,
        kind: str,
        auto_approve: bool = False,
        size: tuple[int, int],
        emulator: Emulator,
        on_change: Callable[[], None],
        on_output: Callable[[], None],
        on_failed: Callable[[Session], None],
        read_record: Callable[[str], Awaitable[Record | None]],
    ) -> None:
        """Prepare; `on_change` is called whenever `info` has changed.

        `on_output` is called at the first output after each `record`, and `on_failed` when the
        session must be ended, because its output has ended the emulator too often.
        """
        self.id = session_id
        self.name = name
        self._program = program
        self._kind = kind
        self._auto_approve = auto_approve
        self._ended_at: float | None = None
        self._lost: str | None = None
        self.unrecorded = True
        """Whether something has changed since it was recorded last."""
        self.writing = trio.Lock()
        """Held while its record is on the way to the disk."""
        self._on_change = on_change
        self._on_output = on_output
        self._on_failed = on_failed
        self._read_record = read_record
        self._created_at = time.time()
        self.epoch = secrets.token_hex(8)
        """In which all offsets of the output are told."""
        self.output = Output(*size)
        self.title = ""
        self.exit_code: int | None = None
        self.audience = Audience()
        self.answering = Answering(self.audience, self._reply)
        self.feeder = Feeder(
            self.output,
            emulator,
            on_reply=self.answering.answer,
            on_title=self._retitle,
            on_killed=self._redraw,
            read_kept=self._read_kept,
        )
        self.screen = FarScreen(self.output, self.feeder)
        self._running = Running(program, self._take, self.feeder.wait_near)
        self._ended = trio.Event()
        self._removed = False
        self.news = trio.lowlevel.ParkingLot()
        """Where viewers wait that have seen everything so far."""
        self._keyboard = Keyboard(self._running, self.audience, self._wake_viewers)

    @property
    def alive(self) -> bool:
        """Whether the program runs."""
        return not self._ended.is_set()

    @property
    def info(self) -> SessionInfo:
        """The session as others see it."""
        return SessionInfo(
            id=self.id,
            name=self.name,
            kind=self._kind,
            alive=self.alive,
            created_at=self._created_at,
            cols=self.output.size.cols,
            rows=self.output.size.rows,
            viewers=len(self.audience),
            title=self.title,
            exit_code=self.exit_code,
            argv=self._program.brief_argv,
            cwd=self._program.brief_cwd,
            auto_approve=self._auto_approve,
            ended_at=self._ended_at,
            lost=self._lost,
        )

    # What is kept of it.

    async def record(self) -> Record:
        """Return what is to be kept of it; raises like `FarScreen.picture`."""
        drawing = await self.screen.picture(self.output.end)
        assert drawing is not None
        return Record(self.head(drawing), drawing.picture)

    def head(self, drawing: Drawing | None = None) -> Head:
        """Return what is to be kept beside a picture: `drawing`, or else the one kept before."""
        place, size = self.feeder.kept or Place(), self.output.size
        if drawing is not None:
            place, size = drawing.place, drawing.size
        info = msgspec.structs.replace(self.info, cols=size.cols, rows=size.rows)
        return Head(info, self.epoch, place.offset, place.resizes)

    def recorded(self, record: Record) -> None:
        """Note that `record` was kept."""
        self.feeder.keep(Place(record.head.offset, record.head.resizes))

    async def _read_kept(self) -> Drawing | None:
        record = await self._read_record(self.id)
        if record is None:
            return None
        head = record.head
        place = Place(head.offset, head.resizes) if head.epoch == self.epoch else Place()
        return Drawing(
            place, Resized(head.info.cols, head.info.rows), head.info.title, record.picture
        )

    def revive(self, head: Head, lost: str) -> None:
        """Be what a former host has left behind; `lost` says why, if it had not ended."""
        info = head.info
        self._created_at = info.created_at
        self.title = info.title
        self.exit_code = info.exit_code
        self._ended_at = time.time() if info.ended_at is None else info.ended_at
        self._lost = lost if info.alive else info.lost
        self.unrecorded = info.alive
        self.feeder.revive()
        self.output.log.close()
        self._ended.set()

    # The program.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the program and see it to its end; cancelled, it hangs up on the program.

        Raises `Busy` before it has started when the machine cannot start it.
        """
        size = self.output.size
        try:
            await self._running.run(size.cols, size.rows, task_status=task_status)
        finally:
            self.exit_code = self._running.exit_code
            self._ended_at = time.time()
            self.output.log.close()
            self._ended.set()
            self._outdate_record()
            self.feeder.printed()
            self._wake_viewers()
            self._on_change()

    def _take(self, data: bytes) -> None:
        before = self.output.end
        self.output.log.append(data)
        # Those who look come first: an echo need not wait for the emulator.
        self._show_now(data, before)
        self.feeder.printed()
        self._outdate_record()

    def _show_now(self, data: bytes, before: Place) -> None:
        """Give new output to those who have all before it, and wake the others."""
        behind = [viewer for viewer in self.audience if not viewer.show_now(data, before)]
        if behind:
            self._wake_viewers()

    def _outdate_record(self) -> None:
        if not self.unrecorded:
            self.unrecorded = True
            self._on_output()

    # What the emulator says.

    def _reply(self, data: bytes) -> None:
        if self._running.pty is not None:
            # Never waits: a program that does not read its terminal gets no answers either.
            self._running.pty.write_nowait(data)

    def _retitle(self, title: str) -> None:
        if title != self.title:
            self.title = title
            self._on_change()

    def _redraw(self) -> None:
        """Have all viewers shown the screen anew: it is not what the output makes of it."""
        for viewer in self.audience:
            viewer.outdated = True
        self._wake_viewers()
        self._outdate_record()
        if self.feeder.failed is not None and self.alive:
            self._lost = self.feeder.failed
            self._on_failed(self)

    def _wake_viewers(self) -> None:
        self.news.unpark_all()

    # What others ask.

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; all viewers follow."""
        if Resized(cols, rows) == self.output.size or self._removed:
            return
        if self._running.pty is not None:
            self._running.pty.resize(cols, rows)
        self.output.resize(cols, rows)
        self.feeder.printed()
        self._wake_viewers()
        self._outdate_record()
        self._on_change()

    def rename(self, name: str) -> None:
        """Call the session `name`."""
        self.name = name
        self._outdate_record()
        self._on_change()

    async def end(self) -> None:
        """End the program, by force if need be; returns when the session has ended."""
        if self.alive:
            await self._running.end()
            await self._ended.wait()

    async def attach(self, asked: Asked, request: AttachSession) -> AttachReply:
        """Show the session over `asked` until it ends; cancelled, the viewer has left."""
        viewer = Viewer(request)
        self.answering.turn()
        self.audience.join(viewer.id, viewer)
        self.audience.typed(viewer.id, request.typed)
        self._audience_changed()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, asked, viewer)
                await Showing(self, viewer, asked).show(request)
                nursery.cancel_scope.cancel()
        finally:
            self._keyboard.leave(viewer)
            self.answering.turn()
            if self.audience.leave(viewer.id, viewer):
                self._audience_changed()
        return AttachReply(self.exit_code)

    def begin(self, viewer: Viewer, place: Place) -> int:
        """Have the output go on at `place` for a viewer; return how much of its typing has come."""
        typed = self.audience.typed(viewer.id)
        self.answering.turn()
        viewer.begin(place, typed)
        self.answering.settle()
        return typed

    def _audience_changed(self) -> None:
        """Somebody came, left, or owns the size now."""
        self._settle_size()
        self.answering.settle()
        self.audience.tell()
        self._wake_viewers()
        self._on_change()

    async def _hear(self, asked: Asked, viewer: Viewer) -> None:
        """Take what the viewer types and wishes."""
        asked.offer_first(partial(self._type_nowait, viewer))
        while (piece := await asked.receive()) is not None:
            if not isinstance(piece, bytes):
                wish = decode_viewer_item(piece.value)
                viewer.cols, viewer.rows = wish.cols, wish.rows
                if isinstance(wish, Claim):
                    self._claim(viewer)
                self._settle_size()
            elif not viewer.may_type:
                raise Refused("this viewer may look but not type")
            else:
                self._note_typing(viewer, piece)
                await self._keyboard.type(viewer, piece)
        # It leaves, and wants to know that nothing of it was lost on the way.
        viewer.note_typed(self.audience.typed(viewer.id), tell=True)
        self._wake_viewers()

    def _type_nowait(self, viewer: Viewer, data: bytes) -> bytes:
        """Type what has just come and return the rest, which `_hear` has to wait for.

        Waking `_hear` would cost a keystroke a turn of the event loop.
        """
        if not viewer.may_type:
            return data
        self._note_typing(viewer, data)
        return self._keyboard.type_nowait(viewer, data)

    def _note_typing(self, viewer: Viewer, data: bytes) -> None:
        # The owner's terminal may answer when somebody else has just become the owner by typing.
        if not self._keyboard.is_typing(viewer) and not is_answers(data):
            self._claim(viewer)
            # Who has seen everything is not behind, however much its typing may bring about.
            viewer.hurry = not viewer.all_output and viewer.place != self.output.end

    def _claim(self, viewer: Viewer) -> None:
        self.answering.turn()
        if self.audience.has(viewer.id, viewer) and self.audience.claim(viewer.id):
            self._audience_changed()

    def _settle_size(self) -> None:
        """Give the terminal the size that its owner wishes."""
        if (owner := self.audience.owner) is not None:
            self.resize(owner.cols, owner.rows)

    def close(self) -> None:
        """Let go of the screen; viewers that are still here get what the log holds, no picture."""
        self._removed = True
        self.feeder.close()
