"""One WebSocket of a client, as a line of the switchboard (RFC 6455, by wsproto).

No extension is negotiated: what is sealed does not compress, and a compressor would cost every
connection hundreds of kilobytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from loopsy_core.kit import receive_ready

from .connection import Ending, HungUp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .outbox import Outbox

__all__ = ["WebSocket"]

_READ: Final = 65536  # bytes asked of the stream at once

# Frames taken out of one read before others get their turn. One read may hold thousands.
_FAIR_SHARE: Final = 32

_LONGEST_REASON: Final = 123  # bytes; a control frame holds 125, and the code takes 2


class WebSocket:
    """A `Line` over a byte stream on which the opening handshake is done."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        outbox: Outbox,
        *,
        first_bytes: bytes,
        longest_message: int,
        silence_seconds: float,
    ) -> None:
        """Go on behind the handshake; `first_bytes` came with it already."""
        self.outbox = outbox
        self._stream = stream
        self._protocol = Connection(ConnectionType.SERVER, trailing_data=first_bytes)
        self._events: Iterator[Event] = self._protocol.events()
        self._longest_message = longest_message
        self._silence_seconds = silence_seconds
        # One buffer and not a list: a message may come in a million fragments of one byte.
        self._begun = bytearray()
        self._broken = False  # what came was no frame; the rest cannot be understood
        self._handed_out = 0
        self._pong: Pong | None = None
        self._ping_due = False
        self._silent_since: float | None = None  # None: not listening, so it proves nothing
        self._torn = False

    async def receive(self) -> bytes:
        """Return the next message. Raises `HungUp`: left, lost, or not talking our language."""
        while True:
            for event in self._events:
                await self._give_way()  # one read may hold ten thousand pings
                if not isinstance(event, BytesMessage):
                    self._obey(event)
                elif (message := self._assemble(event)) is not None:
                    return message
            await self._read()

    async def send(self, messages: list[bytes]) -> None:
        """Send `messages`, and the ping and pong that are due. Raises `HungUp`.

        Cancelled, part of a frame may be on the wire: nothing more is sent then, ever.
        """
        protocol = self._protocol
        frames: list[bytes] = []
        try:
            if self._pong is not None:
                frames.append(protocol.send(self._pong))
                self._pong = None
            if self._ping_due:
                frames.append(protocol.send(Ping()))
                self._ping_due = False
            frames.extend(protocol.send(BytesMessage(message)) for message in messages)
        except LocalProtocolError:
            raise HungUp(Ending(None, "it closed")) from None
        await self._write(frames[0] if len(frames) == 1 else b"".join(frames))

    async def close(self, ending: Ending) -> None:
        """Send the close frame, or answer the other side's, and wait until both were sent.

        Waiting matters: closing a socket while bytes come in resets it, and a reset may overtake
        the close frame. The caller sets a limit, and closes the stream.
        """
        if self._torn or ending.code is None:
            return
        protocol = self._protocol
        reason = ending.why.encode()[:_LONGEST_REASON].decode(errors="ignore")
        try:
            await self._write(protocol.send(CloseConnection(ending.code, reason)))
            while protocol.state is not ConnectionState.CLOSED:
                if self._broken:
                    await self._discard()
                elif (event := next(self._events, None)) is None:
                    await self._read()
                else:
                    await self._give_way()
                    self._note_close(event)
        except (HungUp, LocalProtocolError):
            pass  # they are gone, which is what we wanted

    def keep_alive(self, now: float) -> bool:
        """Have a ping sent; return False when nothing was heard for too long.

        While nobody calls `receive` nothing can be heard, so that time does not count.
        """
        if self._silent_since is not None and now - self._silent_since > self._silence_seconds:
            return False
        self._ping_due = True
        self.outbox.poke()
        return True

    def _assemble(self, event: BytesMessage) -> bytes | None:
        """Return the message that `event` completes, if it does. Raises `HungUp` if too long."""
        if len(self._begun) + len(event.data) > self._longest_message:
            limit = f"{self._longest_message} bytes at most"
            raise HungUp(Ending(CloseReason.MESSAGE_TOO_BIG, limit))
        if not event.message_finished:
            self._begun += event.data
            return None
        if self._begun:
            message = bytes(self._begun + event.data)
            self._begun = bytearray()
        else:
            message = bytes(event.data)  # the common case, and no copy
        return message

    def _obey(self, event: Event) -> None:
        """Do what a control frame asks for. Raises `HungUp`."""
        match event:
            case Ping():
                # Only the newest must be answered (section 5.5.3), so a flood costs nothing.
                self._pong = event.response()
                self.outbox.poke()
            case TextMessage():
                raise HungUp(Ending(CloseReason.UNSUPPORTED_DATA, "messages must be binary"))
            case CloseConnection():
                self._note_close(event)
                self._answer_close(event)
            case _:
                pass  # a pong: that something came was noted already

    def _answer_close(self, event: CloseConnection) -> None:
        """Raise `HungUp`, with what there is to say: to a close frame its own code, once."""
        code = event.code
        if code == CloseReason.NO_STATUS_RCVD:  # may not be sent (section 7.4.1)
            code = CloseReason.NORMAL_CLOSURE
        raise HungUp(Ending(code, "it closed"))

    def _note_close(self, event: Event) -> None:
        """See whether this is the other side's close frame, or wsproto's word for nonsense."""
        closing = (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED)
        if isinstance(event, CloseConnection) and self._protocol.state not in closing:
            self._broken = True

    async def _discard(self) -> None:
        """Read without parsing: of a broken stream wsproto would only hoard the bytes."""
        try:
            if not await self._stream.receive_some(_READ):
                raise HungUp(Ending(None, "lost"))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise HungUp(Ending(None, "lost")) from None

    async def _read(self) -> None:
        self._silent_since = trio.current_time()
        try:
            data = await receive_ready(self._stream, _READ)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise HungUp(Ending(None, "lost")) from None
        finally:
            self._silent_since = None
        if not data:
            raise HungUp(Ending(None, "lost"))
        self._handed_out = 0
        self._protocol.receive_data(bytes(data))
        self._events = self._protocol.events()

    async def _give_way(self) -> None:
        self._handed_out += 1
        if self._handed_out % _FAIR_SHARE == 0:
            await trio.lowlevel.checkpoint()

    async def _write(self, data: bytes) -> None:
        if self._torn:
            raise HungUp(Ending(None, "torn"))
        self._torn = True
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise HungUp(Ending(None, "lost")) from None
        self._torn = False
