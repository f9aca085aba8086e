"""Feeding one session's output to the emulator process, which keeps its screen.

A process that has ended is followed by another, which is fed from the last picture that is known,
or from as much as the log holds. Where it was this session's output that ended it, the screen
begins anew behind that.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import trio

from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.kit import Lagged, one_error
from loopsy_core.wire import CHUNK, Item, Resized

from .emulator import Feed, Sized, Told
from .output import Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.links import Call, Conversation

    from .emulator import Emulator
    from .output import Output

__all__ = ["Drawing", "Failed", "Feeder", "dim"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

BEHIND: Final = 65_536
"""Bytes of output that are not even under way to the emulator yet, when the program has to wait.
So the log, which holds much more, never overtakes it, and a picture of the end is soon there."""
WORTH_A_PICTURE: Final = 65_536
"""Bytes of output that are fed once more rather than reading the picture after them."""
MOST_KILLS: Final = 3
KILLS_WITHIN: Final = 60.0
"""So often within so many seconds output may end the emulator; then the session is ended."""
_BEGUN_ANEW: Final = "the terminal emulator failed on this program's output, and begins anew here"
FAILED: Final = "the terminal emulator failed on its output"
# What is fed after a gap: it ends a sequence that was cut, and whatever style there was.
_AFTER_GAP: Final = b"\x18\x1b[0m"


@attrs.frozen
class Drawing:
    """A picture of the screen, and where in the output it was drawn."""

    place: Place
    size: Resized
    title: str
    picture: bytes = attrs.field(repr=False)


class Feeder:
    """Feeds the emulator process as if it were a viewer; `run` does that."""

    def __init__(
        self,
        output: Output,
        emulator: Emulator,
        *,
        on_reply: Callable[[int, bytes], None],
        on_title: Callable[[str], None],
        on_killed: Callable[[], None],
        read_kept: Callable[[], Awaitable[Drawing | None]],
    ) -> None:
        """Show `output`; nothing is fed before `run`.

        `on_reply` gets what the terminal answers to queries, each answer once, and the offset
        before which they stand. `on_killed` is called when the screen begins anew, or is `failed`.
        `read_kept` reads the picture of `kept`.
        """
        self._output = output
        self._emulator = emulator
        self._on_reply = on_reply
        self._on_title = on_title
        self._on_killed = on_killed
        self._read_kept = read_kept
        self.kept: Place | None = None
        """The place of the last picture that was kept."""
        self.failed: str | None = None
        """Why there is no screen any more, once its output has ended the emulator too often."""
        self._base: Drawing | None = Drawing(Place(), output.size, "", b"")
        self._place = Place()  # up to which the process was sent everything
        self._answered = 0
        self._kills: deque[float] = deque(maxlen=MOST_KILLS)
        self._feeding: tuple[Conversation, int] | None = None
        self._users = 0
        self._closed = False
        self._news = trio.lowlevel.ParkingLot()
        self._moved = trio.lowlevel.ParkingLot()
        emulator.join(self)

    # Feeding.

    async def run(self) -> None:
        """Keep the screen, in one process after the other, while it is wanted; for ever."""
        while True:
            while not self._wanted:
                await self._news.park()
            conversation = await self._emulator.reach()
            try:
                with one_error():
                    await self._feed(conversation)
            except Gone:
                pass  # the process has ended; if it was our output, we were told
            except LoopsyError as error:
                _log.warning("a screen could not be kept: %s", error)
                self.killed(self._place.offset, self._place.resizes)

    def revive(self) -> None:
        """Begin with the picture that a former host has kept."""
        self._base, self.kept = None, Place()

    def keep(self, place: Place) -> None:
        """Note that the picture drawn at `place` was kept."""
        base = self._base
        # One that was drawn before the screen had to begin anew is of no use any more.
        if base is None or place > base.place or not base.picture:
            self.kept = place
            self._news.unpark_all()

    def printed(self) -> None:
        """Note that there is more output, or its end."""
        self._news.unpark_all()

    async def wait_near(self) -> None:
        """Wait while the emulator is too far behind; a checkpoint.

        Not while there is no emulator to wait for.
        """
        await trio.lowlevel.checkpoint()
        while (
            self._output.log.end - self._place.offset > BEHIND
            and self._emulator.down is None
            and self.failed is None
        ):
            await self._moved.park()

    @property
    def _wanted(self) -> bool:
        """Whether the process must keep this screen."""
        if self.failed is not None:
            return False
        return bool(self._users or not self._output.log.closed or self.kept != self._output.end)

    async def _feed(self, conversation: Conversation) -> None:
        """Feed one process until the screen is no longer wanted; raises `Gone` with its end."""
        base = await self._find_base()
        self._place = base.place.copy()
        picture, size = base.picture, base.size
        if not self._output.has(base.place):
            self._place = self._output.resume(base.place.offset)
            picture += _AFTER_GAP
            size = self._output.size_at(self._place)
        resized = size != base.size  # in the gap
        number = self._emulator.number(self)
        feed = Feed(
            number=number,
            cols=base.size.cols,
            rows=base.size.rows,
            offset=self._place.offset,
            resizes=self._place.resizes - resized,
            picture=len(picture),
            answered=self._answered,
        )
        try:
            async with conversation.open_call(feed) as call, trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, call)
                self._feeding = (conversation, number)
                self._moved.unpark_all()
                with suppress(Gone):  # `_hear` says so, once it has heard all
                    await call.send(picture)
                    if resized:
                        await self._resize(call, size)
                    await self._send(call)
                    self._feeding = None  # before anybody else asks there for what is about to go
                    nursery.cancel_scope.cancel()
        finally:
            self._feeding = None
            self._emulator.forget(number)

    async def _find_base(self) -> Drawing:
        """Return the picture from which to go on: the last one, if the log does not do."""
        base, kept = self._base, self.kept
        if kept is not None and (
            base is None
            or kept.offset - base.place.offset >= WORTH_A_PICTURE
            or not self._output.has(base.place)
        ):
            found = await self._read_kept()
            if found is not None and self.kept is not None:  # else it killed the emulator meanwhile
                return found
        return self._base or Drawing(Place(), self._output.size_at(Place()), "", b"")

    async def _send(self, call: Call) -> None:
        while self._wanted:
            room = await call.wait_room()
            try:
                piece = self._output.take(self._place, min(room, CHUNK))
            except Lagged:
                return  # there was no emulator for too long: begin with what there is
            if piece is None:
                await self._news.park()
                continue
            self._emulator.has_work()
            if isinstance(piece, bytes):
                call.send_nowait(piece)
            else:
                await self._resize(call, piece)
            self._moved.unpark_all()
            await trio.lowlevel.checkpoint()

    async def _resize(self, call: Call, size: Resized) -> None:
        await call.send_item(Sized(size.cols, size.rows, self._place.resizes))

    async def _hear(self, call: Call) -> None:
        while (piece := await call.receive()) is not None:
            assert isinstance(piece, Item)
            told = call.read(piece, Told)
            self._answered = max(self._answered, told.offset)
            if told.replies:
                self._on_reply(told.offset, told.replies)
            if told.title is not None:
                self._on_title(told.title)

    # What happens to the process.

    def changed(self) -> None:
        """Take note that there is a process again, or for now none."""
        self._moved.unpark_all()

    def killed(self, offset: int, resizes: int) -> None:
        """Take note that what stands before this place has ended the process."""
        end = self._output.end
        place = Place(min(offset, end.offset), min(resizes, end.resizes))
        now = trio.current_time()
        self._kills.append(now)
        often = len(self._kills) == MOST_KILLS and now - self._kills[0] <= KILLS_WITHIN
        if often:
            self.failed = FAILED
        self.kept = None
        self._answered = max(self._answered, place.offset)
        line = dim(self.failed or _BEGUN_ANEW)
        self._base = Drawing(place, self._output.size_at(place), "", line)
        self._news.unpark_all()
        self._moved.unpark_all()
        self._on_killed()

    # Being looked at.

    @property
    def fed(self) -> bool:
        """Whether the process keeps the screen just now."""
        return self._feeding is not None

    @property
    def whole(self) -> bool:
        """Whether all that the screen shows stands in the output, from its beginning on."""
        return self._base is not None and not self._base.picture and self._output.has(Place())

    @property
    def no_emulator(self) -> bool:
        """Whether none answers: the host has just begun, or none can be started."""
        return not self._emulator.begun or self._emulator.down is not None

    async def look(self, look: Callable[[Conversation, int], Awaitable[T]]) -> T:
        """Look by means of the process that keeps the screen, and again if it ends meanwhile.

        Raises `Busy` when there is no emulator, `Failed` when there will be no screen any more, and
        `Gone` when the session was removed.
        """
        self._users += 1
        self._news.unpark_all()
        try:
            while True:
                conversation, number = await self._reach()
                self._emulator.has_work()
                try:
                    return await look(conversation, number)
                except Gone:
                    if not conversation.closed:
                        raise
        finally:
            self._users -= 1
            self._news.unpark_all()

    async def _reach(self) -> tuple[Conversation, int]:
        while self._feeding is None or self._feeding[0].closed:
            if self.failed is not None:
                raise Failed(self.failed)
            if self._closed:
                raise Gone("the session was removed")
            self._emulator.check()
            await self._moved.park()
        return self._feeding

    def close(self) -> None:
        """Look no more; whoever waits for a picture gets none."""
        self._closed = True
        self._emulator.leave(self)
        self._moved.unpark_all()


class Failed(Exception):
    """There will be no screen any more; its text says why."""


def dim(line: str) -> bytes:
    """Return terminal output that shows a line of ours."""
    return f"\x1b[2m[{line}]\x1b[0m\r\n".encode()
