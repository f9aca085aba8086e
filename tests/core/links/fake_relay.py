"""A relay on loopback that does whatever a test says, as a proper WebSocket or byte by byte."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
import trio_websocket

from loopsy_core.kit import one_error
from loopsy_core.wire import MAX_MESSAGE, Envelope, decode_envelope, encode_envelope

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from trio_websocket import WebSocketConnection, WebSocketRequest

PATIENCE = 20.0  # seconds for anything here, on a busy machine

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: loopsy.v1\r\n\r\n"
)


@asynccontextmanager
async def open_fake_relay(
    serve: Callable[[WebSocketRequest], Awaitable[None]],
) -> AsyncGenerator[str]:
    """Serve WebSockets; yields the relay's address."""

    async def serve_one(request: WebSocketRequest) -> None:
        with suppress(trio_websocket.ConnectionClosed):  # when the test's side has left
            await serve(request)

    with one_error(), trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                partial(
                    trio_websocket.serve_websocket,
                    serve_one,
                    "127.0.0.1",
                    0,
                    None,
                    max_message_size=2 * MAX_MESSAGE,
                    message_queue_size=1000,  # what a test does not read must not stop the rest
                )
            )
            yield f"http://127.0.0.1:{server.port}"
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_raw_relay(
    serve: Callable[[trio.SocketStream], Awaitable[None]],
) -> AsyncGenerator[str]:
    """Serve TCP connections that are no WebSockets until a test makes them so."""

    async def serve_one(stream: trio.SocketStream) -> None:
        # When the test's side has left.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await serve(stream)

    with one_error(), trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_tcp, serve_one, 0, host="127.0.0.1")
            )
            port = listener.socket.getsockname()[1]
            yield f"http://127.0.0.1:{port}"
            nursery.cancel_scope.cancel()


async def accept_by_hand(stream: trio.SocketStream) -> None:
    """Do what a server does until a WebSocket is open (RFC 6455, section 4.2.2)."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += await stream.receive_some()
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert found
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    await stream.send_all(ACCEPTED % base64.b64encode(digest))


class RelayEnd:
    """The relay's end of a node's link: envelopes by hand."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def says(self, *envelopes: Envelope) -> None:
        for envelope in envelopes:
            await self._socket.send_message(encode_envelope(envelope))

    async def says_raw(self, message: bytes | str) -> None:
        await self._socket.send_message(message)

    async def hears(self) -> Envelope:
        message = await self._socket.get_message()
        assert isinstance(message, bytes)
        return decode_envelope(message)

    async def hangs_up(self, code: int, why: str = "") -> None:
        await self._socket.aclose(code, why)
