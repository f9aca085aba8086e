"""Finding the session host of a home, and starting one when it is needed."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.kit import open_detached
from loopsy_core.links import Channel, Conversation, connect_local, open_conversation

from .ready import READY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import Home

__all__ = ["HostLink", "open_host_link"]

STARTING: Final = 15.0
"""Seconds that a host may take to become ready."""

_log = logging.getLogger(__name__)


class HostLink:
    """The node's way to the session host; `open_host_link` makes it."""

    def __init__(self, home: Home, nursery: trio.Nursery) -> None:
        """Look for the host of `home`; nothing is started before it is needed."""
        self._home = home
        self._nursery = nursery
        self._conversation: Conversation | None = None
        self._connecting = trio.Lock()
        self._started: list[int] = []

    async def find(self) -> Conversation | None:
        """Return the conversation with the host, None if there is no host."""
        async with self._connecting:
            return await self._find()

    async def need(self) -> Conversation:
        """Return the conversation with the host, starting one if there is none.

        Raises `LoopsyError` when it does not start; its log says why.
        """
        async with self._connecting:
            conversation = await self._find()
            if conversation is None:
                self._reap()
                await self._start()
                conversation = await self._find()
            if conversation is None:
                raise LoopsyError(f"the session host left at once; see {self._home.host_log}")
            return conversation

    async def _find(self) -> Conversation | None:
        if self._conversation is not None and not self._conversation.closed:
            return self._conversation
        try:
            channel = await connect_local(self._home.host_socket)
        except Gone:
            return None
        self._conversation = await self._nursery.start(self._converse, channel)
        return self._conversation

    async def _converse(
        self, channel: Channel, *, task_status: trio.TaskStatus[Conversation]
    ) -> None:
        async with open_conversation(channel, opener=True) as conversation:
            task_status.started(conversation)
            error = await conversation.wait_closed()
            _log.warning("the session host is gone: %s", error)
        self._reap()

    async def _start(self) -> None:
        said = b""
        arguments = ["-m", "loopsy_core.sessions", str(self._home.root)]
        async with open_detached(arguments, self._home.host_log) as host:
            self._started.append(host.pid)
            with trio.move_on_after(STARTING):
                said = await host.first_line()
        # A host that another node started in the same moment makes ours leave: that is well.
        if said != READY:
            _log.warning("a session host did not become ready; see %s", self._home.host_log)

    def _reap(self) -> None:
        """Let the system forget hosts that we started and that have ended."""
        for pid in list(self._started):
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                self._started.remove(pid)


@asynccontextmanager
async def open_host_link(home: Home) -> AsyncGenerator[HostLink]:
    """Reach the session host of `home` for as long as the block lasts; the host lives on."""
    async with trio.open_nursery() as nursery:
        yield HostLink(home, nursery)
        nursery.cancel_scope.cancel()
