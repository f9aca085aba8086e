"""A line to a node: one conversation at a time, and another when that was lost."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import Gone
from loopsy_core.kit import one_error
from loopsy_core.links import open_conversation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from loopsy_core.links import Channel, Conversation

__all__ = ["Line", "open_line"]


class Line:
    """What `open_line` keeps."""

    def __init__(self, nursery: trio.Nursery, connect: Callable[[], Awaitable[Channel]]) -> None:
        """Hold conversations in `nursery`, each over a channel that `connect` makes."""
        self._nursery = nursery
        self._connect = connect
        self._opening = trio.Lock()
        self._conversation: Conversation | None = None
        self._holding = trio.CancelScope()
        self._left = False

    async def converse(self) -> Conversation:
        """Return a conversation that has not ended as far as is known; connects if need be.

        Raises what connecting raises, and `Gone` once the line was left.
        """
        if self._left:
            raise Gone("this connection was left")
        async with self._opening:  # whoever comes meanwhile gets the same one
            if self._conversation is None or self._conversation.closed:
                with one_error():
                    self._conversation = await self._nursery.start(self._hold)
            return self._conversation

    def leave(self) -> None:
        """Let the conversation say goodbye and end; there will be no other."""
        self._left = True
        self._holding.cancel()

    async def _hold(self, *, task_status: trio.TaskStatus[Conversation]) -> None:
        channel = await self._connect()
        async with open_conversation(channel, opener=True) as conversation:
            with trio.CancelScope() as self._holding:
                task_status.started(conversation)
                await conversation.wait_closed()


@asynccontextmanager
async def open_line(connect: Callable[[], Awaitable[Channel]]) -> AsyncGenerator[Line]:
    """Keep a line for as long as the block lasts; it connects when it is first needed."""
    async with trio.open_nursery() as nursery:
        line = Line(nursery, connect)
        try:
            yield line
        finally:
            line.leave()
