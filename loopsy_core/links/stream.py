"""Our end of one call: its bytes and values both ways, and passing it on elsewhere.

Made by `conversation.py`, whose reader hands each message of the call to it and whose writer
sends what it queues.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import trio

from loopsy_core.errors import BadRequest, Gone, LoopsyError
from loopsy_core.kit import WindowSize
from loopsy_core.wire import (
    CHUNK,
    WINDOW,
    Answer,
    Ask,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    Message,
    Raw,
    cost,
    decode,
    encode,
    read_fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conversation import Conversation

from .splice import splice

__all__ = ["PASSED_ON", "Asked", "Call", "Listener", "Stream"]

T = TypeVar("T")


class Listener(Protocol):
    """What stands at our end of one call."""

    def heard(self, message: Message) -> None:
        """Take a message of this call."""

    def lost(self, error: LoopsyError) -> None:
        """Take the end of the connection."""


class Stream:
    """The bytes and values that one call carries, both ways."""

    def __init__(self, conversation: Conversation, call_id: int) -> None:
        """Stand at our end of call `call_id`; conversations make these."""
        self.id = call_id
        self._conversation = conversation
        self._inbox: deque[bytes | Item] = deque()
        self._inbox_lot = trio.lowlevel.ParkingLot()
        self._room_lot = trio.lowlevel.ParkingLot()
        self._heard_all = False
        self._said_all = False
        self._error: LoopsyError | None = None
        self._offer: Callable[[bytes], bytes] | None = None
        widest = conversation.calls.widest(call_id)
        self._window = WindowSize(WINDOW, widest) if widest > WINDOW else None

    @property
    def room(self) -> int:
        """How many bytes `send_nowait` takes now; below 1 there is none."""
        return self._conversation.calls.allowance(self.id)

    @property
    def consumed(self) -> int:
        """What the other side has told to be done with, of all that we sent, in bytes of credit."""
        return self._conversation.calls.consumed_by_them(self.id)

    async def wait_room(self, beyond: int = 0) -> int:
        """Wait until there is more room than `beyond`, and return how many bytes more.

        Raises `Gone` when the call is over. Not a checkpoint while there is room.
        """
        while True:
            if self._said_all:
                raise self._ending()
            if (room := self.room - beyond) > 0:
                return room
            await self._room_lot.park()

    def send_nowait(self, data: bytes | memoryview) -> None:
        """Send bytes for which there is room."""
        self._conversation.calls.send_data(self.id, data)
        self._conversation.wake_writer()

    async def send(self, data: bytes | memoryview) -> None:
        """Send bytes in order, waiting for room as often as needed; a checkpoint.

        Cancelled, it has sent some beginning of `data`.
        """
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            await self.wait_room()
            size = self._conversation.calls.piece(self.id)
            self.send_nowait(view[:size])
            view = view[size:]

    async def send_last(self, data: bytes) -> None:
        """Send the last bytes of this stream; their end leaves with the answer, or with `end`.

        One of the two must follow at once. It spares a write, and the other side waking up for it.
        Not a checkpoint while there is room.
        """
        done = 0
        while len(data) - done > (room := min(await self.wait_room(), CHUNK)):
            self.send_nowait(data[done : done + room])
            done += room
        if done < len(data):
            self._conversation.calls.send_data(self.id, data[done:])

    async def send_item(self, value: object) -> None:
        """Send a value (a struct), waiting for room; cancelled, it has sent all or nothing.

        Raises `LoopsyError` for one that is larger than the room can ever be.
        """
        await trio.lowlevel.checkpoint()
        encoded = encode(value)
        if cost(encoded) > WINDOW:
            raise LoopsyError(f"a value of {len(encoded)} bytes is too large for a call's stream")
        while await self.wait_room() < len(encoded):
            await self._room_lot.park()
        self._conversation.calls.send_item(self.id, encoded)
        self._conversation.wake_writer()

    async def receive(self) -> bytes | Item | None:
        """Return the next bytes or value from the other side, None once no more will come.

        Raises the call's error when it failed. A checkpoint.
        """
        if self._inbox or self._heard_all:
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self._heard_all:
                if self._error is not None:
                    raise self._ending()
                return None
            await self._inbox_lot.park()
        return self._take()  # with no await since the check: others may be receiving too

    async def receive_all(self, most: int, what: str) -> bytes:
        """Return all bytes from here to the end of the other side's stream.

        Raises `BadRequest`, which calls them `what`, for more than `most` of them or an Item among
        them, and the call's error when it failed. Not a checkpoint when all of it is there.
        """
        data = bytearray()
        while not self._heard_all or self._inbox:
            if not self._inbox:
                await self._inbox_lot.park()
                continue
            piece = self._take()
            if not isinstance(piece, bytes):
                raise BadRequest(f"{what} comes as Data")
            data += piece
            if len(data) > most:
                raise BadRequest(f"{what} has at most {most} bytes")
        if self._error is not None:
            raise self._ending()
        return bytes(data)

    def receive_nowait(self) -> bytes | Item:
        """Return the next bytes or value, or raise `trio.WouldBlock`."""
        if not self._inbox:
            raise trio.WouldBlock
        return self._take()

    def offer_first(self, take: Callable[[bytes], bytes]) -> None:
        """Have bytes that come while somebody waits in `receive` offered to `take` first.

        What it returns, the rest, is received. It may neither wait nor raise.
        """
        self._offer = take

    def read(self, item: Item, kind: type[T]) -> T:
        """Return the `kind` that `item` holds, or raise `BadRequest`."""
        return decode(item.value, kind)

    def _take(self) -> bytes | Item:
        piece = self._inbox.popleft()
        spent = cost(piece.value if isinstance(piece, Item) else piece)
        window = self._window.came(spent, trio.current_time()) if self._window else WINDOW
        if self._conversation.calls.consumed(self.id, spent, window):
            self._conversation.wake_writer()
        return piece

    def _hear_piece(self, message: Message) -> bool:
        match message:
            case Data():
                data = message.data
                # Who waits in `receive` is done with everything that came before.
                if self._offer is not None and self._inbox_lot and not self._inbox:
                    data = self._offered(data, self._offer)
                    if not data:
                        return True
                self._inbox.append(data)
                self._inbox_lot.unpark()
            case Item():
                self._inbox.append(message)
                self._inbox_lot.unpark()
            case Credit():
                self._room_lot.unpark_all()
            case _:
                return False
        return True

    def _offered(self, data: bytes, take: Callable[[bytes], bytes]) -> bytes:
        rest = take(data)
        # The rest bears the cost of being a piece.
        if spent := len(data) - len(rest) if rest else cost(data):
            self._conversation.calls.consumed(self.id, spent)
        return rest

    def _ending(self) -> LoopsyError:
        # Without the traceback, which would grow each time that the same error is raised.
        return (self._error or Gone("the call is over")).with_traceback(None)

    def _hear_end(self) -> None:
        self._heard_all = True
        self._inbox_lot.unpark_all()

    def _finish(self, error: LoopsyError | None) -> None:
        self._said_all = True
        self._error = error
        self._room_lot.unpark_all()
        self._hear_end()


class Call(Stream):
    """A call that we asked."""

    def __init__(self, conversation: Conversation, call_id: int) -> None:
        """Await the answer to call `call_id`."""
        super().__init__(conversation, call_id)
        self._answer: Raw | None = None

    def end(self) -> None:
        """Say that we send no more."""
        self._conversation.calls.end(self.id)
        self._conversation.wake_writer()

    async def answer(self) -> Raw:
        """Wait for the answer, passing over whatever is still in the stream.

        Raises what the other side answered instead. Not a checkpoint when it has come.
        """
        while not self._heard_all or self._inbox:
            await self.receive()
        if self._answer is None:
            raise self._ending()
        return self._answer

    def heard(self, message: Message) -> None:
        """Take a message of this call."""
        match message:
            case Answer():
                self._answer = message.result
                self._finish(None)
            case Fault():
                self._finish(read_fault(message))
            case _:
                self._hear_piece(message)

    def lost(self, error: LoopsyError) -> None:
        """Take the end of the connection."""
        if not self._said_all:
            self._finish(error)


class Asked(Stream):
    """A call that the other side asked of us; the answerer acts on it."""

    def __init__(self, conversation: Conversation, ask: Ask) -> None:
        """Stand for `ask`."""
        super().__init__(conversation, ask.id)
        self.op = ask.op
        self.params = ask.params
        self.to = ask.to
        self.scope = trio.CancelScope()
        self.dropped = False
        """Whether the asker took the call back; else, when it is over, a connection was lost."""

    def heard(self, message: Message) -> None:
        """Take a message of this call."""
        match message:
            case End():
                self._hear_end()
            case Drop():
                self.dropped = not message.lost
                self._finish(Gone("the asker left"))
                self.scope.cancel()
            case _:
                self._hear_piece(message)

    def lost(self, error: LoopsyError) -> None:
        """Take the end of the connection: nobody wants the answer."""
        self._finish(error)
        self.scope.cancel()

    async def wait_left(self) -> None:
        """Wait until whoever asked has closed the connection."""
        await self._conversation.wait_closed()

    def pass_on(
        self,
        to: Conversation,
        op: str,
        params: bytes,
        onward: str | None = None,
        *,
        on_end: Callable[[str], None] | None = None,
    ) -> None:
        """Splice this call onto another conversation; from here on nothing of it is held here.

        Credit passes through as well, so the two far ends pace each other. The answerer must
        return `PASSED_ON` right after, and must not have received or sent anything before.
        `on_end` is called once, with "ok", the code of the error, or "left" when the asker is gone.
        """
        if self._said_all:  # the asker left in the very moment in which the answerer got here
            raise self._ending()
        call_id = to.calls.ask(op, params, onward)
        near = splice(self._conversation, self.id, to, call_id, on_end)
        # What came before the splice has not been consumed, so it fits the first window.
        for piece in self._inbox:
            near.heard(piece if isinstance(piece, Item) else Data(self.id, piece))
        if self._heard_all and self._error is None:
            near.heard(End(self.id))
        self._inbox.clear()
        to.wake_writer()


PASSED_ON: Final = Raw(b"")
"""What an answerer returns when another conversation answers in its place."""
