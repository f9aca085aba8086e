"""Calls over one channel: asking, answering, and passing a call on to another conversation.

`wire.calls` holds the rules; here is the waiting. One task reads the channel and one writes
it; everybody else talks to the machine between them, so a cancelled asker never leaves half
a message behind, and its cancellation crosses the wire as a Drop.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import trio

from loopsy_core.errors import (
    BadRequest,
    Busy,
    Gone,
    LoopsyError,
    ProtocolViolation,
)
from loopsy_core.wire import (
    MAX_OPEN,
    Answer,
    Ask,
    Calls,
    Drop,
    Fault,
    Operation,
    Ping,
    Pong,
    encode,
    read_reply,
)

if TYPE_CHECKING:
    from .channel import Channel
from .stream import PASSED_ON, Asked, Call, Listener

__all__ = ["Answerer", "Conversation", "open_conversation"]

R = TypeVar("R")
E = TypeVar("E", bound=Exception)
Answerer: TypeAlias = Callable[[Asked], Awaitable[object]]
"""Acts on one ask: what it returns is the reply, and a `LoopsyError` it raises a Fault."""

QUIET: Final = 15.0
"""Seconds of silence after which we ask for a sign of life."""
LOST: Final = 30.0
"""Seconds of silence after which the other side is held to be gone."""
GOODBYE: Final = 2.0
"""Seconds that the last words of a conversation may take."""
BURST: Final = 0.0001
"""Seconds after a write in which another one is left to the writer, which writes all that has
gathered when it gets its turn. Of answers that become ready together the first leaves at once, and
the others in one piece: the other side wakes twice instead of eight times."""
HANDLERS_A_CALL: Final = 4
"""Answerers at work at once, for each call that may be open. A call that is dropped is open no
more, but its answerer still has to clean up: without a limit of their own, asking and dropping in
turn would pile them up."""

_log = logging.getLogger(__name__)


class Conversation:
    """One connection's calls; made by `open_conversation`."""

    def __init__(
        self,
        channel: Channel,
        answer: Answerer | None,
        nursery: trio.Nursery,
        *,
        opener: bool,
        most_open: int,
    ) -> None:
        """Prepare; `open_conversation` runs the tasks."""
        self.calls = Calls(opener=opener, most_open=most_open)
        self._most_handlers = most_open * HANDLERS_A_CALL
        self._channel = channel
        self._answer = answer
        self._handlers = nursery
        self._listeners: dict[int, Listener] = {}
        self._writer_lot = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()
        self._closed = trio.Event()
        self._error: LoopsyError | None = None
        self._last_heard = trio.current_time()
        self._busy_writing = False
        self._at_once = True  # until the channel says that it cannot
        self._last_written = -BURST
        self._taken: list[bytes] = []
        self._handling = 0

    @property
    def last_heard(self) -> float:
        """When anything was heard last, in seconds on trio's clock."""
        return self._last_heard

    @property
    def busy(self) -> bool:
        """Whether any call is open, of either side."""
        return bool(self._listeners)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed.is_set()

    async def wait_closed(self) -> LoopsyError:
        """Wait for the connection to end and return why it did."""
        await self._closed.wait()
        assert self._error is not None
        return self._error

    async def ask(self, operation: Operation[R], *, to: str | None = None, body: bytes = b"") -> R:
        """Ask and return the reply; a cancelled ask is taken back on the other side too.

        `body` is sent with it: a small one in the same write, so that the other side wakes once.
        Raises whatever the other side answered with, and `Gone` when the connection is lost.
        """
        call = self._open(operation, to)
        try:
            await call.send_last(body)
            call.end()
            return read_reply(operation, await call.answer())
        finally:
            self._leave(call)

    async def fetch(
        self, operation: Operation[R], most: int, what: str, *, to: str | None = None
    ) -> tuple[bytes, R]:
        """Ask, and return the bytes that come with the reply, and the reply.

        Raises as `ask` does, and `BadRequest`, which calls them `what`, for more than `most` bytes.
        """
        call = self._open(operation, to)
        try:
            call.end()
            data = await call.receive_all(most, what)
            return data, read_reply(operation, await call.answer())
        finally:
            self._leave(call)

    @asynccontextmanager
    async def open_call(
        self, operation: Operation[R], *, to: str | None = None
    ) -> AsyncGenerator[Call]:
        """Ask, and talk over the call's stream; leaving the block takes the call back."""
        call = self._open(operation, to)
        try:
            self.wake_writer()
            yield call
        finally:
            self._leave(call)

    def _open(self, operation: Operation[R], to: str | None) -> Call:
        """Begin a call; the next waking of the writer tells of it."""
        if self._error is not None:
            raise self._error.with_traceback(None)  # or it would grow with everybody who asks
        call = Call(self, self.calls.ask(operation.op, encode(operation), to))
        self._listeners[call.id] = call
        return call

    def _leave(self, call: Call) -> None:
        """Take a call back, if it is not over."""
        if self._listeners.pop(call.id, None) is not None:
            call.lost(Gone("this call was left"))
            self.calls.drop(call.id)
            self.wake_writer()

    def wake_writer(self) -> None:
        """Have written what is queued: at once where that is possible, else by the writer.

        A keystroke and its echo pass through four conversations, and waking the writer costs a
        turn of the event loop in each.
        """
        if not self._writer_lot:
            return  # the writer is at work, and looks again before it rests
        now = trio.current_time()
        if self._at_once and now - self._last_written >= BURST:
            self._last_written = now
            messages = self.calls.take()
            if messages and not self._channel.send_nowait(messages):
                self._taken = messages
                self._at_once = False
            if not self._unwritten:
                return
        self._writer_lot.unpark()

    def listen(self, call_id: int, listener: Listener) -> None:
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
            for message in await self._channel.receive_views():
                heard = receive(message)
                if heard is None or isinstance(heard, (Ping, Pong)):
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
            while (messages := self._take()) or self._channel.unsent:
                self._busy_writing = True
                await self._channel.send(messages)
                self._busy_writing = False
            self._drained.unpark_all()
            if not self.calls.pending:
                await self._writer_lot.park()

    @property
    def _unwritten(self) -> bool:
        return bool(self._taken or self._channel.unsent or self.calls.pending)

    def _take(self) -> list[bytes]:
        messages, self._taken = self._taken or self.calls.take(), []
        return messages

    async def keep_alive(self) -> None:
        """Ask for signs of life; raise `Gone` when there are none."""
        while True:
            # Moments and not lengths of time, which added up may end just before what is awaited.
            heard, now = self._last_heard, trio.current_time()
            if now >= heard + LOST:
                raise Gone(f"nothing was heard for {LOST:.0f} seconds")
            if now >= heard + QUIET:
                self.calls.ping(1)
                self.wake_writer()
                await trio.sleep_until(heard + LOST)
            else:
                await trio.sleep_until(heard + QUIET)

    async def say_goodbye(self) -> None:
        """Give the last words a moment to leave."""
        with trio.move_on_after(GOODBYE, shield=True):
            while not self.closed and (self._unwritten or self._busy_writing):
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
        if self._handling >= self._most_handlers:
            self.calls.fault(ask.id, Busy.code, "too many calls are still being cleaned up here")
            return
        self._handling += 1
        asked = Asked(self, ask)
        self._listeners[ask.id] = asked
        self._handlers.start_soon(self._handle, asked, ask.id)

    async def _handle(self, asked: Asked, call_id: int) -> None:
        with asked.scope:
            try:
                if self._answer is None:
                    raise BadRequest("this side answers no calls")
                result = await self._answer(asked)
                reply = None if result is PASSED_ON else encode(result)
            # except*, for an answerer's nursery may fail with several errors at once (when the
            # asker leaves, all that wait for it do), and with Cancelled beside them.
            except* LoopsyError as errors:
                error = _first(errors)
                self.calls.fault(call_id, error.code, error.message, encode(error.details))
            except* Exception as errors:
                # A bug in one request: it is logged, the asker is told, and all else goes on.
                one = len(errors.exceptions) == 1  # a group of one would bury the traceback
                _log.error("%s failed", asked.op, exc_info=_first(errors) if one else errors)
                self.calls.fault(
                    call_id, LoopsyError.code, f"{asked.op} failed here; the log says why"
                )
            else:
                if reply is None:
                    return
                self.calls.answer(call_id, reply)
            finally:
                self._handling -= 1
        if self._listeners.get(call_id) is asked:
            del self._listeners[call_id]
        self.wake_writer()


