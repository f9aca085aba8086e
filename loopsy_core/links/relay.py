"""The two ends of a relay: a node that takes phones' connections, and who calls a node.

PROTOCOL.md section 6. The relay sees sealed bytes and who talks to whom; nothing it says is
trusted beyond that. A node keeps one WebSocket, on which each phone's connection is a channel.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, LoopsyError, ProtocolViolation
from loopsy_core.kit import contained, one_error
from loopsy_core.wire import Established, Greeting, Unreadable
from loopsy_core.wire.envelope import (
    LONGEST_WHY,
    Bytes,
    Close,
    Envelope,
    Joined,
    Left,
    decode_envelope,
    encode_envelope,
)

from .channel import Channel, SealedChannel, receive_one
from .websocket import WebSocketChannel, open_websocket_channel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

__all__ = ["PhoneChannel", "open_sealed_by_relay", "serve_phones"]

HANDSHAKE: Final = 10.0
"""Seconds that a caller waits for the second handshake message."""
MAX_UNREAD: Final = 4 << 20
"""Bytes of one phone that may wait in a node; far more than its calls' credit allows."""
MESSAGE_COST: Final = 64
"""What a message costs beside its bytes, so that a million empty ones are not free."""
MAX_PHONES: Final = 1000
"""Phone connections of one node at once."""
MAX_TASKS: Final = 3 * MAX_PHONES
"""Phones that are served, or are being told that they are not; a relay that has more is broken."""

_log = logging.getLogger(__name__)


async def serve_phones(
    url: str,
    secret: str,
    serve: Callable[[PhoneChannel], Awaitable[None]],
    *,
    on_connected: Callable[[], None],
) -> None:
    """Connect to the relay at `url` as a node and run `serve` for each phone that joins.

    Returns never by itself: raises `Refused` when the relay does not know us, `Gone` when the
    link is lost (with it go all its phones, who come back by themselves). A failing `serve`
    ends in one log line and that phone's connection.
    """
    async with open_websocket_channel(url, "/ws/node", secret) as socket:
        with one_error():
            async with trio.open_nursery() as nursery:
                link = _Link(socket, serve, nursery)
                nursery.start_soon(socket.keep_alive)
                nursery.start_soon(link.write_forever)
                on_connected()
                try:
                    await link.read_forever()
                finally:
                    link.lose()


@asynccontextmanager
async def open_sealed_by_relay(
    url: str, bearer: str, greeting: Greeting
) -> AsyncGenerator[tuple[SealedChannel, Established]]:
    """Call a node through its relay, as a phone does; `greeting` says whom and by which right.

    Raises `Refused` when the node or the relay refuses, `Gone` when either is not there or does
    not answer within 10 s.
    """
    async with open_websocket_channel(url, "/ws/phone", bearer) as socket:
        with trio.move_on_after(HANDSHAKE) as patience:
            await socket.send([greeting.first_message])
            second = await receive_one(socket)
        if patience.cancelled_caught:
            raise Gone("the machine does not answer", why="away")
        try:
            established = greeting.finish(second)
        except Unreadable:
            raise ProtocolViolation("whoever answered is not the machine we paired") from None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ping_quietly, socket)
            yield SealedChannel(socket, established.connection), established
            nursery.cancel_scope.cancel()


async def _ping_quietly(socket: WebSocketChannel) -> None:
    try:
        await socket.keep_alive()
    except LoopsyError:
        await socket.aclose()  # whoever reads is told


