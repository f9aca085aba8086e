"""Calls over one channel: asking, answering, and passing a call on to another conversation.

`wire.calls` holds the rules; here is the waiting. One task reads the channel and one writes
it; everybody else talks to the machine between them, so a cancelled asker never leaves half
a message behind, and its cancellation crosses the wire as a Drop.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias, TypeVar

import trio

from loopsy_core.errors import (
    BadRequest,
    Gone,
    LoopsyError,
    ProtocolViolation,
    error_from_code,
)
from loopsy_core.kit import one_error
from loopsy_core.wire import (
    CHUNK,
    Answer,
    Ask,
    Calls,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    Message,
    Operation,
    Pong,
    Raw,
    cost,
    decode,
    encode,
    read_reply,
)

from .channel import Channel

__all__ = ["Answerer", "Asked", "Call", "Conversation", "Stream", "open_conversation"]

T = TypeVar("T")
R = TypeVar("R")

QUIET: Final = 15.0
"""Seconds of silence after which we ask for a sign of life."""
LOST: Final = 30.0
"""Seconds of silence after which the other side is held to be gone."""
GOODBYE: Final = 2.0
"""Seconds that the last words of a conversation may take."""

_log = logging.getLogger(__name__)


class _Listener(Protocol):
    """What stands at our end of one call."""

    def heard(self, message: Message) -> None: ...

    def lost(self, error: LoopsyError) -> None: ...


class Stream:
    """The bytes and values that one call carries, both ways."""

    def __init__(self, conversation: Conversation, call_id: int) -> None:
        """Stand at our end of call `call_id`; conversations make these."""
        self._conversation = conversation
        self._id = call_id
        self._inbox: deque[bytes | Item] = deque()
        self._inbox_lot = trio.lowlevel.ParkingLot()
        self._room_lot = trio.lowlevel.ParkingLot()
        self._heard_all = False
        self._said_all = False
        self._error: LoopsyError | None = None

    @property
    def room(self) -> int:
        """How many bytes `send_nowait` takes now; below 1 there is none."""
        return self._conversation.calls.allowance(self._id)

    async def wait_room(self) -> int:
        """Wait until the other side can take more, and return how many bytes.

        Raises `Gone` when the call is over. Not a checkpoint while there is room.
        """
        while True:
            if self._said_all:
                raise self._error or Gone("the call is over")
            if (room := self.room) > 0:
                return room
            await self._room_lot.park()

    def send_nowait(self, data: bytes) -> None:
        """Send bytes for which there is room."""
        self._conversation.calls.send_data(self._id, data)
        self._conversation.wake_writer()

    async def send(self, data: bytes) -> None:
        """Send bytes in order, waiting for room as often as needed; a checkpoint.

        Cancelled, it has sent some beginning of `data`.
        """
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            room = min(await self.wait_room(), CHUNK)
            self.send_nowait(bytes(view[:room]))
            view = view[room:]

    async def send_item(self, value: object) -> None:
        """Send a value (a struct), waiting for room; cancelled, it has sent all or nothing."""
        await trio.lowlevel.checkpoint()
        encoded = encode(value)
        while await self.wait_room() < len(encoded):
            await self._room_lot.park()
        self._conversation.calls.send_item(self._id, encoded)
        self._conversation.wake_writer()

    async def receive(self) -> bytes | Item | None:
        """Return the next bytes or value from the other side, None once no more will come.

        Raises the call's error when it failed. A checkpoint.
        """
        while not self._inbox:
            if self._heard_all:
                if self._error is not None:
                    raise self._error
                await trio.lowlevel.checkpoint()
                return None
            await self._inbox_lot.park()
        else:
            await trio.lowlevel.checkpoint()
        return self._take()

    def receive_nowait(self) -> bytes | Item:
        """Return the next bytes or value, or raise `trio.WouldBlock`."""
        if not self._inbox:
            raise trio.WouldBlock
        return self._take()

    def read(self, item: Item, kind: type[T]) -> T:
        """Return the `kind` that `item` holds, or raise `BadRequest`."""
        return decode(item.value, kind)

    def _take(self) -> bytes | Item:
        piece = self._inbox.popleft()
        spent = cost(piece.value if isinstance(piece, Item) else piece)
        if self._conversation.calls.consumed(self._id, spent):
            self._conversation.wake_writer()
        return piece

    def _hear_piece(self, message: Message) -> bool:
        match message:
            case Data():
                self._inbox.append(message.data)
                self._inbox_lot.unpark()
            case Item():
                self._inbox.append(message)
                self._inbox_lot.unpark()
            case Credit():
                self._room_lot.unpark_all()
            case _:
                return False
        return True

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
        self._conversation.calls.end(self._id)
        self._conversation.wake_writer()

    async def answer(self) -> Raw:
        """Wait for the answer, passing over whatever is still in the stream."""
        while await self.receive() is not None:
            pass
        assert self._answer is not None
        return self._answer

    def heard(self, message: Message) -> None:
        """Take a message of this call."""
        match message:
            case Answer():
                self._answer = message.result
                self._finish(None)
            case Fault():
                self._finish(error_from_code(message.code, message.message))
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

    def heard(self, message: Message) -> None:
        """Take a message of this call."""
        match message:
            case End():
                self._hear_end()
            case Drop():
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

    def pass_on(self, to: Conversation, op: str, params: bytes, onward: str | None = None) -> None:
        """Splice this call onto another conversation; from here on nothing of it is held here.

        Credit passes through as well, so the two far ends pace each other. The answerer must
        return `PASSED_ON` right after.
        """
        call_id = to.calls.ask(op, params, onward)
        near = _Spliced(self._conversation, self._id, to, call_id)
        far = _Spliced(to, call_id, self._conversation, self._id)
        self._conversation.listen(self._id, near)
        to.listen(call_id, far)
        # What came before the splice has not been consumed, so it fits the first window.
        for piece in self._inbox:
            near.heard(piece if isinstance(piece, Item) else Data(self._id, piece))
        if self._heard_all and self._error is None:
            near.heard(End(self._id))
        self._inbox.clear()
        to.wake_writer()


PASSED_ON: Final = Raw(b"")
"""What an answerer returns when another conversation answers in its place."""

Answerer: TypeAlias = Callable[[Asked], Awaitable[object]]


class _Spliced:
    """One end of a call that is passed on: whatever it hears, it says on the other side."""

    __slots__ = ("_calls", "_far", "_far_id", "_near", "_near_id")

    def __init__(self, near: Conversation, near_id: int, far: Conversation, far_id: int) -> None:
        self._near = near
        self._near_id = near_id
        self._far = far
        self._far_id = far_id
        self._calls = far.calls

    def heard(self, message: Message) -> None:
        calls, far_id = self._calls, self._far_id
        match message:
            case Data():
                calls.send_data(far_id, message.data)
            case Item():
                calls.send_item(far_id, message.value)
            case Credit():
                calls.grant(far_id, message.total)
            case Answer():
                calls.answer(far_id, bytes(message.result))
                self._far.unlisten(far_id)
            case Fault():
                calls.fault(far_id, message.code, message.message, bytes(message.details))
                self._far.unlisten(far_id)
            case End():
                calls.end(far_id)
            case Drop():
                calls.drop(far_id)
                self._far.unlisten(far_id)
            case _:
                raise AssertionError(message)
        self._far.wake_writer()

    def lost(self, error: LoopsyError) -> None:
        # Only one of the two does something: the machine knows whose call it is.
        self._calls.drop(self._far_id)
        self._calls.fault(self._far_id, error.code, error.message)
        self._far.unlisten(self._far_id)
        self._far.wake_writer()


class Conversation:
    """One connection's calls; made by `open_conversation`."""

    def __init__(
        self, channel: Channel, answer: Answerer | None, nursery: trio.Nursery, *, opener: bool
    ) -> None:
        """Prepare; `open_conversation` runs the tasks."""
        self.calls = Calls(opener=opener)
        self._channel = channel
        self._answer = answer
        self._handlers = nursery
        self._listeners: dict[int, _Listener] = {}
        self._writer_lot = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()
        self._closed = trio.Event()
        self._error: LoopsyError | None = None
        self._last_heard = trio.current_time()
        self._busy_writing = False

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed.is_set()

    async def wait_closed(self) -> LoopsyError:
        """Wait for the connection to end and return why it did."""
        await self._closed.wait()
        assert self._error is not None
        return self._error

    async def ask(self, operation: Operation[R], *, to: str | None = None) -> R:
        """Ask and return the reply; a cancelled ask is taken back on the other side too.

        Raises whatever the other side answered with, and `Gone` when the connection is lost.
        """
        async with self.open_call(operation, to=to) as call:
            call.end()
            return read_reply(operation, await call.answer())

    @asynccontextmanager
    async def open_call(
        self, operation: Operation[R], *, to: str | None = None
    ) -> AsyncGenerator[Call]:
        """Ask, and talk over the call's stream; leaving the block takes the call back."""
        if self._error is not None:
            raise self._error
        call_id = self.calls.ask(operation.op, encode(operation), to)
        call = Call(self, call_id)
        self._listeners[call_id] = call
        self.wake_writer()
        try:
            yield call
        finally:
            self._listeners.pop(call_id, None)
            self.calls.drop(call_id)
            self.wake_writer()

    def wake_writer(self) -> None:
        """Let the writer look for something to write."""
        self._writer_lot.unpark()

    def listen(self, call_id: int, listener: _Listener) -> None:
        """Put `listener` at our end of a call."""
        if self._error is not None:
            listener.lost(self._error)
        else:
            self._listeners[call_id] = listener

    def unlisten(self, call_id: int) -> None:
        """Nobody stands at our end of the call any more."""
        self._listeners.pop(call_id, None)

    # The tasks.

    async def read_forever(self) -> None:
        """Read the channel until it ends."""
        receive = self.calls.receive
        listeners = self._listeners
        while True:
            for message in await self._channel.receive():
                heard = receive(message)
                if heard is None or isinstance(heard, Pong):
                    continue
                if isinstance(heard, Ask):
                    self._begin(heard)
                elif (listener := listeners.get(heard.id)) is not None:
                    if isinstance(heard, (Answer, Fault, Drop)):
                        del listeners[heard.id]
                    listener.heard(heard)
            self._last_heard = trio.current_time()
            if self.calls.pending:  # credit, pongs and refusals that reading caused
                self.wake_writer()

    async def write_forever(self) -> None:
        """Write what is queued, as it is queued."""
        while True:
            while messages := self.calls.take():
                self._busy_writing = True
                await self._channel.send(messages)
                self._busy_writing = False
            self._drained.unpark_all()
            if not self.calls.pending:
                await self._writer_lot.park()

    async def keep_alive(self) -> None:
        """Ask for signs of life; raise `Gone` when there are none."""
        while True:
            silence = trio.current_time() - self._last_heard
            if silence >= LOST:
                raise Gone(f"nothing was heard for {LOST:.0f} seconds")
            if silence >= QUIET:
                self.calls.ping(1)
                self.wake_writer()
                await trio.sleep(LOST - silence)
            else:
                await trio.sleep(QUIET - silence)

    async def say_goodbye(self) -> None:
        """Give the last words a moment to leave."""
        with trio.move_on_after(GOODBYE, shield=True):
            while not self.closed and (self.calls.pending or self._busy_writing):
                await self._drained.park()

    def lose(self, error: LoopsyError) -> None:
        """End every call: the connection is gone."""
        if self._error is not None:
            return
        self._error = error
        for listener in list(self._listeners.values()):
            listener.lost(error)
        self._listeners.clear()
        self._drained.unpark_all()
        self._closed.set()

    def _begin(self, ask: Ask) -> None:
        asked = Asked(self, ask)
        self._listeners[ask.id] = asked
        self._handlers.start_soon(self._handle, asked, ask.id)

    async def _handle(self, asked: Asked, call_id: int) -> None:
        with asked.scope:
            try:
                if self._answer is None:
                    raise BadRequest("this side answers no calls")
                with one_error():
                    result = await self._answer(asked)
            except LoopsyError as error:
                self.calls.fault(call_id, error.code, error.message)
            except Exception:
                # A bug in one request: it is logged, the asker is told, and all else goes on.
                _log.exception("%s failed", asked.op)
                self.calls.fault(
                    call_id, LoopsyError.code, f"{asked.op} failed here; the log says why"
                )
            else:
                if result is PASSED_ON:
                    return
                self.calls.answer(call_id, encode(result))
        if self._listeners.get(call_id) is asked:
            del self._listeners[call_id]
        self.wake_writer()


