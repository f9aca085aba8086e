"""A pipe of messages within one process: for a part of the node that asks as any program does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import Gone

from .channel import Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["memory_channels"]


class _MemoryChannel(Channel):
    """One end; what the other side has not received yet, `send` waits for."""

    def __init__(
        self,
        sending: trio.MemorySendChannel[list[bytes]],
        receiving: trio.MemoryReceiveChannel[list[bytes]],
    ) -> None:
        self._sending = sending
        self._receiving = receiving

    async def send(self, messages: Sequence[bytes]) -> None:
        try:
            await self._sending.send(list(messages))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone("the connection was closed") from None

    async def receive(self) -> list[bytes]:
        try:
            return await self._receiving.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise Gone("the connection was closed") from None

    async def aclose(self, why: str = "bye") -> None:
        self._sending.close()
        self._receiving.close()
        await trio.lowlevel.checkpoint()


def memory_channels() -> tuple[Channel, Channel]:
    """Return both ends of a pipe."""
    there, from_near = trio.open_memory_channel[list[bytes]](0)
    back, from_far = trio.open_memory_channel[list[bytes]](0)
    return _MemoryChannel(there, from_far), _MemoryChannel(back, from_near)
