"""A session's output and what is typed into it, over as many connections as it takes.

One task (`Lasting.run`) attaches and listens, and does so again when the connection is lost; a
second one tells the session what is due. Everybody else only notes and takes, and waits for
news.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Busy, Gone, LoopsyError
from loopsy_core.kit import Backoff, one_error
from loopsy_core.wire import Ended, Resized

from .attached import Drawn
from .unread import Unread

if TYPE_CHECKING:
    from .attached import Attached
    from .client import Client
    from .viewing import Viewing

__all__ = ["Lasting"]

MAX_UNREAD: Final = 16 << 20
"""Bytes of output that wait for somebody to read them; then the oldest go, with notice."""
PIECE: Final = 16_384
"""Typed bytes that stay together, whoever else types."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to connect."""


class Lasting:
    """What the tasks share; it lives as long as `run` does."""

    def __init__(
        self, client: Client, viewing: Viewing, size: tuple[int, int], patience: float
    ) -> None:
        """Show `viewing` over `client`; the terminal's `size` is in cells, `patience` in seconds.

        That is how long no connection may be had.
        """
        self._client = client
        self._viewing = viewing
        self._patience = patience
        self._size = size
        self.unread = Unread(MAX_UNREAD)
        """Output that came and was not read yet."""
        self.ended: Ended | None = None
        """How the program ended, once all its output has come."""
        self._error: LoopsyError | None = None
        self._missed = 0
        self._news = trio.lowlevel.ParkingLot()
        self._typing = trio.Lock()
        self._due = trio.Event()
        self._size_due = False
        self._claimed: tuple[int, int] | None = None
        self._trying = trio.CancelScope()
        self._showing: trio.CancelScope | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Stay attached until the program has ended or `leave` is called.

        Started once it is attached. What attaching raises before that, it raises; what ends it
        later is kept for those who wait.
        """
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        attached_once, lost_at = False, 0.0
        with self._trying:
            while True:
                try:
                    with one_error():
                        async with self._client.attach(
                            self._viewing, cols=self._size[0], rows=self._size[1]
                        ) as (attached, drawn):
                            if not attached_once:
                                task_status.started()
                            attached_once, lost_at = True, 0.0
                            pauses.reset()
                            await self._show(attached, drawn)
                    break
                except LoopsyError as error:
                    if not attached_once:
                        raise
                    lost_at = lost_at or trio.current_time()
                    away = trio.current_time() - lost_at
                    if away >= self._patience or not isinstance(error, Gone | Busy):
                        self._error = error
                        break
                await trio.sleep(pauses.next())
        if self.ended is None and self._error is None:
            self._error = Gone("the block in which this session was shown has been left")
        self._news.unpark_all()

    async def leave(self) -> None:
        """Detach; the session has what was typed, as far as its program takes it.

        Raises what ended the view if something that was typed may not have arrived.
        """
        while self._showing is None and self._viewing.typed_total > self._viewing.confirmed_total:
            if self.ended is not None:
                return
            await self.wait()
        (self._showing or self._trying).cancel()

    # What the session shows.

    async def _show(self, attached: Attached, drawn: Drawn | None) -> None:
        """Take what comes until the program has ended, or somebody has this end."""
        if drawn is not None:  # the host has none of the output any more
            self.unread.miss(None)
        self._note_missed()
        try:
            with trio.CancelScope() as self._showing:
                self._news.unpark_all()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tell, attached)
                    await self._hear(attached)
                    nursery.cancel_scope.cancel()
        finally:
            self._showing = None

    async def _hear(self, attached: Attached) -> None:
        while self.ended is None:
            heard = await attached.hear()
            self._note_missed()
            match heard:
                case bytes():
                    self.unread.add(heard)
                case Drawn():
                    self.unread.miss(None)
                case Resized():
                    self._resized((heard.cols, heard.rows))
                case Ended():
                    self.ended = heard
            self._news.unpark_all()

    def _note_missed(self) -> None:
        if more := self._viewing.missed - self._missed:
            self._missed += more
            self.unread.miss(more)

    def _resized(self, size: tuple[int, int]) -> None:
        """Wish what there is: when we type, the size becomes ours to choose, and is to stay."""
        if self._claimed != size:
            self._claimed = None
        self._size = size
        self._size_due = True
        self._due.set()

    async def wait(self) -> None:
        """Wait until there is something new; raises what has ended the view for good."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        await self._news.park()
        if self._error is not None:
            raise self._error.with_traceback(None)

    # What the session is told.

    async def type(self, data: bytes) -> None:
        """Note `data` as typed, and wait only while too much is under way.

        It is sent as soon as there is a connection. Cancelled, some beginning of it is typed,
        in pieces of 16 KiB. Raises `Gone` when the program has ended.
        """
        await trio.lowlevel.checkpoint()
        async with self._typing:
            for at in range(0, len(data), PIECE):
                piece = data[at : at + PIECE]
                while self._may_type() < len(piece):
                    await self.wait()
                self._viewing.typed(piece)
                self._due.set()

    def _may_type(self) -> int:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self.ended is not None:
            raise Gone("the program has ended; nobody is there to read what is typed")
        return self._viewing.room

    def claim_size(self, cols: int, rows: int) -> None:
        """Have the terminal this size, in cells, until somebody else chooses."""
        self._size = self._claimed = (cols, rows)
        self._size_due = True
        self._due.set()

    async def _tell(self, attached: Attached) -> None:
        """Tell what is due, over one connection."""
        self._size_due = self._claimed is not None  # attaching told the size itself
        try:
            while True:
                self._due = trio.Event()
                if self._size_due:
                    self._size_due = False
                    if self._claimed is not None:
                        await attached.claim_size(*self._claimed)
                    else:
                        await attached.wish_size(*self._size)
                await attached.send_typed()
                await self._due.wait()
        except Gone:
            return  # whoever listens is told why
