"""Looking at one session's screen, which the emulator process keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopsy_core.errors import Busy, Gone
from loopsy_core.wire import HistoryReply, Item, Resized, ScreenReply, read_reply

from .emulator import Draw, Drawn, ReadHistory, ReadScreen
from .feeder import Drawing, Failed, dim
from .output import Place

if TYPE_CHECKING:
    from loopsy_core.links import Asked, Conversation

    from .feeder import Feeder
    from .output import Output

__all__ = ["FarScreen"]


class FarScreen:
    """What a session shows. What is asked shows everything that was printed before it was asked."""

    def __init__(self, output: Output, feeder: Feeder) -> None:
        """Look at the screen that `feeder` has fed from `output`."""
        self._output = output
        self._feeder = feeder

    async def picture(self, place: Place, longest: int | None = None) -> Drawing | None:
        """Return a picture of the screen at `place` or later; None if it is over `longest` bytes.

        Raises `Busy` when there is no emulator, and `Gone` when the session was removed.
        """
        if self._feeder.whole and not self._output.log.end:  # whatever sizes there were
            return Drawing(self._output.end, self._output.size, "", b"")

        async def draw(conversation: Conversation, number: int) -> Drawing | None:
            ask = Draw(number=number, offset=place.offset, resizes=place.resizes, longest=longest)
            async with conversation.open_call(ask) as call:
                call.end()
                item = await call.receive()
                assert isinstance(item, Item)
                drawn = call.read(item, Drawn)
                parts = []
                while isinstance(piece := await call.receive(), bytes):
                    parts.append(piece)
                at = Place(drawn.offset, drawn.resizes)
                size = Resized(drawn.cols, drawn.rows)
                return Drawing(at, size, drawn.title, b"".join(parts)) if drawn.follows else None

        try:
            return await self._feeder.look(draw)
        except Failed as failed:
            return Drawing(self._output.end, self._output.size, "", dim(str(failed)))

    async def text(self) -> ScreenReply:
        """Return what the screen shows of all that was printed so far; raises like `picture`."""
        place = self._output.end

        async def read(conversation: Conversation, number: int) -> ScreenReply:
            ask = ReadScreen(number=number, offset=place.offset, resizes=place.resizes)
            return await conversation.ask(ask)

        try:
            return await self._feeder.look(read)
        except Failed as failed:
            size = self._output.size
            lines = [f"[{failed}]", *[""] * (size.rows - 1)]
            return ScreenReply(lines, size.cols, size.rows, 0, 0, "", alternate=False)

    async def history(self, asked: Asked, *, ansi: bool, lines: int | None) -> HistoryReply:
        """Send scrollback and screen over `asked`, a newline behind each line.

        Raises like `picture`.
        """
        place = self._output.end
        begun = False

        async def read(conversation: Conversation, number: int) -> HistoryReply:
            nonlocal begun
            ask = ReadHistory(
                number=number, offset=place.offset, resizes=place.resizes, ansi=ansi, lines=lines
            )
            async with conversation.open_call(ask) as call:
                call.end()
                try:
                    while isinstance(piece := await call.receive(), bytes):
                        begun = True
                        await asked.send(piece)
                    return read_reply(ask, await call.answer())
                except Gone:
                    if begun:  # it cannot be begun again
                        raise Busy("the terminal emulator was started anew; ask again") from None
                    raise

        try:
            return await self._feeder.look(read)
        except Failed as failed:
            await asked.send(f"[{failed}]\n".encode())
            return HistoryReply(1)
