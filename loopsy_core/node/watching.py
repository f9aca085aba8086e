"""Watching the session host: what happens to sessions is published; one that dies is missed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, LoopsyError, Misconfigured
from loopsy_core.kit import one_error
from loopsy_core.links import open_conversation
from loopsy_core.sessions import check_protocol, greet
from loopsy_core.wire import Item, SessionEnded, SessionList, SessionStarted, WatchSessions, decode

if TYPE_CHECKING:
    from loopsy_core.kit import Broadcast
    from loopsy_core.links import Call
    from loopsy_core.sessions import HostStarter
    from loopsy_core.wire import Event, SessionInfo

__all__ = ["watch_sessions"]

PAUSE: Final = 1.0
"""Seconds before a host that could not be started is tried again."""

QUIET: Final = 10.0
"""Seconds for which a host is watched in which nothing runs: what was asked may be about to."""

UNKNOWN: Final = "its session host ended before it, and had not kept it on disk"

_log = logging.getLogger("loopsy.sessions")


async def watch_sessions(hosts: HostStarter, events: Broadcast[Event]) -> None:
    """Watch the host for ever, whenever there is one in which something runs.

    One that dies is followed by another, which knows what the sessions showed last.
    """
    watch = _Watch(events)
    async for _ in hosts.needed.changes():
        while True:
            try:
                channel = await hosts.connect(start=watch.running > 0)
                if channel is None:
                    break
                with one_error():
                    async with open_conversation(channel, opener=True) as conversation:
                        check_protocol(await greet(conversation))
                        async with conversation.open_call(WatchSessions()) as call:
                            await _follow(call, watch)
                    break
            except Gone as error:
                _log.info("the session host is gone: %s", error)
                if not watch.running:
                    break
            except Misconfigured as error:
                _log.warning("%s", error)
                break
            except LoopsyError as error:
                _log.warning("%s", error)
                await trio.sleep(PAUSE)


async def _follow(call: Call, watch: _Watch) -> None:
    """Follow what a host tells until nothing has run there for a while."""
    gone: str | None = UNKNOWN
    while True:
        piece = None
        # A host that is watched for ever could not leave when it is idle.
        with trio.move_on_after(float("inf") if watch.running else QUIET):
            piece = await call.receive()
        if piece is None:
            return
        if isinstance(piece, Item):
            watch.look(decode(piece.value, SessionList).sessions, gone)
            gone = None  # from now on it is this host that has ended and removed it


class _Watch:
    """What was seen last."""

    def __init__(self, events: Broadcast[Event]) -> None:
        self._events = events
        self._seen: dict[str, SessionInfo] = {}

    @property
    def running(self) -> int:
        """How many sessions ran when we looked last."""
        return sum(info.alive for info in self._seen.values())

    def look(self, sessions: list[SessionInfo], gone: str | None) -> None:
        """Compare with what was there before, and publish what has happened.

        `gone` says why a session that ran is not there any more.
        """
        now = {info.id: info for info in sessions}
        for info in sessions:
            before = self._seen.get(info.id)
            if before is None and info.alive:
                self._events.publish(SessionStarted(info.id, info.name, info.kind))
            if before is not None and before.alive and not info.alive:
                self._events.publish(SessionEnded(info.id, info.name, info.exit_code, info.lost))
        for info in self._seen.values():
            if info.alive and info.id not in now:
                self._events.publish(SessionEnded(info.id, info.name, None, gone))
        self._seen = now
