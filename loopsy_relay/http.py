"""HTTP/1.1 with one client: h11 on a trio stream, and an ASGI app that answers.

Not hypercorn, for 0.18 on trio is not made for strangers: a request with a byte above 127 in its
`Connection` header, an HTTP/2 request with such a path, or a WebSocket request with a body each
end the whole server with an exception; a client that does not read cannot be timed out, because
sends are shielded; and a message that is too long is refused, but buffered on and on. Here every
wait has an end, and whatever happens stays with the one connection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

import attrs
import h11
import msgspec
import trio

from loopsy_core.kit import contained

from .address import client_address

if TYPE_CHECKING:
    from .config import RelayConfig

__all__ = ["App", "Head", "Http", "error_body"]

# Bytes of a request's line and headers, and of its body. Ours need a few hundred.
_LONGEST_HEAD: Final = 16 * 1024
LONGEST_BODY: Final = 16 * 1024

# Seconds for a request's head to be complete, idling before it included, and for its body.
_PATIENCE: Final = 15.0

_READ: Final = 16 * 1024
_WRITE: Final = 65536  # bytes that must move within the stall limit, however long the whole is

_Message: TypeAlias = MutableMapping[str, object]
App: TypeAlias = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]
_Headers: TypeAlias = list[tuple[bytes, bytes]]

_log = logging.getLogger("loopsy_relay")


def error_body(code: str, message: str) -> bytes:
    """Return the JSON that every refusal of this relay carries."""
    return msgspec.json.encode({"error": {"code": code, "message": message}})


@attrs.frozen
class Head:
    """What a request says before its body."""

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: _Headers = attrs.field(repr=False)  # with secrets in them
    peer: tuple[str, int]
    address: str
    """Where it really comes from, which behind a proxy is not the peer."""

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
    """The HTTP half of one connection: until it ends, or becomes a WebSocket."""

    def __init__(self, stream: trio.SocketStream, app: App, config: RelayConfig) -> None:
        """Serve `app` on `stream`, which the caller closes."""
        peer = stream.socket.getpeername()
        self.stream = stream
        self._app = app
        self._config = config
        self._peer = (str(peer[0]), int(peer[1]))
        self._method = ""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)

    @property
    def trailing_data(self) -> bytes:
        """What the client sent behind its last request."""
        return self._h11.trailing_data[0]

    async def next_upgrade(self) -> Head | None:
        """Answer requests until one wants to leave HTTP; return that one, unanswered.

        Returns None when the connection is over. Raises `trio.BrokenResourceError` or
        `trio.TooSlowError` when the client is gone, or takes no answer.
        """
        while True:
            self._method = ""
            try:
                with trio.move_on_after(_PATIENCE) as patience:
                    request = await self._next_event()
                if patience.cancelled_caught or not isinstance(request, h11.Request):
                    return None
                head = self._head_of(request)
                if head is None:
                    await self.refuse(400, "bad_request", "the request's target is not a path")
                    return None
                if head.wants_websocket:
                    if isinstance(self._h11.next_event(), h11.EndOfMessage):
                        return head
                    await self.refuse(400, "bad_request", "a WebSocket request has no body")
                    return None
                body = await self._read_body(head)
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint
                await self.refuse(status, "bad_request", "this is not valid HTTP/1.1, or too long")
                return None
            if body is None:
                return None
            await self._answer(head, body)
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return None
            self._h11.start_next_cycle()

    async def refuse(
        self, status: int, code: str, message: str, headers: _Headers | None = None
    ) -> None:
        """Answer with an error, and hang up."""
        body = error_body(code, message)
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            response = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"connection", b"close"),
                *(headers or []),
            ]
            await self._send(h11.Response(status_code=status, headers=[_date(), *response]))
            # After a head that could not be read nobody knows which method it was.
            if self._method != "HEAD":
                await self._send(h11.Data(data=body))
            await self._send(h11.EndOfMessage())
        await self._hang_up()

    async def switch_protocols(self, headers: _Headers) -> None:
        """Answer an upgrade with 101; from here on the stream does not speak HTTP."""
        await self._send(h11.InformationalResponse(status_code=101, headers=headers))

    async def _next_event(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(bytes(await self.stream.receive_some(_READ)))
        return event

    def _head_of(self, request: h11.Request) -> Head | None:
        """Return the head, or None when its target is neither a path nor a URL."""
        self._method = request.method.decode("ascii")
        target = request.target
        if target.startswith((b"http://", b"https://")):  # RFC 9112, section 3.2.2
            target = b"/" + target.partition(b"//")[2].partition(b"/")[2]
        if not target.startswith(b"/"):
            return None
        raw_path, _, query = target.partition(b"?")
        head = Head(
            method=self._method,
            path=unquote(raw_path.decode("ascii")),
            raw_path=raw_path,
            query=query,
            version=request.http_version.decode("ascii"),
            headers=list(request.headers),
            peer=self._peer,
            address=self._peer[0],
        )
        address = client_address(
            self._peer[0], head.get(b"x-forwarded-for"), trust_proxy=self._config.trust_proxy
        )
        return attrs.evolve(head, address=address)

    async def _read_body(self, head: Head) -> bytes | None:
        """Return the body; or refuse one that is too long or does not come, and return None."""
        announced = head.get(b"content-length")  # h11 has seen to it that it is a number
        body = bytearray()
        too_long = announced is not None and int(announced) > LONGEST_BODY
        with trio.move_on_after(_PATIENCE) as patience:
            if self._h11.they_are_waiting_for_100_continue and not too_long:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            while not too_long:
                event = await self._next_event()
                if isinstance(event, h11.Data):
                    body += event.data
                    too_long = len(body) > LONGEST_BODY
                elif isinstance(event, h11.EndOfMessage):
                    return bytes(body)
                else:
                    return None
        if patience.cancelled_caught:
            await self.refuse(408, "bad_request", "the body of the request did not come")
        else:
            sentence = f"the body of a request may be {LONGEST_BODY} bytes at most"
            await self.refuse(413, "bad_request", sentence)
        return None

    async def _answer(self, head: Head, body: bytes) -> None:
        """Have the app answer. An error that it lets out is ours, and costs this request only."""
        scope: _Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.1"},
            "http_version": head.version,
            "method": head.method,
            "scheme": "http",
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
            "client": (head.address, head.peer[1]),
            "server": None,
            "state": {},
            "extensions": {},
        }
        request: list[_Message] = [{"type": "http.request", "body": body, "more_body": False}]
        answer: list[_Message] = []

        async def receive() -> _Message:
            if not request:
                await trio.sleep_forever()  # the app is not told when the client leaves
            return request.pop()

        async def send(message: _Message) -> None:
            # Sent once it is complete: what this app answers is in memory already, and so a
            # client that leaves or stalls is not the app's trouble.
            answer.append(message)

        with contained(_log, f"{head.method} {head.path[:100]!r}"):
            await self._app(scope, receive, send)
        if not answer or answer[-1].get("more_body"):
            await self.refuse(500, "internal", "the relay failed at this; its log says more")
            return
        start, *pieces = answer
        await self._send(_response(start))
        for piece in pieces:
            data = piece.get("body")
            if isinstance(data, bytes) and data and head.method != "HEAD":
                await self._send(h11.Data(data=data))
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        """Send what `event` becomes. Raises `trio.TooSlowError` when nothing moves for long."""
        data = memoryview(self._h11.send(event) or b"")
        for start in range(0, len(data), _WRITE):
            with trio.fail_after(self._config.stall_seconds):
                await self.stream.send_all(data[start : start + _WRITE])

    async def _hang_up(self) -> None:
        """Say that nothing follows, and let the client read it.

        Closing while bytes come in resets the connection, and a reset overtakes the answer.
        """
        with trio.move_on_after(self._config.goodbye_seconds):
            await self.stream.send_eof()
            while await self.stream.receive_some(_READ):
                pass


def _response(start: _Message) -> h11.Response:
    status, headers = start["status"], start["headers"]
    if not isinstance(status, int) or not isinstance(headers, list):
        raise TypeError("the app started a response without status and headers")
    return h11.Response(status_code=status, headers=[_date(), *headers])


def _date() -> tuple[bytes, bytes]:
    return (b"date", formatdate(usegmt=True).encode("ascii"))
