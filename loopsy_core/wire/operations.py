"""Every request with its parameters, its reply and the grant it needs.

PROTOCOL.md sections 4 and 5. An operation is a frozen struct; its class says the name on the
wire (`op`), who may ask (`grant`) and what comes back (`reply`). Sizes of terminals are in
cells, times are seconds since 1970 (UTC), lengths of time are seconds.
"""

from __future__ import annotations

from typing import Annotated, Final, cast

import msgspec

from .grants import Preset
from .operation import Argument, Cells, Name, Offset, Operation, Reference, Text

__all__ = [
    "OPERATIONS",
    "AttachReply",
    "AttachSession",
    "ConfigureRelay",
    "EndSession",
    "Forget",
    "Hello",
    "HelloReply",
    "ListPhones",
    "ListSessions",
    "NodeStatus",
    "Nothing",
    "OfferPairing",
    "PairingOffer",
    "PhoneInfo",
    "PhoneList",
    "RelayStatus",
    "RemoveSession",
    "RenameSession",
    "ResizeSession",
    "RevokePhone",
    "SessionInfo",
    "SessionList",
    "ShowRelay",
    "StartSession",
    "Status",
    "StopNode",
    "StopReply",
    "UnsetRelay",
    "WatchEvents",
    "WatchSessions",
]


class Nothing(msgspec.Struct, frozen=True):
    """An empty reply: it is done."""


# The node itself.


class HelloReply(msgspec.Struct, frozen=True):
    """Who answers, and what the asker may do there."""

    node_id: str
    name: str
    version: str
    grants: list[str]
    contact: str
    """The asker's own id, or "local"."""


class Hello(Operation[HelloReply], frozen=True, kw_only=True):
    """Ask who answers; every new connection begins with it."""

    op = "node.hello"
    grant = None
    reply = HelloReply


class RelayStatus(msgspec.Struct, frozen=True):
    """How the node stands with its relay."""

    url: str | None
    connected: bool
    problem: str | None = None
    """Why it is not connected, for a person."""


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


class WatchEvents(Operation[Nothing], frozen=True, kw_only=True):
    """Stream the node's events (`wire.events`) as Items until dropped."""

    op = "events.watch"
    grant = "admin"
    reply = Nothing


# Sessions.


class SessionInfo(msgspec.Struct, frozen=True):
    """A session as others see it."""

    id: str
    name: str
    kind: str
    alive: bool
    created_at: float
    cols: int
    rows: int
    viewers: int
    title: str
    exit_code: int | None
    """None while alive; -N if signal N ended it."""
    argv: list[str]
    cwd: str


class SessionList(msgspec.Struct, frozen=True):
    """All sessions, the oldest first."""

    sessions: list[SessionInfo]


class ListSessions(Operation[SessionList], frozen=True, kw_only=True):
    """Ask for all sessions."""

    op = "sessions.list"
    grant = "view"
    reply = SessionList


class WatchSessions(Operation[Nothing], frozen=True, kw_only=True):
    """Stream a `SessionList` now and after each change, as Items, until dropped."""

    op = "sessions.watch"
    grant = "view"
    reply = Nothing


class StartSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """Start a program on a terminal of its own.

    Without `argv` it is the user's login shell. `cwd` may begin with `~`; without it the
    session starts in the home directory. `env` is laid over the host's environment.
    """

    op = "sessions.start"
    grant = "type"
    reply = SessionInfo

    argv: Annotated[list[Argument], msgspec.Meta(min_length=1, max_length=4096)] | None = None
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "shell"
    name: Name | None = None
    cwd: Text | None = None
    env: dict[Text, Argument] = msgspec.field(default_factory=dict)
    cols: Cells = 80
    rows: Cells = 24


class ResizeSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """Give a session's terminal another size."""

    op = "sessions.resize"
    grant = "type"
    reply = SessionInfo

    session: Reference
    cols: Cells
    rows: Cells


class RenameSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """Give a session another name."""

    op = "sessions.rename"
    grant = "type"
    reply = SessionInfo

    session: Reference
    name: Name


class EndSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """End a session's program: SIGHUP, some patience, SIGKILL; answered once it is gone."""

    op = "sessions.end"
    grant = "type"
    reply = SessionInfo

    session: Reference


class RemoveSession(Operation[Nothing], frozen=True, kw_only=True):
    """Forget a session that has ended."""

    op = "sessions.remove"
    grant = "type"
    reply = Nothing

    session: Reference


# Attaching.


class AttachReply(msgspec.Struct, frozen=True):
    """The session has ended."""

    exit_code: int | None


class AttachSession(Operation[AttachReply], frozen=True, kw_only=True):
    """Show a session and type into it; see PROTOCOL.md section 5 for the stream."""

    op = "sessions.attach"
    grant = "view"
    reply = AttachReply

    session: Reference
    viewer: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    cols: Cells
    rows: Cells
    view_only: bool = False
    answers: bool = False
    epoch: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    offset: Offset | None = None
    typed: Offset = 0


# Phones and the relay.


class PhoneInfo(msgspec.Struct, frozen=True):
    """A paired phone."""

    id: str
    name: str
    created_at: float
    last_seen: float | None
    connected: bool
    grants: list[str]
    expires_at: float | None


class PhoneList(msgspec.Struct, frozen=True):
    """All paired phones, the oldest first."""

    phones: list[PhoneInfo]


class ListPhones(Operation[PhoneList], frozen=True, kw_only=True):
    """Ask for all paired phones."""

    op = "phones.list"
    grant = "admin"
    reply = PhoneList


class RevokePhone(Operation[PhoneInfo], frozen=True, kw_only=True):
    """Forget a phone and cut its connections at once."""

    op = "phones.revoke"
    grant = "admin"
    reply = PhoneInfo

    phone: Reference


class PairingOffer(msgspec.Struct, frozen=True):
    """What a phone needs to pair: the link (by QR) and the code (by eye)."""

    pair_url: str
    code: str
    expires_at: float


class OfferPairing(Operation[PairingOffer], frozen=True, kw_only=True):
    """Offer one phone to pair within `ttl` seconds; the pairing itself may expire too."""

    op = "pairing.offer"
    grant = "admin"
    reply = PairingOffer

    ttl: Annotated[float, msgspec.Meta(ge=10, le=3600)] = 300.0
    preset: Preset = "phone"
    expires: Annotated[float, msgspec.Meta(gt=0, le=3.2e9)] | None = None


class Forget(Operation[Nothing], frozen=True, kw_only=True):
    """Ask the node to forget the asking phone itself."""

    op = "pairing.forget"
    grant = None
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


OPERATIONS: Final[dict[str, type[Operation[object]]]] = {
    cast("type[Operation[object]]", operation).op: cast("type[Operation[object]]", operation)
    for operation in (
        Hello,
        NodeStatus,
        StopNode,
        WatchEvents,
        ListSessions,
        WatchSessions,
        StartSession,
        ResizeSession,
        RenameSession,
        EndSession,
        RemoveSession,
        AttachSession,
        ListPhones,
        RevokePhone,
        OfferPairing,
        Forget,
        ConfigureRelay,
        ShowRelay,
        UnsetRelay,
    )
}
