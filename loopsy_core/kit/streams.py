"""Reading a byte stream without asking in vain.

Trio's `receive_some` tries before it waits. Where messages come one at a time that is a system call
and an exception for nothing each time, so here a bare socket is awaited first. All of it raises
`trio.BrokenResourceError` and `trio.ClosedResourceError`, and is a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["receive_into", "receive_ready"]

T = TypeVar("T")


async def receive_ready(stream: trio.abc.ReceiveStream, most: int) -> bytes | bytearray:
    """Return 1 to `most` bytes that have come, b"" at the end."""
    if isinstance(stream, trio.SocketStream):
        return await _when_ready(stream, lambda descriptor: os.read(descriptor, most))
    return await stream.receive_some(most)


async def receive_into(stream: trio.abc.ReceiveStream, space: memoryview) -> int:
    """Do the same, but put them into `space`, and return how many they are."""
    if isinstance(stream, trio.SocketStream):
        return await _when_ready(stream, lambda descriptor: os.readv(descriptor, [space]))
    data = await stream.receive_some(len(space))
    space[: len(data)] = data
    return len(data)


async def _when_ready(stream: trio.SocketStream, read: Callable[[int], T]) -> T:
    socket = stream.socket
    while (descriptor := socket.fileno()) >= 0:
        await trio.lowlevel.wait_readable(descriptor)
        if socket.fileno() < 0:  # closed since it became readable
            break
        try:
            with contextlib.suppress(BlockingIOError):
                return read(descriptor)
        except OSError as error:
            raise trio.BrokenResourceError("the socket is broken") from error
    raise trio.ClosedResourceError("the socket is closed")
