"""Finding the session host of a home, and starting one when it is needed."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.kit import Watched, open_detached
from loopsy_core.links import Channel, Conversation, connect_local, open_conversation

from .ready import READY
from .records import Records

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import Home

__all__ = ["HostLink", "open_host_link"]

STARTING: Final = 15.0
"""Seconds that a host may take to become ready."""

_log = logging.getLogger(__name__)


class HostStarter:
    """Knows where the session host of a home is, and how to start it; one for a node."""

    def __init__(self, home: Home) -> None:
        """Look for the host of `home`; nothing is started before it is needed."""
        self._home = home
        self._starting = trio.Lock()
        self._started: list[int] = []
        self.needed = Watched(0)
        """How often a host was needed; whoever watches this learns that there is one."""

    @property
    def kept(self) -> bool:
        """Whether a host, this one or a former, has sessions."""
        return Records(self._home.sessions).any()

    async def connect(self, *, start: bool) -> Channel | None:
        """Connect to the host, starting one if there is none and `start` says so.

        Raises `LoopsyError` when it does not start; its log says why.
        """
        async with self._starting:
            self._reap()
            channel = await self._connect()
            if channel is None and start:
                await self._start()
                channel = await self._connect()
                if channel is None:
                    raise LoopsyError(
                        f"no session host could be started; see {self._home.host_log}"
                    )
            return channel

    async def _connect(self) -> Channel | None:
        try:
            return await connect_local(self._home.host_socket)
        except Gone:
            return None

    async def _start(self) -> None:
        said = b""
        # -P: the node may stand in any folder, and nothing there is to be imported.
        arguments = ["-P", "-m", "loopsy_core.sessions", str(self._home.root)]
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


class HostLink:
    """One asker's own connection to the session host; `open_host_link` makes it.

    Each asker has its own, so that nobody can use up another's calls or credit there.
    """

    def __init__(self, starter: HostStarter, nursery: trio.Nursery) -> None:
        """Connect through `starter` when first needed, and again when the host has changed."""
        self._starter = starter
        self._nursery = nursery
        self._conversation: Conversation | None = None
        self._connecting = trio.Lock()

    async def find(self) -> Conversation | None:
        """Return the conversation with the host, None if there is no host."""
        return await self._reach(start=False)

    async def find_kept(self) -> Conversation | None:
        """Do the same, but start a host if a former one has left sessions behind."""
        return await self._reach(start=self._starter.kept)

    async def need(self) -> Conversation:
        """Return the conversation with the host, starting one if there is none."""
        conversation = await self._reach(start=True)
        assert conversation is not None
        self._starter.needed.set(self._starter.needed.value + 1)
        return conversation

    async def _reach(self, *, start: bool) -> Conversation | None:
        async with self._connecting:
            if self._conversation is None or self._conversation.closed:
                channel = await self._starter.connect(start=start)
                if channel is None:
                    return None
                self._conversation = await self._nursery.start(self._converse, channel)
            return self._conversation

    async def _converse(
        self, channel: Channel, *, task_status: trio.TaskStatus[Conversation]
    ) -> None:
        async with open_conversation(channel, opener=True) as conversation:
            task_status.started(conversation)
            error = await conversation.wait_closed()
            _log.info("the session host is gone: %s", error)


@asynccontextmanager
async def open_host_link(starter: HostStarter) -> AsyncGenerator[HostLink]:
    """Reach the session host for as long as the block lasts; the host lives on."""
    async with trio.open_nursery() as nursery:
        yield HostLink(starter, nursery)
        nursery.cancel_scope.cancel()
