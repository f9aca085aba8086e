"""About the node itself: whether it is there, how it is, who it is, and what happens."""

from __future__ import annotations

import platform
from contextlib import asynccontextmanager
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec

from loopsy_core.wire import Event, Hello, ListJobs, ListPeers

from .camel import in_ms, shown, twin
from .route import Call, NoBody, NoQuery, Route
from .streaming import EVENTS, Shown, event_stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from .route import Stream

__all__ = ["ROUTES"]


class Health(msgspec.Struct, frozen=True, rename="camel"):
    """The node is there."""

    status: Literal["ok"]
    node_id: str
    uptime: int
    """Milliseconds."""
    version: str


class PeerCount(msgspec.Struct, frozen=True):
    """How many machines are paired."""

    total: int
    online: int
    offline: int


class JobCount(msgspec.Struct, frozen=True):
    """How many commands there are."""

    active: int
    """Those that run."""
    total: int
    """With those that ended a moment ago."""


class RelayLink(msgspec.Struct, frozen=True):
    """How the node stands with its relay."""

    url: str | None
    connected: bool
    problem: str | None


class NodeState(msgspec.Struct, frozen=True, rename="camel"):
    """How the node is."""

    node_id: str
    hostname: str
    """What the node is called."""
    platform: str
    version: str
    uptime: int
    """Milliseconds."""
    peers: PeerCount
    jobs: JobCount
    sessions: int
    """Those that run."""
    phones: int
    relay: RelayLink
    http_port: int | None
    port: int | None
    """Where it listens for other machines; null when it does not."""


class NodeIdentity(msgspec.Struct, frozen=True, rename="camel"):
    """Who the node is."""

    node_id: str
    """Its public key."""
    hostname: str
    platform: str
    version: str
    port: int | None
    """Of this API."""
    capabilities: list[str]


async def health(call: Call[NoBody, NoQuery]) -> Health:
    """Whether the node is there."""
    status = await call.here.status()
    return Health("ok", status.node_id, in_ms(status.uptime), status.version)


async def status(call: Call[NoBody, NoQuery]) -> NodeState:
    """How the node is."""
    found = await call.here.status()
    peers = (await call.here.ask(ListPeers())).peers
    online = sum(peer.way is not None for peer in peers)
    jobs = (await call.here.ask(ListJobs())).jobs
    return NodeState(
        node_id=found.node_id,
        hostname=found.name,
        platform=platform.system().lower(),
        version=found.version,
        uptime=in_ms(found.uptime),
        peers=PeerCount(len(peers), online, len(peers) - online),
        jobs=JobCount(sum(job.ended_at is None for job in jobs), len(jobs)),
        sessions=found.sessions,
        phones=found.phones,
        relay=RelayLink(found.relay.url, found.relay.connected, found.relay.problem),
        http_port=found.http_port,
        port=found.port,
    )


async def identity(call: Call[NoBody, NoQuery]) -> NodeIdentity:
    """Who the node is."""
    found = await call.here.status()
    return NodeIdentity(
        node_id=found.node_id,
        hostname=found.name,
        platform=platform.system().lower(),
        version=found.version,
        port=found.http_port,
        capabilities=list(CAPABILITIES),
    )


async def events(call: Call[NoBody, NoQuery]) -> Stream:
    """What happens at the node, from now on."""
    return await event_stream(_watch(call), "node")


@asynccontextmanager
async def _watch(call: Call[NoBody, NoQuery]) -> AsyncGenerator[AsyncIterator[object]]:
    async with call.here.watch_events() as found:
        await call.here.ask(Hello())  # answered later than the watch began: nothing is missed
        yield Shown(found, shown)


CAPABILITIES: Final = ("execute", "transfer", "context", "messages", "tasks", "sessions")

EVENT: Final = reduce(or_, map(twin, get_args(Event)))
"""What `events` streams."""

ROUTES: Final = (
    Route("GET", "/health", health, "node", NoBody, NoQuery, Health),
    Route("GET", "/status", status, "node", NoBody, NoQuery, NodeState),
    Route("GET", "/identity", identity, "node", NoBody, NoQuery, NodeIdentity),
    Route("GET", "/events", events, "node", NoBody, NoQuery, EVENT, media_type=EVENTS),
)
