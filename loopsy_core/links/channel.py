"""Whole messages over any transport: framed on a stream, or sealed on another channel.

One task sends on a channel and one receives; `conversation.py` is those two.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import Gone, ProtocolViolation
from loopsy_core.kit import receive_into
from loopsy_core.wire import MAX_MESSAGE, FrameDecoder, encode_frames, frame_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loopsy_core.wire import SealedConnection

__all__ = ["Channel", "FramedChannel", "SealedChannel"]


class Channel(ABC):
    """A two-way pipe of messages of 1 byte to 1 MiB, in order."""

    @abstractmethod
    async def send(self, messages: Sequence[bytes]) -> None:
        """Send `messages`. Raises `Gone`; after a cancellation the channel is useless."""

    def send_nowait(self, messages: Sequence[bytes]) -> bool:
        """Send `messages` at once, while nobody is in `send`, and return True if that is possible.

        After False nothing was sent. What the transport did not take goes ahead of what `send`
        is called with next, and `unsent` is true until then. Never raises: what is wrong with
        the transport, `send` says.
        """
        return False

    @property
    def unsent(self) -> bool:
        """Whether `send` must be called, if only with no messages, to complete a `send_nowait`."""
        return False

    @abstractmethod
    async def receive(self) -> list[bytes]:
        """Return the next messages, at least one.

        Raises `Gone` at the end and `ProtocolViolation` for what is no message.
        """

    async def receive_views(self) -> Sequence[bytes | memoryview]:
        """Do the same, with messages that hold only until the next call: that spares copies."""
        return await self.receive()

    @abstractmethod
    async def aclose(self, why: str = "bye") -> None:
        """Close, telling the transport `why` where it can say so. Never raises."""


class FramedChannel(Channel):
    """Messages on a byte stream, each behind its length."""

    def __init__(self, stream: trio.abc.Stream, longest: int = MAX_MESSAGE) -> None:
        """Take over `stream`; a message of more than `longest` bytes breaks the protocol."""
        self._stream = stream
        self._frames = FrameDecoder(longest)
        self._rest = b""

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send `messages` in one write."""
        if not self.send_nowait(messages):
            self._rest += encode_frames(messages)
        rest, self._rest = self._rest, b""
        try:
            await self._stream.send_all(rest)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone("the connection was lost") from None

    def send_nowait(self, messages: Sequence[bytes]) -> bool:
        """Write `messages` to the socket, if it is one: that spares a task's turn."""
        if not isinstance(self._stream, trio.SocketStream) or self._rest:
            return False
        parts = frame_parts(messages)
        written = 0
        with contextlib.suppress(OSError):  # full, or lost
            written = os.writev(self._stream.socket.fileno(), parts)
        self._rest = _behind(parts, written)
        return True

    @property
    def unsent(self) -> bool:
        """Whether the socket did not take all of it."""
        return bool(self._rest)

    async def receive(self) -> list[bytes]:
        """Return what arrives next."""
        return [bytes(message) for message in await self.receive_views()]

    async def receive_views(self) -> Sequence[bytes | memoryview]:
        """Return what arrives next, as views of the buffer into which it was read."""
        while True:
            space = self._frames.space()
            try:
                count = await receive_into(self._stream, space)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise Gone("the connection was lost") from None
            if not count:
                raise Gone("the connection was closed")
            if messages := self._frames.came(count):
                return messages

    async def aclose(self, why: str = "bye") -> None:
        """Close the stream."""
        await trio.aclose_forcefully(self._stream)


class SealedChannel(Channel):
    """Messages sealed on another channel."""

    def __init__(self, transport: Channel, connection: SealedConnection) -> None:
        """Use `transport` for the records of `connection`."""
        self._transport = transport
        self._connection = connection
        self._sealed: list[bytes] = []  # a record is sealed once, for its place in the order

    async def send(self, messages: Sequence[bytes]) -> None:
        """Seal and send."""
        sealed, self._sealed = self._sealed, []
        for message in messages:
            sealed += self._connection.seal(message)
        await self._transport.send(sealed)

    def send_nowait(self, messages: Sequence[bytes]) -> bool:
        """Seal, and send what the transport takes at once; `send` goes on with the rest."""
        if self._sealed:
            return False
        for message in messages:
            self._sealed += self._connection.seal(message)
        if self._transport.send_nowait(self._sealed):
            self._sealed = []
        return True

    @property
    def unsent(self) -> bool:
        """Whether something is sealed, or half sent."""
        return bool(self._sealed) or self._transport.unsent

    async def receive(self) -> list[bytes]:
        """Receive and open."""
        while True:
            messages = [
                message
                for sealed in await self._transport.receive_views()
                if (message := self._connection.open(sealed)) is not None
            ]
            if messages:
                return messages

    async def aclose(self, why: str = "bye") -> None:
        """Close the transport."""
        await self._transport.aclose(why)


def _behind(parts: Sequence[bytes], written: int) -> bytes:
    """Return what comes after the first `written` bytes of `parts`."""
    for number, part in enumerate(parts):
        if written < len(part):
            return b"".join((part[written:], *parts[number + 1 :]))
        written -= len(part)
    return b""


async def receive_one(channel: Channel) -> bytes:
    """Return the one message that a handshake waits for, or raise `ProtocolViolation`."""
    messages = await channel.receive()
    if len(messages) != 1:
        raise ProtocolViolation("more than one message where one was due")
    return messages[0]
