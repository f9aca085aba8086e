"""What is asked about phones: pairing them, listing and forgetting them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..grants import Grant, Preset
from ..operation import Name, Operation, Reference
from .node import Nothing

__all__ = [
    "Forget",
    "GrantPhone",
    "ListPhones",
    "OfferPairing",
    "PairingOffer",
    "PhoneInfo",
    "PhoneList",
    "RenamePhone",
    "RevokePhone",
]


class PhoneInfo(msgspec.Struct, frozen=True):
    """A paired phone."""

    id: str
    name: str
    created_at: float
    last_seen: float | None
    connected: bool
    grants: list[str]
    expires_at: float | None
    auto_approve: bool = False
    """Whether this machine's user lets its agents approve by themselves."""


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
    about = "phone"

    phone: Reference


class RenamePhone(Operation[PhoneInfo], frozen=True, kw_only=True):
    """Call a phone something else here."""

    op = "phones.rename"
    grant = "admin"
    reply = PhoneInfo
    about = "phone"

    phone: Reference
    name: Name


class GrantPhone(Operation[PhoneInfo], frozen=True, kw_only=True):
    """Change what a phone may do here, and until when; its connections are made anew."""

    op = "phones.grant"
    grant = "admin"
    reply = PhoneInfo
    about = "phone"

    phone: Reference
    preset: Preset | None = None
    """Begin from this bundle; without it, from what it may do already."""
    add: list[Grant] = msgspec.field(default_factory=list)
    remove: list[Grant] = msgspec.field(default_factory=list)
    expires: Annotated[float, msgspec.Meta(gt=0, le=3.2e9)] | None = None
    lasting: bool = False
    """It shall not expire, whatever was said before."""


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
