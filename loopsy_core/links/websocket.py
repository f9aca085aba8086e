"""Whole messages over a WebSocket, as a client: how nodes and machines reach a relay."""

from __future__ import annotations

import logging
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import SplitResult, urlsplit

import trio
import trio_websocket

from loopsy_core.errors import Busy, Gone, LoopsyError, ProtocolViolation, Refused
from loopsy_core.kit import one_error
from loopsy_core.wire import MAX_MESSAGE

from .channel import Channel
from .tcp import in_system_words

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

__all__ = ["WebSocketChannel", "open_websocket_channel"]

SUBPROTOCOL: Final = "loopsy.v1"
OPENING: Final = 10.0
"""Seconds for everything until the WebSocket is open."""
GOODBYE: Final = 1.0
"""Seconds in which the relay may answer our goodbye."""
LAST_WORD: Final = 0.1
PING_EVERY: Final = 15.0
PONG_WITHIN: Final = 10.0
MAX_TRANSPORT_MESSAGE: Final = MAX_MESSAGE + 1024
"""A sealed message in its envelope."""

_log = logging.getLogger(__name__)

# trio-websocket logs every lost connection at warning or above; we raise, and say it once.
logging.getLogger("trio-websocket").setLevel(logging.CRITICAL)


class WebSocketChannel(Channel):
    """Binary messages over an open WebSocket."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        """Take over `socket`."""
        self._socket = socket

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send each of `messages`."""
        try:
            for message in messages:
                await self._socket.send_message(message)
        except trio_websocket.ConnectionClosed as error:
            raise _closed(error) from None

    async def receive(self) -> list[bytes]:
        """Return the next message; raises what the relay's close code means at the end."""
        try:
            message = await self._socket.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise _closed(error) from None
        if isinstance(message, str):
            raise ProtocolViolation("text came where sealed bytes were due")
        return [message]

    async def keep_alive(self) -> None:
        """Ping for ever; raise `Gone` when a pong stays away."""
        while True:
            await trio.sleep(PING_EVERY)
            try:
                with trio.fail_after(PONG_WITHIN):
                    await self._socket.ping()
            except trio.TooSlowError:
                raise Gone("the relay does not answer any more", why="relay") from None
            except trio_websocket.ConnectionClosed as error:
                raise _closed(error) from None

    async def aclose(self, why: str = "bye") -> None:
        """Close with a word, within a bounded time."""
        with trio.move_on_after(GOODBYE):
            await self._socket.aclose(1000, why)


@asynccontextmanager
async def open_websocket_channel(
    url: str, path: str, bearer: str
) -> AsyncGenerator[WebSocketChannel]:
    """Connect to `path` of the relay at `url` (http or https), by the secret `bearer`.

    Raises `Refused` when the relay does not accept the bearer, `Gone` when it cannot be reached
    or does not answer within 10 s; the block's own errors pass through as they are.
    """
    parts = urlsplit(url)
    with one_error():
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            reading = _Reading(nursery, url)
            try:
                with trio.fail_after(OPENING):
                    # Ours to close: trio-websocket leaves it open when the server closed first.
                    # By force, for a checkpoint here would put Cancelled in an error's place.
                    stream = await _connect(parts)
                    stack.push_async_callback(trio.aclose_forcefully, stream)
                    if isinstance(stream, trio.SSLStream):
                        await stream.do_handshake()  # later, its failing would pass for slowness
                    socket = await trio_websocket.wrap_client_stream(
                        cast("trio.Nursery", reading),
                        stream,
                        parts.netloc,
                        parts.path + path,
                        subprotocols=(SUBPROTOCOL, f"loopsy.bearer.{bearer}"),
                        message_queue_size=32,
                        max_message_size=MAX_TRANSPORT_MESSAGE,
                        receive_buffer_size=131_072,
                    )
            except (
                trio_websocket.HandshakeError,
                trio_websocket.ConnectionClosed,
                trio.TooSlowError,
                trio.BrokenResourceError,
                OSError,
            ) as error:
                raise _unreachable(url, error) from None
            reading.opened = True
            channel = WebSocketChannel(socket)
            try:
                yield channel
            finally:
                # If we are being cancelled, so is the task that would hear the relay's goodbye:
                # there is just time to say ours.
                with trio.move_on_after(LAST_WORD, shield=True):
                    await channel.aclose()
                nursery.cancel_scope.cancel()


class _Reading:
    """Runs trio-websocket's reader in a nursery, with the errors that it raises there as ours.

    They are news only while the WebSocket opens (a refusal, above all). Later whoever receives is
    told anyway, and a ping that meets our goodbye makes the reader fail for no good reason. Of
    whatever kind: beside its own errors it raises those of wsproto and of h11.
    """

    def __init__(self, nursery: trio.Nursery, url: str) -> None:
        self._nursery = nursery
        self._url = url
        self.opened = False

    def start_soon(self, read: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._read, read)

    async def _read(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except Exception as error:
            if not self.opened:
                raise _unreachable(self._url, error) from None
            _log.debug("the reader of %s failed: %r", self._url, error)


async def _connect(
    parts: SplitResult,
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """Open the TCP or TLS connection that an http or https address asks for."""
    host = parts.hostname or ""
    if parts.scheme == "https":
        return await trio.open_ssl_over_tcp_stream(host, parts.port or 443)
    return await trio.open_tcp_stream(host, parts.port or 80)


def _unreachable(url: str, error: Exception) -> LoopsyError:
    if isinstance(error, trio_websocket.ConnectionRejected):
        if error.status_code in (401, 403):
            return Refused(f"the relay {url} does not know us any more", account="void", why="void")
        if error.status_code == 429:
            return Busy(f"the relay {url} asks us to wait")
        return Gone(
            f"{url} does not answer like a Loopsy relay (HTTP {error.status_code})", why="relay"
        )
    if isinstance(error, trio.BrokenResourceError):
        return Gone(f"the relay {url} cannot be reached securely: {error.__cause__}", why="relay")
    if isinstance(error, ssl.SSLError):  # whose numbers are its own
        return Gone(f"the relay {url} cannot be reached securely: {error.strerror}", why="relay")
    if isinstance(error, OSError):
        return Gone(f"the relay {url} cannot be reached: {in_system_words(error)}", why="relay")
    if isinstance(error, (trio.TooSlowError, trio_websocket.ConnectionTimeout)):
        return Gone(f"the relay {url} does not answer", why="relay")
    return Gone(f"{url} does not answer like a Loopsy relay", why="relay")


def _closed(error: trio_websocket.ConnectionClosed) -> LoopsyError:
    """Put a close code of PROTOCOL.md section 6 into one of our errors."""
    code = error.reason.code if error.reason is not None else 1006
    why = (error.reason.reason if error.reason is not None else None) or ""
    if code == 4401:
        return Refused("the relay does not know us any more", account="void", why="void")
    if code == 4410 and why.startswith(("wrong_code", "offer_gone", "unknown_key", "revoked")):
        return Refused(why)
    if code in (4404, 4411):
        return Gone("the machine is not connected to its relay", why="away")
    if code == 4429:
        return Busy("the relay asks us to wait")
    return Gone(why or "the connection to the relay was lost", why="relay")
