"""What is asked of a node about itself: who it is, how it is, what happens there; and its relay."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from ..operation import Operation

__all__ = [
    "ConfigureRelay",
    "Hello",
    "HelloReply",
    "HostHello",
    "HostInfo",
    "NodeStatus",
    "Nothing",
    "RelayStatus",
    "RotateKey",
    "ShowRelay",
    "Status",
    "StopNode",
    "StopReply",
    "UnsetRelay",
    "WatchEvents",
]


class Nothing(msgspec.Struct, frozen=True):
    """An empty reply: it is done."""


class RelayStatus(msgspec.Struct, frozen=True):
    """How the node stands with its relay."""

    url: str | None
    connected: bool
    problem: str | None = None
    """Why it is not connected, for a person."""


class HelloReply(msgspec.Struct, frozen=True):
    """Who answers, and what the asker may do there."""

    node_id: str
    name: Annotated[str, msgspec.Meta(max_length=64)]
    version: Annotated[str, msgspec.Meta(max_length=64)]
    grants: list[str]
    contact: str
    """The asker's own id, or "local"."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    """Where it listens for machines; None when it does not."""
    relay: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    """The relay by which it can be reached, if there is one."""
    clock: Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None = None
    """What time it is there, in seconds since the epoch."""


class Hello(Operation[HelloReply], frozen=True, kw_only=True):
    """Ask who answers; every new connection begins with it."""

    op = "node.hello"
    grant = None
    reply = HelloReply


class HostInfo(msgspec.Struct, frozen=True):
    """A session host: it may be older than the node, which was upgraded, or newer."""

    protocol: int
    """Its `HostHello.protocol`."""
    version: str
    """Of its program; empty for one that is too old to say it."""
    pid: int | None
    sessions: int
    """Sessions that are alive."""
    memory: int | None
    """Bytes of memory that it takes; None where the system does not tell."""
    operations: list[str]
    """What it can be asked; nothing if it is too old to say it."""


class HostHello(Operation[HostInfo], frozen=True, kw_only=True):
    """Ask a session host what it is; a node begins every connection to it so."""

    op = "host.hello"
    grant = "view"
    reply = HostInfo
    protocol: ClassVar[int] = 1
    """The version of what nodes and hosts say to each other. It changes when an older side could
    no longer make sense of it; what is only added is told by `HostInfo.operations`."""


class Status(msgspec.Struct, frozen=True):
    """How the node is."""

    node_id: str
    name: str
    version: str
    uptime: float
    relay: RelayStatus
    sessions: int
    """Sessions that are alive."""
    phones: int
    """Phones that are paired."""
    port: int | None = None
    """Where it listens for other machines; None when it does not."""
    peers: int = 0
    """Machines that are paired."""
    host: HostInfo | None = None
    """The session host, if one runs."""
    http_port: int | None = None
    """Where scripts reach it by HTTP; None when they do not."""
    http_problem: str | None = None
    """Why they do not, for a person."""
    sharing_problem: str | None = None
    """Why there is no context, and no messages and tasks; None when all is well."""


class NodeStatus(Operation[Status], frozen=True, kw_only=True):
    """Ask how the node is."""

    op = "node.status"
    grant = "view"
    reply = Status


class StopReply(msgspec.Struct, frozen=True):
    """What the node leaves behind."""

    sessions: int
    """Sessions that live on."""


class StopNode(Operation[StopReply], frozen=True, kw_only=True):
    """Ask the node to leave in order; its sessions live on."""

    op = "node.stop"
    grant = "admin"
    reply = StopReply


class RotateKey(Operation[Nothing], frozen=True, kw_only=True):
    """Make a new key for the HTTP door; whoever came in with the old one is cut off."""

    op = "http.rotate_key"
    grant = "admin"
    reply = Nothing


class WatchEvents(Operation[Nothing], frozen=True, kw_only=True):
    """Stream the node's events (`wire.events`) as Items until dropped."""

    op = "events.watch"
    grant = "admin"
    reply = Nothing


class ConfigureRelay(Operation[RelayStatus], frozen=True, kw_only=True):
    """Register with the relay at `url` and use it from now on."""

    op = "relay.configure"
    grant = "admin"
    reply = RelayStatus

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    registration_secret: Annotated[str, msgspec.Meta(max_length=1024)] | None = None


class ShowRelay(Operation[RelayStatus], frozen=True, kw_only=True):
    """Ask how the node stands with its relay."""

    op = "relay.show"
    grant = "view"
    reply = RelayStatus


class UnsetRelay(Operation[RelayStatus], frozen=True, kw_only=True):
    """Leave the relay and forget it."""

    op = "relay.unset"
    grant = "admin"
    reply = RelayStatus
