"""What is asked about other machines: pairing with them, listing, renaming and forgetting them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from ..codec import decode_as
from ..grants import Grant, Preset
from ..operation import Operation, Reference

__all__ = [
    "AddPeer",
    "AskPass",
    "Comparing",
    "Confirm",
    "GrantPeer",
    "InvitePeer",
    "Invited",
    "JoinPeer",
    "ListPeers",
    "Pass",
    "PeerInfo",
    "PeerList",
    "RemovePeer",
    "RenamePeer",
    "Way",
    "decode_pairing",
]

Address: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
"""`host` or `host:port`; without a port it is the usual one."""
NodeName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
When: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=3.2e9)]
Way: TypeAlias = Literal["lan", "relay"]
"""How a machine is reached: directly, or through a relay."""


class PeerInfo(msgspec.Struct, frozen=True):
    """Another machine that we are paired with."""

    id: str
    name: str
    created_at: float
    last_seen: float | None
    grants: list[str]
    """What it may do here."""
    expires_at: float | None
    way: Way | None
    """How it is reached now; None when it is not."""
    addresses: list[str]
    """Where it may be found directly."""
    problem: str | None = None
    """Why it is not reached, for a person."""
    version: str | None = None
    """What it runs, as far as we know."""
    round_trip: float | None = None
    """Seconds that its last sign of life took."""
    mend: str | None = None
    """What to try if it is not reached, for a person."""
    clock_ahead: float | None = None
    """Seconds that its clock is ahead of ours, about."""


class PeerList(msgspec.Struct, frozen=True):
    """All paired machines, the oldest first."""

    peers: list[PeerInfo]


class ListPeers(Operation[PeerList], frozen=True, kw_only=True):
    """Ask for all paired machines."""

    op = "peers.list"
    grant = "view"
    reply = PeerList


class Invited(msgspec.Struct, frozen=True, tag_field="type", tag="invited"):
    """An invitation is open; the other machine's user needs this to come in."""

    code: str
    addresses: list[str]
    """Where this machine can be reached; empty unless it listens on the LAN."""
    expires_at: float
    tries_left: int = 5
    """How many wrong codes end it."""


class Comparing(msgspec.Struct, frozen=True, tag_field="type", tag="comparing"):
    """Both machines show `number`; each one's user says whether it is the same there."""

    id: str
    name: str
    number: str


_pairing: msgspec.msgpack.Decoder[Invited | Comparing] = msgspec.msgpack.Decoder(
    Invited | Comparing
)


def decode_pairing(data: bytes) -> Invited | Comparing:
    """Return what a node tells of a pairing under way, or raise `BadRequest`."""
    return decode_as(data, _pairing)


class Confirm(msgspec.Struct, frozen=True, tag_field="type", tag="confirm"):
    """What the asker sends once this machine's user has compared the numbers."""

    same: bool


class InvitePeer(Operation[PeerInfo], frozen=True, kw_only=True):
    """Let one machine pair with this one, as one whose user knows the code.

    The stream: `Invited`, again after each try that was spent, and `Comparing` once the machine
    has come (again for another caller, if that one is lost). The asker sends `Confirm`; the
    answer comes once both users have said yes. A caller that fails costs a try of five, and the
    last one burns the invitation.
    """

    op = "peers.invite"
    grant = "admin"
    reply = PeerInfo

    ttl: Annotated[float, msgspec.Meta(ge=10, le=3600)] = 300.0
    preset: Preset = "machine"
    expires: When | None = None


class JoinPeer(Operation[PeerInfo], frozen=True, kw_only=True):
    """Pair with the machine at `address`, whose user has told us its `code`.

    The stream: `Comparing`; the asker sends `Confirm`, and is answered once both users have
    said yes.
    """

    op = "peers.join"
    grant = "admin"
    reply = PeerInfo
    about = "address"

    address: Address
    code: Annotated[str, msgspec.Meta(max_length=16)]
    preset: Preset = "machine"
    expires: When | None = None


class AddPeer(Operation[PeerInfo], frozen=True, kw_only=True):
    """Trust the machine whose public key (its id) is `key`; its user must do the same there."""

    op = "peers.add"
    grant = "admin"
    reply = PeerInfo
    about = "address"

    address: Address | None
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    name: NodeName | None = None
    preset: Preset = "machine"
    expires: When | None = None


class RemovePeer(Operation[PeerInfo], frozen=True, kw_only=True):
    """Forget a machine and cut its connections at once."""

    op = "peers.remove"
    grant = "admin"
    reply = PeerInfo
    about = "peer"

    peer: Reference


class RenamePeer(Operation[PeerInfo], frozen=True, kw_only=True):
    """Call a machine something else here."""

    op = "peers.rename"
    grant = "admin"
    reply = PeerInfo
    about = "peer"

    peer: Reference
    name: NodeName


class GrantPeer(Operation[PeerInfo], frozen=True, kw_only=True):
    """Change what a machine may do here, and until when; its connections are made anew."""

    op = "peers.grant"
    grant = "admin"
    reply = PeerInfo
    about = "peer"

    peer: Reference
    preset: Preset | None = None
    """Begin from this bundle; without it, from what it may do already."""
    add: list[Grant] = msgspec.field(default_factory=list)
    remove: list[Grant] = msgspec.field(default_factory=list)
    expires: When | None = None
    lasting: bool = False
    """It shall not expire, whatever was said before."""


class Pass(msgspec.Struct, frozen=True):
    """A way to a node through its relay; the token is used once, and soon."""

    url: Annotated[str, msgspec.Meta(max_length=2048)] | None
    """None when the node uses no relay."""
    token: Annotated[str, msgspec.Meta(max_length=512)] | None = None


class AskPass(Operation[Pass], frozen=True, kw_only=True):
    """Ask a paired machine to let us through its relay from now on."""

    op = "peers.pass"
    grant = "view"
    reply = Pass
    limited_as = "context"  # each costs a request to the relay
