"""Every fact that a node publishes, as streamed by `events.watch`."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from .codec import decode_as

__all__ = [
    "ApprovalDecided",
    "ApprovalWanted",
    "Event",
    "PeerLost",
    "PeerPaired",
    "PeerReached",
    "PeerRemoved",
    "PhoneConnected",
    "PhoneLeft",
    "PhonePaired",
    "PhoneRevoked",
    "RelayChanged",
    "SessionEnded",
    "SessionStarted",
    "WrongCode",
    "decode_event",
]


class PhonePaired(msgspec.Struct, frozen=True, tag_field="type", tag="phone_paired"):
    """A phone proved that it knows the code; it is in the book from now on."""

    id: str
    name: str


class PhoneConnected(msgspec.Struct, frozen=True, tag_field="type", tag="phone_connected"):
    """A paired phone opened its first connection."""

    id: str
    name: str


class PhoneLeft(msgspec.Struct, frozen=True, tag_field="type", tag="phone_left"):
    """A phone's last connection ended."""

    id: str
    name: str


class PhoneRevoked(msgspec.Struct, frozen=True, tag_field="type", tag="phone_revoked"):
    """A phone was forgotten and its connections cut."""

    id: str
    name: str


class PeerPaired(msgspec.Struct, frozen=True, tag_field="type", tag="peer_paired"):
    """Both users have said that the numbers are the same, or its key was added by hand."""

    id: str
    name: str


class PeerReached(msgspec.Struct, frozen=True, tag_field="type", tag="peer_reached"):
    """A machine is reached, or is reached in another way than before."""

    id: str
    name: str
    way: str


class PeerLost(msgspec.Struct, frozen=True, tag_field="type", tag="peer_lost"):
    """A machine is not reached any more."""

    id: str
    name: str


class PeerRemoved(msgspec.Struct, frozen=True, tag_field="type", tag="peer_removed"):
    """A machine was forgotten and its connections cut."""

    id: str
    name: str


class WrongCode(msgspec.Struct, frozen=True, tag_field="type", tag="wrong_code"):
    """Somebody with the link tried a wrong code."""

    tries_left: int


class RelayChanged(msgspec.Struct, frozen=True, tag_field="type", tag="relay_changed"):
    """The link to the relay came up or went down."""

    url: str | None
    connected: bool
    problem: str | None


class SessionStarted(msgspec.Struct, frozen=True, tag_field="type", tag="session_started"):
    """A session runs."""

    id: str
    name: str
    kind: str


class SessionEnded(msgspec.Struct, frozen=True, tag_field="type", tag="session_ended"):
    """A session's program ended, or its host did and took it along."""

    id: str
    name: str
    exit_code: int | None
    lost: str | None


class ApprovalWanted(msgspec.Struct, frozen=True, tag_field="type", tag="approval_wanted"):
    """A contact would like agents to approve by themselves; this machine's user decides."""

    contact: str
    name: str
    kind: str


class ApprovalDecided(msgspec.Struct, frozen=True, tag_field="type", tag="approval_decided"):
    """This machine's user has decided that."""

    contact: str
    name: str
    allowed: bool


Event: TypeAlias = (
    PhonePaired
    | PhoneConnected
    | PhoneLeft
    | PhoneRevoked
    | PeerPaired
    | PeerReached
    | PeerLost
    | PeerRemoved
    | WrongCode
    | RelayChanged
    | SessionStarted
    | SessionEnded
    | ApprovalWanted
    | ApprovalDecided
)

_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def decode_event(data: bytes) -> Event:
    """Return the event in `data`, or raise `BadRequest`."""
    return decode_as(data, _decoder)
