"""One connection's view of a session: its screen and output as they come, and typing into it."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

from loopsy_core.errors import LoopsyError, ProtocolViolation
from loopsy_core.wire import (
    CHUNK,
    Claim,
    Ended,
    Picture,
    Resize,
    Resized,
    Resumed,
    Typed,
    Viewers,
    decode_attached,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.links import Call

    from .viewing import Viewing

__all__ = ["Attached", "Drawn", "Shown", "open_attached"]


@attrs.frozen
class Drawn:
    """A whole screen; it replaces everything shown so far."""

    vt: bytes = attrs.field(repr=False)
    """Terminal output that reproduces the screen on a fresh terminal of this size."""
    cols: int
    rows: int
    title: str


Shown: TypeAlias = bytes | Drawn | Resized | Viewers | Ended
"""Output, a whole screen, a new size (in cells), who looks now, or the end of the program."""

FLUSHING: Final = 2.0
"""Seconds that leaving waits for the session to have what was typed."""


class Attached:
    """A live view of a session; `open_attached` makes it. One task receives, any may type."""

    def __init__(self, call: Call, viewing: Viewing) -> None:
        """Show what `call` brings to `viewing`."""
        self._call = call
        self._viewing = viewing
        # The picture under way is kept here, so that a cancelled `receive` loses none of it.
        self._drawing: Picture | None = None
        self._drawn = bytearray()
        self._owed: Resized | None = None
        viewing.connections += 1
        self._connection = viewing.connections
        self._sent = 0  # of all that `viewing` typed, what was sent before or over this call

    async def receive(self) -> Shown:
        """Wait for the next thing to show; after `Ended` nothing more comes.

        Raises `Gone` when the connection is lost: open again with the same `Viewing` and
        nothing is missing.
        """
        while True:
            heard = await self.hear()
            if heard is not None and not isinstance(heard, Typed):
                return heard

    async def hear(self) -> Shown | Typed | None:
        """Wait for the next thing that the host says, also for what is not to be shown.

        That is how much of what was typed it has; None stands for all else.
        """
        if self._drawing is not None:
            return await self._draw()
        if self._owed is not None:
            await trio.lowlevel.checkpoint()
            owed, self._owed = self._owed, None
            return owed
        piece = await self._call.receive()
        if piece is None:
            raise ProtocolViolation("the host stopped without saying why")
        if isinstance(piece, bytes):
            self._viewing.shown(piece)
            return piece
        item = decode_attached(piece.value)
        match item:
            case Picture():
                self._drawing = item
                return await self._draw()
            case Resumed():
                if not self._viewing.all_output:
                    raise ProtocolViolation("the host resumes in the middle of the stream")
                self._resume(item)
                return None
            case Resized():
                self._viewing.resized()
                self._viewing.sized(item.cols, item.rows)
            case Typed():
                self._viewing.confirmed(item)
        return item

    async def begin(self) -> Drawn | None:
        """Wait for the first item: a whole screen, or None when the output just goes on.

        If it goes on in another size than before, `receive` says so before it brings more output.
        """
        piece = await self._call.receive()
        if piece is None or isinstance(piece, bytes):
            raise ProtocolViolation("the host began with something else than its screen")
        item = decode_attached(piece.value)
        drawn: Drawn | None = None
        match item:
            case Picture():
                self._drawing = item
                drawn = await self._draw()
            case Resumed():
                self._resume(item)
            case _:
                raise ProtocolViolation("the host began with something else than its screen")
        self._sent = item.typed
        await self.send_typed()
        return drawn

    async def type(self, data: bytes) -> None:
        """Type `data`; if the connection is lost on the way, it is sent again on the next.

        Cancelled, it is typed all the same: what was not sent yet goes ahead of what comes next.
        """
        self._viewing.typed(data)
        await self.send_typed()
        await trio.lowlevel.checkpoint()  # afterwards: nobody is to wait for us meanwhile

    async def send_typed(self) -> None:
        """Send what the `Viewing` has noted as typed and was not sent yet; not a checkpoint."""
        # Whoever waits for room here sends what is next then, so tasks that type at the same time
        # never change the order in which `viewing` has it.
        while self._sent < self._viewing.typed_total:
            room = min(await self._call.wait_room(), CHUNK)
            if piece := self._viewing.typed_after(self._sent, room):
                self._call.send_nowait(piece)
                self._sent += len(piece)

    async def wish_size(self, cols: int, rows: int) -> None:
        """Tell which size, in cells, this viewer would like the terminal to have.

        It has it as soon as this viewer owns the size, as the last that typed does.
        """
        await self._call.send_item(Resize(cols, rows))

    async def claim_size(self, cols: int, rows: int) -> None:
        """Have the terminal this size, in cells, and own it until somebody else types or claims."""
        await self._call.send_item(Claim(cols, rows))

    @property
    def flushed(self) -> bool:
        """Whether there is nothing that leaving could lose."""
        return self._replaced or self._viewing.typed_total == self._viewing.confirmed_total

    async def flush(self) -> None:
        """Wait until the session has all that was typed; nothing can be typed afterwards.

        What is shown meanwhile is passed over: a later view of the same `Viewing` begins with
        a whole screen. Raises `Gone` when the connection is lost first.
        """
        await self.send_typed()
        self._call.end()
        while not self.flushed:
            piece = await self._call.receive()
            if piece is None:
                return  # the program has ended; nobody is there to read it
            if self._replaced:
                return
            self._viewing.spoiled()
            if not isinstance(piece, bytes) and isinstance(
                item := decode_attached(piece.value), Typed
            ):
                self._viewing.confirmed(item)

    @property
    def _replaced(self) -> bool:
        """Whether the same `Viewing` is shown over a later connection; that one counts."""
        return self._connection != self._viewing.connections

    def _resume(self, item: Resumed) -> None:
        """Go on where the host does; a size that changed meanwhile comes before the output."""
        self._viewing.began(item)
        if self._viewing.sized(item.cols, item.rows):
            self._owed = Resized(item.cols, item.rows)

    async def _draw(self) -> Drawn:
        item = self._drawing
        assert item is not None
        while missing := item.length - len(self._drawn):
            piece = await self._call.receive()
            if not isinstance(piece, bytes) or len(piece) > missing:
                raise ProtocolViolation("the host's picture is not as long as announced")
            self._drawn += piece
        vt, self._drawing, self._drawn = bytes(self._drawn), None, bytearray()
        # In the middle of the stream it only acknowledges: what is under way is not sent again.
        self._viewing.began(item)
        self._viewing.sized(item.cols, item.rows)
        return Drawn(vt, item.cols, item.rows, item.title)


@asynccontextmanager
async def open_attached(
    opening: AbstractAsyncContextManager[Call], viewing: Viewing
) -> AsyncGenerator[tuple[Attached, Drawn | None]]:
    """Attach to the session of `viewing` by the call that `opening` asks; leaving detaches.

    Yields the view and the first screen, None when a former view of the same `viewing` goes
    on where it was. Left without an error, it waits up to two seconds until the session has
    what was typed.
    """
    async with opening as call:
        attached = Attached(call, viewing)
        yield attached, await attached.begin()
        if not attached.flushed:
            with trio.move_on_after(FLUSHING), suppress(LoopsyError):
                await attached.flush()
