"""Reading a byte stream without asking in vain."""

from __future__ import annotations

import contextlib
import os

import trio

__all__ = ["receive_ready"]


async def receive_ready(stream: trio.abc.ReceiveStream, most: int) -> bytes | bytearray:
    """Return 1 to `most` bytes that have come, b"" at the end; a checkpoint.

    Like `receive_some`, which tries before it waits. Where messages come one at a time that is a
    system call and an exception for nothing each time, so a bare socket is awaited first.

    Raises `trio.BrokenResourceError` and `trio.ClosedResourceError`.
    """
    if not isinstance(stream, trio.SocketStream):
        return await stream.receive_some(most)
    socket = stream.socket
    while (descriptor := socket.fileno()) >= 0:
        await trio.lowlevel.wait_readable(descriptor)
        if socket.fileno() < 0:  # closed since it became readable
            break
        try:
            with contextlib.suppress(BlockingIOError):
                return os.read(descriptor, most)
        except OSError as error:
            raise trio.BrokenResourceError("the socket is broken") from error
    raise trio.ClosedResourceError("the socket is closed")
