"""The session host: the process that owns every terminal of a home, and outlives the node.

Started by the node when a session is first needed (`python -m loopsy_core.sessions HOME`).
It speaks the `sessions.*` operations on its unix socket and nothing else; grants are the
node's business. It leaves when nothing runs in it and nobody has been there for a while.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core import __version__
from loopsy_core.errors import LoopsyError
from loopsy_core.home import Home, lock_file
from loopsy_core.kit import one_error, raise_limit
from loopsy_core.links import Asked, Channel, open_conversation, serve_local
from loopsy_core.wire import (
    AttachSession,
    EndSession,
    HostHello,
    ListSessions,
    RemoveSession,
    RenameSession,
    ResizeSession,
    ShowHistory,
    ShowScreen,
    StartSession,
    StopNode,
    StopReply,
    WatchSessions,
    decode,
)

from .hello import host_info, not_known
from .ready import READY
from .registry import Sessions, open_sessions

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["main", "serve_host"]

IDLE: Final = 60.0
"""Seconds without a running program and without a caller after which the host leaves."""

_log = logging.getLogger("loopsy.host")


class Host:
    """Answers the calls about sessions."""

    def __init__(self, sessions: Sessions) -> None:
        """Answer for `sessions`."""
        self._sessions = sessions
        self._callers = 0
        self._last_busy = trio.current_time()
        self._may_leave = trio.Event()

    async def serve(self, channel: Channel) -> None:
        """Answer one caller until it leaves."""
        told_to_leave = False

        async def answer(asked: Asked) -> object:
            nonlocal told_to_leave
            told_to_leave |= asked.op == StopNode.op
            return await self.answer(asked)

        self._callers += 1
        try:
            async with open_conversation(channel, opener=False, answer=answer) as calls:
                await calls.wait_closed()
        finally:
            self._callers -= 1
            self._last_busy = trio.current_time()
            # Whoever said so has the answer by now; others find the next host, and all that
            # had ended here.
            if told_to_leave and not self._sessions.alive:
                self._may_leave.set()

    async def answer(self, asked: Asked) -> object:
        """Act on one call."""
        sessions = self._sessions
        match asked.op:
            case ListSessions.op:
                return sessions.list()
            case WatchSessions.op:
                return await sessions.watch(asked)
            case StartSession.op:
                return await sessions.start(decode(asked.params, StartSession))
            case AttachSession.op:
                attach = decode(asked.params, AttachSession)
                return await sessions.find(attach.session).attach(asked, attach)
            case ShowScreen.op:
                shown = sessions.find(decode(asked.params, ShowScreen).session)
                return await shown.screen.text()
            case ShowHistory.op:
                history = decode(asked.params, ShowHistory)
                session = sessions.find(history.session)
                return await session.screen.history(asked, ansi=history.ansi, lines=history.lines)
            case ResizeSession.op:
                resize = decode(asked.params, ResizeSession)
                session = sessions.find(resize.session)
                session.resize(resize.cols, resize.rows)
                return session.info
            case RenameSession.op:
                rename = decode(asked.params, RenameSession)
                return sessions.rename(rename.session, rename.name)
            case EndSession.op:
                session = sessions.find(decode(asked.params, EndSession).session)
                await session.end()
                return session.info
            case RemoveSession.op:
                return await sessions.remove(decode(asked.params, RemoveSession).session)
            case StopNode.op:
                return StopReply(sessions.alive)  # and it leaves when whoever said so has left
            case HostHello.op:
                return host_info(sessions.alive)
            case _:
                raise not_known(__version__, asked.op)

    async def wait_idle(self) -> None:
        """Return once nothing has run and nobody has called for a while, or when told to leave."""
        while True:
            if self._callers or self._sessions.alive:
                self._last_busy = trio.current_time()
            left = self._last_busy + IDLE - trio.current_time()
            if left <= 0:
                return
            with trio.move_on_after(left):
                await self._may_leave.wait()
                return


async def serve_host(
    home: Home, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Be the session host of `home` until idle or cancelled; then hang up on all programs.

    Raises `Busy` when the home has a host already.
    """
    with lock_file(home.host_lock):
        async with open_sessions(_log, home.sessions) as sessions, trio.open_nursery() as nursery:
            host = Host(sessions)
            await nursery.start(serve_local, home.host_socket, host.serve)
            task_status.started()
            await host.wait_idle()
            nursery.cancel_scope.cancel()


def main(root: Path) -> None:
    """Run the host process of the home at `root`; standard output tells when it is ready."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s host[%(process)d] %(levelname)s %(message)s"
    )
    home = Home(root)
    raise_limit()  # three descriptors a session, and one a caller
    os.chdir("/")  # the host must not keep any directory busy
    try:
        with one_error():
            trio.run(_main, home)
    except LoopsyError as error:
        _log.error("%s", error)
        sys.exit(1)


async def _main(home: Home) -> None:
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(_leave_on_signal, scope)
            async with trio.open_nursery() as serving:
                await serving.start(serve_host, home)
                _log.info("ready")
                with suppress(BrokenPipeError):  # whoever started us has given up
                    os.write(1, READY)
                # Nobody reads on: what anybody prints from here on belongs into the log.
                os.dup2(2, 1)
            _log.info("leaving: nothing runs here")
        nursery.cancel_scope.cancel()


async def _leave_on_signal(scope: trio.CancelScope) -> None:
    """Cancel `scope`. Signals are heeded to the end: a second one costs nothing being written."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if not scope.cancel_called:
                _log.info("leaving: %s", signal.Signals(number).name)
            scope.cancel()
