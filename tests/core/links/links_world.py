"""Conversations in memory: two that talk, three in a row, and a stranger who speaks by hand."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import attrs
import msgspec
import trio
from trio.testing import MockClock, memory_stream_pair

from loopsy_core.kit import one_error
from loopsy_core.links import (
    PASSED_ON,
    Answerer,
    Asked,
    Channel,
    Conversation,
    FramedChannel,
    open_conversation,
)
from loopsy_core.wire import Item, Message, Operation
from loopsy_core.wire.messages import decode_message
from tests.play import Line, written

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from contextlib import AbstractContextManager

    from loopsy_core.errors import LoopsyError
    from loopsy_core.links import Stream

PATIENCE = 20.0
"""Seconds after which a test that stands still has failed, on a busy machine."""
JUMPING_PATIENCE = 1000.0
"""The same on a clock that jumps; here everything else is over long before."""

StreamPair: TypeAlias = "Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]"


class Told(msgspec.Struct, frozen=True):
    """What comes back."""

    text: str


class Tell(Operation[Told], frozen=True, kw_only=True):
    """A request to play with."""

    op = "tell"
    grant = None
    reply = Told

    text: str = ""


def patience() -> AbstractContextManager[trio.CancelScope]:
    """Return a limit on everything within it, by whatever clock there is."""
    jumping = isinstance(trio.lowlevel.current_clock(), MockClock)
    return trio.fail_after(JUMPING_PATIENCE if jumping else PATIENCE)


def channels(streams: StreamPair = memory_stream_pair) -> tuple[FramedChannel, FramedChannel]:
    """Return the two ends of a connection in memory."""
    one, other = streams()
    return FramedChannel(one), FramedChannel(other)


async def echo(asked: Asked) -> Told:
    """Answer with what was told."""
    return Told(asked.op + ":" + msgspec.msgpack.decode(asked.params, type=Tell).text)


async def never(_asked: Asked) -> Told:
    """Never answer."""
    await trio.sleep_forever()
    raise AssertionError("for ever is over")


async def receive_all(stream: Stream) -> list[bytes | object]:
    """Return everything until the end, values decoded and bytes that follow each other joined."""
    received: list[bytes | object] = []
    while (piece := await stream.receive()) is not None:
        if isinstance(piece, Item):
            received.append(msgspec.msgpack.decode(piece.value))
        elif received and isinstance(received[-1], bytes):
            received[-1] += piece
        else:
            received.append(piece)
    return received


async def repeat(asked: Asked) -> Told:
    """Send everything back, then answer."""
    while (piece := await asked.receive()) is not None:
        if isinstance(piece, Item):
            await asked.send_item(asked.read(piece, object))
        else:
            await asked.send(piece)
    return Told("that was all")


def in_one_row(pieces: list[bytes | int]) -> list[bytes | object]:
    """Join neighbouring bytes, as a stream does not keep their borders."""
    row: list[bytes | object] = []
    for piece in pieces:
        if isinstance(piece, bytes) and row and isinstance(row[-1], bytes):
            row[-1] += piece
        elif piece != b"":
            row.append(piece)
    return row


@attrs.define
class Recorder:
    """An answerer that never answers, and knows what becomes of its calls."""

    asked: list[Asked] = attrs.field(factory=list)
    cancelled: int = 0
    came: trio.Event = attrs.field(factory=trio.Event)

    async def __call__(self, asked: Asked) -> object:
        self.asked.append(asked)
        self.came.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled += 1


@asynccontextmanager
async def open_two(
    far_answer: Answerer | None = echo,
    near_answer: Answerer | None = None,
    *,
    streams: StreamPair = memory_stream_pair,
) -> AsyncGenerator[tuple[Conversation, Conversation]]:
    """Join two conversations; the first one opened the connection."""
    one, other = channels(streams)
    with one_error(), patience():
        async with (
            open_conversation(other, opener=False, answer=far_answer) as far,
            open_conversation(one, opener=True, answer=near_answer) as near,
        ):
            yield near, far


@attrs.frozen
class Row:
    """An asker, a node that passes everything on, and a host that answers."""

    asker: Conversation
    node: Conversation
    """The node's end towards the asker."""
    onward: Conversation
    """The node's end towards the host."""
    host: Conversation


@asynccontextmanager
async def open_row(
    answer: Answerer,
    *,
    before: trio.Event | None = None,
    streams: StreamPair = memory_stream_pair,
) -> AsyncGenerator[Row]:
    """Put an asker, a node and a host in a row; the node waits for `before` with passing on."""
    async with open_two(answer, streams=streams) as (onward, host):

        async def pass_all(asked: Asked) -> object:
            if before is not None:
                await before.wait()
            asked.pass_on(onward, asked.op, bytes(asked.params))
            return PASSED_ON

        async with open_two(pass_all, streams=streams) as (asker, node):
            yield Row(asker, node, onward, host)


class Stranger:
    """A far end without a machine that keeps it honest; the test speaks for it."""

    def __init__(self, channel: FramedChannel, stream: trio.abc.Stream) -> None:
        self._channel = channel
        self._heard: deque[bytes] = deque()
        self.stream = stream

    async def says(self, *lines: Line) -> None:
        await self._channel.send([written(line) for line in lines])

    async def hears(self) -> Message:
        """Return the next message; raises `Gone` when there will be none."""
        while not self._heard:
            self._heard.extend(await self._channel.receive())
        return decode_message(self._heard.popleft())

    async def leaves(self) -> None:
        await self._channel.aclose()


@asynccontextmanager
async def open_with_stranger(
    answer: Answerer | None = None,
    *,
    opener: bool = False,
    streams: StreamPair = memory_stream_pair,
) -> AsyncGenerator[tuple[Conversation, Stranger]]:
    """Converse with a stranger; `opener` says whether our side opened the connection."""
    one, other = streams()
    with one_error(), patience():
        async with open_conversation(FramedChannel(one), opener=opener, answer=answer) as ours:
            try:
                yield ours, Stranger(FramedChannel(other), other)
            finally:
                await trio.aclose_forcefully(other)


class Counting(trio.abc.Stream):
    """A stream that counts how often it was read and written."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.reads = 0
        self.writes = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        self.reads += 1
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class FailingChannel(Channel):
    """A channel whose other side says nothing, and then ends with an error of one's choice."""

    def __init__(self) -> None:
        self.closed_with: list[str] = []
        self.sent: list[bytes] = []
        self._error: LoopsyError | None = None
        self._end = trio.Event()

    def fail(self, error: LoopsyError) -> None:
        self._error = error
        self._end.set()

    async def send(self, messages: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.extend(messages)

    async def receive(self) -> list[bytes]:
        await self._end.wait()
        assert self._error is not None
        raise self._error

    async def aclose(self, why: str = "bye") -> None:
        await trio.lowlevel.checkpoint()
        self.closed_with.append(why)
