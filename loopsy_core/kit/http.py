"""HTTP/1.1 with one client: h11 on a trio stream, with an end to every wait.

Not hypercorn, for 0.18 on trio is not made for strangers: a request with a byte above 127 in its
`Connection` header, an HTTP/2 request with such a path, or a WebSocket request with a body each
end the whole server with an exception; a client that does not read cannot be timed out, because
sends are shielded; and a message that is too long is refused, but buffered on and on. Here every
wait has an end, and whatever happens stays with the one connection.

Imported on its own, for h11 takes a while to load that a node does not spend before it must.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Final, TypeAlias
from urllib.parse import unquote

import attrs
import h11
import trio

__all__ = ["Head", "Headers", "Http", "HttpLimits", "Unreadable"]

# Bytes asked of the stream at once: no more than a head may have, for h11 takes whatever is whole
# already, so that twice as much is the most; and more for bodies, which may be large.
_READ: Final = 16 * 1024
_READ_BODY: Final = 65_536
_WRITE: Final = 65_536  # bytes that must move within the stall limit, however long the whole is

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Unreadable(Exception):
    """What came is not to be answered but with this HTTP `status` and this `sentence`."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep both."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@attrs.frozen(kw_only=True)
class HttpLimits:
    """How much one client may send, and for how long it may keep us waiting, in seconds."""

    head: int = 16 * 1024
    """Bytes of a request's line and headers."""
    patience: float
    """For a request's head to be complete, idling before it included, and for each piece of its
    body to come."""
    stall: float
    """For 64 KiB of an answer to be taken."""
    goodbye: float
    """For the client to read the last answer and hang up."""


