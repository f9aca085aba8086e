"""Telling an agent that a resource which it subscribed to has changed.

Nothing is watched before the first subscription. The protocol of 2025 subscribes to each resource
by itself, that of 2026 listens to a stream; both are told from here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourcesListChanged,
    ResourceUpdated,
)

from loopsy_core.client import ContextEntry
from loopsy_core.errors import LoopsyError
from loopsy_core.wire import ContextCurrent, ContextDeleted

from .resources import CONTEXT, PEERS, STATUS, context_uri

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mcp.server.session import ServerSession

    from .desk import Desk

__all__ = ["Changes"]

BETWEEN_TRIES: Final = 1.0
"""Seconds between two tries to watch a node that is away."""


class Changes:
    """The subscriptions of one agent, and the tasks that watch for it."""

    def __init__(self, desk: Desk) -> None:
        """Watch by `desk` once somebody wants it."""
        self._desk = desk
        self._bus = InMemorySubscriptionBus()
        self._watching = False
        self._wanted: set[str] = set()
        self._session: ServerSession | None = None
        self._revisions: dict[str, int] | None = None
        """Of each key that there is; None before they are known."""
        self.listen = ListenHandler(self._bus)
        """Answers `subscriptions/listen`; call `watch` first."""

    def subscribe(self, uri: str, session: ServerSession) -> None:
        """Tell `session` from now on when `uri` changes."""
        self._wanted.add(uri)
        self._session = session
        self.watch()

    def unsubscribe(self, uri: str) -> None:
        """Do not tell of `uri` any more."""
        self._wanted.discard(uri)

    def watch(self) -> None:
        """Begin to watch, unless that has begun."""
        if not self._watching:
            self._watching = True
            self._desk.nursery.start_soon(self._keep, self._watch_events)
            self._desk.nursery.start_soon(self._keep, self._watch_context)

    async def _keep(self, watch: Callable[[], Awaitable[None]]) -> None:
        while True:
            with suppress(LoopsyError):
                await watch()
            await trio.sleep(BETWEEN_TRIES)

    async def _watch_events(self) -> None:
        async with self._desk.client.watch_events() as events:
            await self._updated(PEERS, STATUS)  # it may have changed while nobody watched
            async for _ in events:
                await self._updated(PEERS, STATUS)

    async def _watch_context(self) -> None:
        before, now = self._revisions, dict[str, int]()
        async with self._desk.client.context.watch() as changes:
            async for change in changes:
                if isinstance(change, ContextCurrent):
                    self._revisions = now
                    await self._tell_what_came_between(before, now)
                elif isinstance(change, ContextEntry):
                    known = change.key in now
                    now[change.key] = change.info.revision
                    if self._revisions is now:
                        await self._updated(CONTEXT, context_uri(change.key))
                        if not known:
                            await self._listed()
                elif isinstance(change, ContextDeleted):
                    now.pop(change.key, None)
                    await self._updated(CONTEXT, context_uri(change.key))
                    await self._listed()

    async def _tell_what_came_between(
        self, before: Mapping[str, int] | None, now: Mapping[str, int]
    ) -> None:
        """Tell of what changed while the node was away."""
        if before is None or before == now:
            return
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        await self._updated(CONTEXT, *map(context_uri, changed))
        if before.keys() != now.keys():
            await self._listed()

    async def _updated(self, *uris: str) -> None:
        for uri in uris:
            await self._bus.publish(ResourceUpdated(uri=uri))
            if self._session is not None and uri in self._wanted:
                await self._session.send_resource_updated(uri)

    async def _listed(self) -> None:
        await self._bus.publish(ResourcesListChanged())
        if self._session is not None:
            await self._session.send_resource_list_changed()
