"""Finding the session host of a home, and starting one when it is needed."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core import __version__
from loopsy_core.errors import Busy, Gone, LoopsyError
from loopsy_core.home import lock_file
from loopsy_core.kit import Watched, open_detached
from loopsy_core.links import Channel, Conversation, connect_local, open_conversation
from loopsy_core.wire import StopNode

from .hello import check_protocol, greet, not_known
from .ready import READY
from .records import Records

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import Home
    from loopsy_core.wire import HostInfo

__all__ = ["HostLink", "open_host_link"]

STARTING: Final = 15.0
"""Seconds that a host may take to become ready, or to let go of the home when it leaves."""
LEAVING: Final = 3.0
"""Seconds in which a host that is to make way for another has left."""
GLANCE: Final = 0.02
"""Seconds between two looks at its lock; the kernel tells nobody when a lock gets free."""

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
                channel = await self._await_former()
            if channel is None and start:
                await self._start()
                channel = await self._connect()
                if channel is None:
                    raise LoopsyError(
                        f"no session host could be started; see {self._home.host_log}"
                    )
            return channel

    async def wait_left(self) -> None:
        """Wait until a host that was told to leave has done so, though not for long."""
        async with self._starting:
            with trio.move_on_after(LEAVING):
                while self._held():  # noqa: ASYNC110
                    await trio.sleep(GLANCE)

    def started(self, pid: int | None) -> bool:
        """Whether this very node has started the host with this process id."""
        return pid in self._started

    async def _connect(self) -> Channel | None:
        try:
            return await connect_local(self._home.host_socket)
        except Gone:
            return None

    async def _await_former(self) -> Channel | None:
        """Wait while a host that does not answer holds the home: it leaves, or is starting."""
        with trio.move_on_after(STARTING):
            while self._held():
                await trio.sleep(GLANCE)
                if (channel := await self._connect()) is not None:
                    return channel
        return None

    def _held(self) -> bool:
        try:
            with lock_file(self._home.host_lock):
                return False
        except Busy:
            return True

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
        self._scope = trio.CancelScope()
        self._host: HostInfo
        self._connecting = trio.Lock()

    async def find_kept(self) -> Conversation | None:
        """Return the conversation with the host, None if there is none.

        One is started if a former one has left sessions behind. Raises `Misconfigured` when it is
        too new for us, and leaves it alone.
        """
        async with self._connecting:
            return await self._reach(start=self._starter.kept)

    async def need(self) -> Conversation:
        """Do the same, but start a host if there is none.

        A host of another version serves new sessions for as long as any runs there, so that all
        are found in one place; once none does it makes way for one of this version.
        """
        async with self._connecting:
            conversation = await self._reach(start=True)
            assert conversation is not None
            if self._host.version != __version__ and not self._starter.started(self._host.pid):
                self._host = await greet(conversation)  # how many run there by now
                if not self._host.sessions and await self._makes_way(conversation):
                    conversation = await self._reach(start=True)
                    assert conversation is not None
        self._starter.needed.set(self._starter.needed.value + 1)
        return conversation

    async def look(self) -> HostInfo | None:
        """Return what the host says of itself, None if there is none; also if it is too new."""
        async with self._connecting:
            try:
                return None if await self._connect(start=False) is None else self._host
            except Gone:  # it has just left
                return None

    def check(self, op: str) -> None:
        """Raise `BadRequest` when the host that was reached is too old to know `op`."""
        if self._host.operations and op not in self._host.operations:
            raise not_known(self._host.version, op)

    async def _reach(self, *, start: bool) -> Conversation | None:
        try:
            conversation = await self._connect(start=start)
        except Gone:  # we met a host in the very moment of its end; now it is not there any more
            conversation = await self._connect(start=start)
        if conversation is not None:
            try:
                check_protocol(self._host)
            except BaseException:
                self._hang_up()
                raise
        return conversation

    async def _connect(self, *, start: bool) -> Conversation | None:
        if self._conversation is None or self._conversation.closed:
            self._conversation = None
            channel = await self._starter.connect(start=start)
            if channel is None:
                return None
            self._scope = trio.CancelScope()
            conversation = await self._nursery.start(self._converse, channel, self._scope)
            try:
                self._host = await greet(conversation)
            except BaseException:
                self._hang_up()  # or an asker that drops its calls could pile connections up
                raise
            self._conversation = conversation
        return self._conversation

    async def _makes_way(self, conversation: Conversation) -> bool:
        """Tell the host to leave; False if something runs there all the same."""
        try:
            if (await conversation.ask(StopNode())).sessions:
                return False
        except Gone:
            pass  # it has left
        _log.info("a session host of version %r makes way", self._host.version)
        self._hang_up()
        await self._starter.wait_left()
        return True

    def _hang_up(self) -> None:
        self._scope.cancel()
        self._conversation = None

    async def _converse(
        self,
        channel: Channel,
        scope: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[Conversation],
    ) -> None:
        with scope:
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