@attrs.frozen
class Head:
    """What a request says before its body."""

    method: str
    target: bytes
    """As it was sent: a path with its query, or a whole URL."""
    path: str
    """Percent-decoded."""
    raw_path: bytes
    query: bytes
    version: str
    headers: Headers = attrs.field(repr=False)  # with secrets in them

    def get(self, name: bytes) -> str | None:
        """Return the header `name` (lower case); several of that name joined by commas."""
        values = [value.decode("latin-1") for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def tokens(self, name: bytes) -> list[str]:
        """Return the comma-separated items of the header `name`, without spaces around them."""
        return [item.strip() for item in (self.get(name) or "").split(",") if item.strip()]

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks to become a WebSocket. Other upgrades are ignored, as one may."""
        return (
            self.method == "GET"
            and "upgrade" in map(str.lower, self.tokens(b"connection"))
            and "websocket" in map(str.lower, self.tokens(b"upgrade"))
        )


class Http:
    """Requests and answers of one connection, one after the other, until it ends.

    Reading raises `Unreadable` for what is no request; then it is to be refused and the
    connection closed. Writing raises `trio.TooSlowError` when the client takes nothing for too
    long. Both raise `trio.BrokenResourceError` when it is gone.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, limits: HttpLimits) -> None:
        """Serve `stream`, which the caller closes."""
        self.stream = stream
        self.limits = limits
        self._method = ""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head)

    @property
    def trailing_data(self) -> bytes:
        """What the client sent behind its last request."""
        return self._h11.trailing_data[0]

    @property
    def answered(self) -> bool:
        """Whether something of an answer to the current request has been sent."""
        return self._h11.our_state not in {h11.IDLE, h11.SEND_RESPONSE}

    async def next_head(self) -> Head | None:
        """Wait for the next request; None when the connection is over."""
        self._method = ""
        if self._h11.our_state is not h11.IDLE:
            if self._h11.their_state is h11.SEND_BODY:
                await self._hang_up()  # it was answered before it had sent everything
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return None
            self._h11.start_next_cycle()
        with trio.move_on_after(self.limits.patience):
            request = await self._next_event()
            return self._head_of(request) if isinstance(request, h11.Request) else None
        return None

    async def ask_for_body(self) -> None:
        """Tell a client to go on that would like to be told so before it sends the body."""
        if self._h11.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))

    async def next_piece(self) -> bytes | None:
        """Wait for more of the request's body; None when there is no more."""
        if self._h11.their_state is not h11.SEND_BODY:
            return None
        with trio.move_on_after(self.limits.patience):
            event = await self._next_event(_READ_BODY)
            return bytes(event.data) if isinstance(event, h11.Data) else None
        raise Unreadable(408, "the body of the request did not come")

    async def read_body(self, head: Head, longest: int) -> bytes:
        """Return the whole body of a request, of at most `longest` bytes."""
        announced = head.get(b"content-length")  # h11 has seen to it that it is a number
        sentence = f"the body of a request may be {longest} bytes at most"
        if announced is not None and int(announced) > longest:
            raise Unreadable(413, sentence)
        body = bytearray()
        await self.ask_for_body()
        with trio.move_on_after(self.limits.patience):
            while (piece := await self.next_piece()) is not None:
                body += piece
                if len(body) > longest:
                    raise Unreadable(413, sentence)
            return bytes(body)
        raise Unreadable(408, "the body of the request did not come")

    async def wait_left(self) -> None:
        """Wait, once a request was read, until the client has hung up.

        Not beyond one that sends its next request at once: then this waits for ever.
        """
        try:
            data = await self.stream.receive_some(_READ)
        except trio.BrokenResourceError:
            return
        if data:
            self._h11.receive_data(bytes(data))
            await trio.sleep_forever()

    async def start(self, status: int, headers: Headers) -> None:
        """Begin the answer."""
        date = (b"date", formatdate(usegmt=True).encode("ascii"))
        await self._send(h11.Response(status_code=status, headers=[date, *headers]))

    async def send(self, data: bytes) -> None:
        """Send more of the answer's body."""
        # After a head that could not be read nobody knows which method it was.
        if data and self._method != "HEAD":
            await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        """End the answer."""
        await self._send(h11.EndOfMessage())

    async def refuse(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with an error, unless an answer has begun already, and hang up."""
        if not self.answered:
            length = (b"content-length", str(len(body)).encode())
            await self.start(status, [*headers, length, (b"connection", b"close")])
            await self.send(body)
            await self.finish()
        await self._hang_up()

    async def switch_protocols(self, headers: Headers) -> None:
        """Answer an upgrade with 101; from here on the stream does not speak HTTP."""
        await self._send(h11.InformationalResponse(status_code=101, headers=headers))

    async def _next_event(self, size: int = _READ) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self.stream.receive_some(size)))
        except h11.RemoteProtocolError as error:
            sentence = "this is not valid HTTP/1.1, or too long"
            raise Unreadable(error.error_status_hint, sentence) from None
        return event

    def _head_of(self, request: h11.Request) -> Head:
        self._method = request.method.decode("ascii")
        target = request.target
        path = target
        if target.startswith((b"http://", b"https://")):  # RFC 9112, section 3.2.2
            path = b"/" + target.partition(b"//")[2].partition(b"/")[2]
        if not path.startswith(b"/"):
            raise Unreadable(400, "the request's target is not a path")
        raw_path, _, query = path.partition(b"?")
        return Head(
            method=self._method,
            target=bytes(target),
            path=unquote(raw_path.decode("ascii")),
            raw_path=raw_path,
            query=query,
            version=request.http_version.decode("ascii"),
            headers=list(request.headers),
        )

    async def _send(self, event: h11.Event) -> None:
        data = memoryview(self._h11.send(event) or b"")
        for start in range(0, len(data), _WRITE):
            with trio.fail_after(self.limits.stall):
                await self.stream.send_all(data[start : start + _WRITE])

    async def _hang_up(self) -> None:
        """Say that nothing follows, and let the client read it.

        Closing while bytes come in resets the connection, and a reset overtakes the answer.
        """
        with trio.move_on_after(self.limits.goodbye):
            await self.stream.send_eof()
            while await self.stream.receive_some(_READ):
                pass
