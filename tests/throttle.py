"""A slow link: a TCP proxy that lets bytes through at a given rate, as a phone's radio does."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PIECE: Final = 8192
BUFFER: Final = 32_768
"""Bytes that the link itself holds; the rest waits where it came from."""


@asynccontextmanager
async def slow_link(port: int, bytes_per_second: float) -> AsyncGenerator[int]:
    """Listen on a port of loopback for callers of `port`; what they get comes slowly."""

    async def serve(near: trio.SocketStream) -> None:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        far_socket = trio.socket.socket()
        # Before it connects, for the size of the window is agreed on then.
        far_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        await far_socket.connect(("127.0.0.1", port))
        far = trio.SocketStream(far_socket)
        async with near, far:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_pass, near, far, float("inf"))
                    await _pass(far, near, bytes_per_second)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # one of the two hung up

    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        [listener] = await nursery.start(serving)
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _pass(source: trio.SocketStream, sink: trio.SocketStream, rate: float) -> None:
    free_at = trio.current_time()
    while data := await source.receive_some(PIECE):
        free_at = max(free_at, trio.current_time()) + len(data) / rate
        await trio.sleep_until(free_at)
        await sink.send_all(data)