@asynccontextmanager
async def open_conversation(
    channel: Channel,
    *,
    opener: bool,
    answer: Answerer | None = None,
    lost: type[Gone] = Gone,
    most_open: int = MAX_OPEN,
) -> AsyncGenerator[Conversation]:
    """Converse over `channel` for as long as the block lasts; closes the channel at the end.

    `opener` says whether we opened the connection. `answer` acts on the other side's asks:
    what it returns is the reply, a `LoopsyError` becomes a Fault, and it is cancelled when the
    asker leaves. Each side may have `most_open` calls open at once, on which the two must agree.
    When the connection ends, calls raise `lost`, `wait_closed` returns, and the block goes on
    until it leaves by itself.
    """
    async with trio.open_nursery() as nursery:
        conversation = Conversation(channel, answer, nursery, opener=opener, most_open=most_open)
        nursery.start_soon(_run, conversation, channel, lost)
        try:
            yield conversation
            await conversation.say_goodbye()
        finally:
            nursery.cancel_scope.cancel()
            conversation.lose(lost("the conversation was closed"))
            with trio.move_on_after(GOODBYE, shield=True):
                await channel.aclose()


async def _run(conversation: Conversation, channel: Channel, lost: type[Gone]) -> None:
    why = "bye"
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(conversation.read_forever)
            nursery.start_soon(conversation.write_forever)
            nursery.start_soon(conversation.keep_alive)
    except* ProtocolViolation as errors:
        why = "protocol"
        error = _first(errors)
        _log.warning("a connection broke the protocol: %s", error)
        conversation.lose(error)
    except* LoopsyError as errors:  # Gone, or what a relay says instead of it
        failure = _first(errors)
        gone = type(failure) is Gone
        conversation.lose(lost(failure.message) if gone else failure)
    with trio.move_on_after(GOODBYE):
        await channel.aclose(why)


def _first(errors: BaseExceptionGroup[E]) -> E:
    error: E | BaseExceptionGroup[E] = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