@asynccontextmanager
async def open_conversation(
    channel: Channel, *, opener: bool, answer: Answerer | None = None
) -> AsyncGenerator[Conversation]:
    """Converse over `channel` for as long as the block lasts; closes the channel at the end.

    `opener` says whether we opened the connection. `answer` acts on the other side's asks:
    what it returns is the reply, a `LoopsyError` becomes a Fault, and it is cancelled when the
    asker leaves. When the connection ends, calls raise `Gone`, `wait_closed` returns, and the
    block goes on until it leaves by itself.
    """
    async with trio.open_nursery() as nursery:
        conversation = Conversation(channel, answer, nursery, opener=opener)
        nursery.start_soon(_run, conversation, channel)
        try:
            yield conversation
            await conversation.say_goodbye()
        finally:
            nursery.cancel_scope.cancel()
            conversation.lose(Gone("the conversation was closed"))
            with trio.move_on_after(GOODBYE, shield=True):
                await channel.aclose()


async def _run(conversation: Conversation, channel: Channel) -> None:
    why = "bye"
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(conversation.read_forever)
            nursery.start_soon(conversation.write_forever)
            nursery.start_soon(conversation.keep_alive)
    except* Gone as errors:
        conversation.lose(_first(errors))
    except* ProtocolViolation as errors:
        why = "protocol"
        error = _first(errors)
        _log.warning("a connection broke the protocol: %s", error)
        conversation.lose(error)
    with trio.move_on_after(GOODBYE):
        await channel.aclose(why)


def _first(errors: BaseExceptionGroup[LoopsyError]) -> LoopsyError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LoopsyError)
    return error