class PhoneChannel(Channel):
    """One phone's connection, inside the node's link to the relay."""

    def __init__(self, link: _Link, joined: Joined) -> None:
        """Stand for the connection that `joined` announced."""
        self.client = joined.client
        self.address = joined.from_
        self._link = link
        self._conn = joined.conn
        self._inbox: deque[bytes] = deque()
        self._unread = 0
        self._lot = trio.lowlevel.ParkingLot()
        self._left: str | None = None

    async def send(self, messages: Sequence[bytes]) -> None:
        """Hand `messages` to the link; phones take turns."""
        if self._left is not None:
            raise Gone(self._left)
        await self._link.put([encode_envelope(Bytes(self._conn, each)) for each in messages])

    async def receive(self) -> list[bytes]:
        """Return what came."""
        while not self._inbox:
            if self._left is not None:
                raise Gone(self._left)
            await self._lot.park()
        messages = list(self._inbox)
        self._inbox.clear()
        self._unread = 0
        return messages

    async def aclose(self, why: str = "bye") -> None:
        """Have the relay end the phone's connection, with `why`."""
        if self._left is None:
            self.leave("the connection was closed")
            await self._link.cut(self._conn, why)

    def take(self, sealed: bytes) -> bool:
        """Take in a message; False when the phone has too much unread here."""
        self._unread += len(sealed) + MESSAGE_COST
        if self._unread > MAX_UNREAD:
            return False
        self._inbox.append(sealed)
        self._lot.unpark()
        return True

    def leave(self, why: str) -> None:
        """The phone is gone; what it sent before can still be received."""
        if self._left is None:
            self._left = why
            self._lot.unpark_all()


class _Link:
    """A node's WebSocket to its relay, and the phones on it."""

    def __init__(
        self,
        socket: WebSocketChannel,
        serve: Callable[[PhoneChannel], Awaitable[None]],
        nursery: trio.Nursery,
    ) -> None:
        self._socket = socket
        self._serve = serve
        self._nursery = nursery
        self._phones: dict[int, PhoneChannel] = {}
        # Nothing is held here: a phone's writer waits until the link's writer takes its batch,
        # first come first served, so no phone's flood delays another by more than a batch.
        self._to_write, self._batches = trio.open_memory_channel[list[bytes]](0)
        self._lost = False

    async def put(self, batch: list[bytes]) -> None:
        if self._lost:
            raise Gone("the link to the relay was lost")
        try:
            await self._to_write.send(batch)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone("the link to the relay was lost") from None

    async def write_forever(self) -> None:
        async for batch in self._batches:
            await self._socket.send(batch)

    async def read_forever(self) -> None:
        while True:
            for message in await self._socket.receive():
                self._heard(decode_envelope(message))

    def _heard(self, envelope: Envelope) -> None:
        match envelope:
            case Bytes(conn=conn, sealed=sealed):
                phone = self._phones.get(conn)
                if phone is not None and not phone.take(sealed):
                    phone.leave("it sent more than it may")
                    self._nursery.start_soon(self.cut, conn, "protocol")
            case Joined(conn=conn):
                if conn in self._phones:
                    raise ProtocolViolation("the relay let one connection join twice")
                if len(self._nursery.child_tasks) >= MAX_TASKS:
                    raise ProtocolViolation("the relay lets in more phones than there can be")
                if len(self._phones) >= MAX_PHONES:
                    self._nursery.start_soon(self.cut, conn, "protocol")
                    return
                phone = PhoneChannel(self, envelope)
                self._phones[conn] = phone
                self._nursery.start_soon(self._serve_one, phone, conn)
            case Left(conn=conn):
                phone = self._phones.pop(conn, None)
                if phone is not None:
                    phone.leave("the phone left")
            case Close():
                raise ProtocolViolation("the relay sent what only nodes send")

    async def _serve_one(self, phone: PhoneChannel, conn: int) -> None:
        with contained(_log, f"phone connection from {phone.address}"):
            try:
                await self._serve(phone)
            finally:
                with trio.move_on_after(1.0, shield=True), contained(_log, "closing"):
                    if not self._lost:
                        await phone.aclose()

    async def cut(self, conn: int, why: str) -> None:
        """Have the relay end a phone's connection; of no use, and no error, on a lost link."""
        self._phones.pop(conn, None)
        with suppress(Gone):
            await self.put([encode_envelope(Close(conn, why[:LONGEST_WHY]))])

    def lose(self) -> None:
        self._lost = True
        self._to_write.close()  # wakes whoever waits for its turn: nothing will be written
        for phone in self._phones.values():
            phone.leave("the link to the relay was lost")
        self._phones.clear()
