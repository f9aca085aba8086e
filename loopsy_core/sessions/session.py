"""One session: a program on its terminal, its output as a log and a screen, and its viewers.

The program never waits for a viewer: output goes to the log, and every viewer reads the log
from its own offset (PROTOCOL.md section 5). Who falls off the log's end gets a picture.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, Refused
from loopsy_core.kit import ByteLog, Lagged
from loopsy_core.screen import Screen
from loopsy_core.wire import (
    CHUNK,
    AttachReply,
    AttachSession,
    Claim,
    Ended,
    HistoryReply,
    Picture,
    Resized,
    Resumed,
    ScreenReply,
    SessionInfo,
    decode_viewer_item,
)

from .audience import Audience
from .records import Record
from .running import Running
from .viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.links import Asked

    from .program import Program

__all__ = ["Session"]

LOG_SIZE: Final = 4 << 20
"""Bytes of output that can be resumed; a viewer further behind gets a picture."""
HURRY: Final = 65_536
"""Bytes by which a viewer that types may be behind; more, and it is shown what is there now."""
MAX_RESIZES: Final = 256
"""Size changes that a resuming viewer can be told of; with more between, it gets a picture."""


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
        on_change: Callable[[], None],
        on_output: Callable[[], None],
    ) -> None:
        """Prepare; `on_change` is called whenever `info` has changed.

        `on_output` is called at the first output after each `record`.
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
        self._size = size
        self._on_change = on_change
        self._on_output = on_output
        self._created_at = time.time()
        self._epoch = secrets.token_hex(8)
        self._log = ByteLog(LOG_SIZE)
        self._screen = Screen(*size, self._reply)
        self._title = ""
        self._running = Running(program, self._take)
        self._replies: deque[bytes] = deque()
        self._exit_code: int | None = None
        self._ended = trio.Event()
        self._removed = False
        self._input_lock = trio.Lock()
        self._audience = Audience()
        self._resizes: deque[tuple[int, Resized]] = deque([(0, Resized(*size))], MAX_RESIZES)
        self._news = trio.lowlevel.ParkingLot()

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
            cols=self._size[0],
            rows=self._size[1],
            viewers=len(self._audience),
            title=self._title,
            exit_code=self._exit_code,
            argv=self._program.brief_argv,
            cwd=self._program.brief_cwd,
            auto_approve=self._auto_approve,
            ended_at=self._ended_at,
            lost=self._lost,
        )

    def record(self) -> Record:
        """Return what is to be kept of it."""
        self.unrecorded = False
        return Record(self.info, self._screen.picture())

    def revive(self, record: Record, lost: str) -> None:
        """Be what a former host has left behind; `lost` says why, if it had not ended."""
        info = record.info
        self._screen.feed(record.picture)
        self._created_at = info.created_at
        self._title = info.title
        self._exit_code = info.exit_code
        self._ended_at = time.time() if info.ended_at is None else info.ended_at
        self._lost = lost if info.alive else info.lost
        self.unrecorded = info.alive
        self._log.close()
        self._ended.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the program and see it to its end; cancelled, it hangs up on the program.

        Raises `Busy` before it has started when the machine cannot start it.
        """
        try:
            self._exit_code = await self._running.run(*self._size, task_status=task_status)
        finally:
            self._ended_at = time.time()
            self._log.close()
            self._ended.set()
            self._news.unpark_all()
            self._on_change()

    def _take(self, data: bytes) -> None:
        self._screen.feed(data)
        offset = self._log.end
        self._log.append(data)
        self._show_now(data, offset)
        if not self.unrecorded:
            self.unrecorded = True
            self._on_output()
        if self._replies:
            self._answer_queries()
        if b"\x1b]" in data or b"\x07" in data:
            title = self._screen.title
            if title != self._title:
                self._title = title
                self._on_change()

    def _show_now(self, data: bytes, offset: int) -> None:
        """Give new output to those who have all before it, and wake the others."""
        behind = [viewer for viewer in self._audience if not viewer.show_now(data, offset)]
        if behind:
            self._news.unpark_all()

    # Queries of the program are answered once: by ours, unless a viewer's terminal cannot be kept
    # from answering.

    def _reply(self, data: bytes) -> None:
        self._replies.append(data)

    def _answer_queries(self) -> None:
        replies = b"".join(self._replies)
        self._replies.clear()
        if self._running.pty is not None and not any(v.answers for v in self._audience):
            # Never waits: a program that does not read its terminal gets no answers either.
            self._running.pty.write_nowait(replies)

    # What others ask.

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; all viewers follow."""
        if (cols, rows) == self._size or self._removed:
            return
        self._size = (cols, rows)
        if self._running.pty is not None:
            self._running.pty.resize(cols, rows)
        self._screen.resize(cols, rows)
        mark = (self._log.end, Resized(cols, rows))
        self._resizes.append(mark)
        for viewer in self._audience:
            viewer.mark(*mark)
        self._news.unpark_all()
        self._on_change()

    def rename(self, name: str) -> None:
        """Call the session `name`."""
        self.name = name
        self._on_change()

    async def end(self) -> None:
        """End the program, by force if need be; returns when the session has ended."""
        if self.alive:
            await self._running.end()
            await self._ended.wait()

    def screen(self) -> ScreenReply:
        """Return what the session shows, as text."""
        self._must_be_there()
        screen = self._screen
        cols, rows = self._size
        x, y = screen.cursor
        return ScreenReply(screen.lines, cols, rows, x, y, self._title, screen.alternate)

    async def show_history(self, asked: Asked, *, ansi: bool, lines: int | None) -> HistoryReply:
        """Send the scrollback and the screen over `asked`, a newline behind each line."""
        self._must_be_there()
        found = self._screen.history(ansi=ansi, lines=lines)
        await asked.send(b"".join(line + b"\n" for line in found))
        return HistoryReply(len(found))

    async def attach(self, asked: Asked, request: AttachSession) -> AttachReply:
        """Show the session over `asked` until it ends; cancelled, the viewer has left."""
        viewer = Viewer(request)
        self._audience.join(viewer.id, viewer)
        self._audience.typed(viewer.id, request.typed)
        self._audience_changed()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, asked, viewer)
                await self._begin(asked, viewer, self._resume_at(request))
                await self._show(asked, viewer)
                nursery.cancel_scope.cancel()
        finally:
            if self._audience.leave(viewer.id, viewer):
                self._audience_changed()
        return AttachReply(self._exit_code)

    def _audience_changed(self) -> None:
        """Somebody came, left, or owns the size now."""
        self._settle_size()
        self._audience.tell()
        self._news.unpark_all()
        self._on_change()

    async def _show(self, asked: Asked, viewer: Viewer) -> None:
        while True:
            if not self._audience.has(viewer.id, viewer):
                raise Gone("the viewer has reconnected")
            try:
                if await self._show_next(asked, viewer):
                    return
            except Lagged:
                # Who reads goes on in the middle: at the beginning it would lag again at once.
                middle = (self._log.start + self._log.end) // 2
                await self._begin(asked, viewer, middle if viewer.all_output else None)

    async def _show_next(self, asked: Asked, viewer: Viewer) -> bool:
        """Send the viewer one thing, or wait for one; return whether that was the end."""
        room = asked.room - viewer.pacing.held_back
        if room < 1:
            room = await asked.wait_room(viewer.pacing.held_back)
            viewer.pacing.waited(asked.consumed, trio.current_time())
        if viewer.hurry:
            viewer.hurry = False
            if (behind := self._log.end - viewer.offset) > HURRY:
                await self._send_picture(asked, viewer, longest=behind)
                return False
        if (item := viewer.next_item()) is not None:
            await asked.send_item(item)
            return False
        most = min(room, CHUNK)
        if viewer.barrier is not None:
            most = min(most, viewer.barrier - viewer.offset)
        if data := self._log.peek(viewer.offset, most):
            asked.send_nowait(data)
            viewer.offset += len(data)
            # Not every piece waits for room, and nobody else may starve meanwhile.
            await trio.lowlevel.checkpoint()
        elif self._log.closed:
            await asked.send_item(Ended(self._exit_code))
            return True
        else:
            viewer.waiting = asked
            viewer.pacing.idle()
            try:
                await self._news.park()
            finally:
                viewer.waiting = None
        return False

    def _resume_at(self, request: AttachSession) -> int | None:
        """Return where the output goes on for whoever asks, None if it takes a picture."""
        offset = request.offset if request.epoch == self._epoch else None
        if request.all_output and request.epoch is None and (self._log.end or self.alive):
            offset = 0
        if offset is None or offset > self._log.end:
            return None
        if request.all_output:
            return max(offset, self._log.start)
        return offset if offset >= max(self._log.start, self._resizes[0][0]) else None

    async def _begin(self, asked: Asked, viewer: Viewer, offset: int | None) -> None:
        """Let the output go on at `offset`, or else behind a picture of the screen."""
        if offset is None:
            await self._send_picture(asked, viewer)
            return
        typed = self._audience.typed(viewer.id)
        size = viewer.resume(offset, typed, self._resizes)
        await asked.send_item(
            Resumed(self._epoch, offset, typed, size.cols, size.rows, self._title)
        )

    async def _send_picture(
        self, asked: Asked, viewer: Viewer, *, longest: int | None = None
    ) -> None:
        """Show the screen as it is now, unless that takes more than `longest` bytes."""
        self._must_be_there()
        picture = self._screen.picture()
        if longest is not None and len(picture) > longest:
            return
        offset = self._log.end
        typed = self._audience.typed(viewer.id)
        viewer.begin(offset, typed, [])
        await asked.send_item(
            Picture(self._epoch, offset, typed, *self._size, self._title, len(picture))
        )
        await asked.send(picture)

    async def _hear(self, asked: Asked, viewer: Viewer) -> None:
        """Take what the viewer types and wishes."""
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
                await self._type(viewer, piece)
        # It leaves, and wants to know that nothing of it was lost on the way.
        viewer.note_typed(self._audience.typed(viewer.id), tell=True)
        self._news.unpark_all()

    def _claim(self, viewer: Viewer) -> None:
        if self._audience.has(viewer.id, viewer) and self._audience.claim(viewer.id):
            self._audience_changed()

    async def _type(self, viewer: Viewer, data: bytes) -> None:
        self._claim(viewer)
        viewer.hurry = not viewer.all_output
        view = memoryview(data)
        async with self._input_lock:  # what one viewer types at once stays together
            while view:
                if not self._audience.has(viewer.id, viewer):
                    raise Gone("the viewer has reconnected")
                pty = self._running.pty
                written = len(view) if pty is None else pty.write_some_nowait(view)
                if pty is not None and not written:
                    with contextlib.suppress(trio.ClosedResourceError):  # the program has ended
                        await pty.wait_writable()
                    continue
                view = view[written:]
                # Looked at, written and counted with no await between: exactly once, also when
                # the viewer has come back meanwhile and was told the count.
                if viewer.note_typed(self._audience.count(viewer.id, written)):
                    self._news.unpark_all()

    def _settle_size(self) -> None:
        """Give the terminal the size that its owner wishes."""
        if (owner := self._audience.owner) is not None:
            self.resize(owner.cols, owner.rows)

    def _must_be_there(self) -> None:
        if self._removed:
            raise Gone("the session was removed")

    def close(self) -> None:
        """Free the emulator; viewers that are still here get what the log holds, and no picture."""
        self._removed = True
        self._screen.close()
