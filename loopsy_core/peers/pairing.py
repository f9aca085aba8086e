"""Offers to pair a phone: their codes, their tries and their end.

An offer lives in memory only; a node that restarts has none. Tries are counted per offer and
not per connection, and the third wrong code burns it (PROTOCOL.md section 2).
"""

from __future__ import annotations

import secrets
from typing import Final

import attrs

from loopsy_core.errors import Busy
from loopsy_core.wire import CODE_DIGITS, SECRET_BYTES, Preset, offer_id, pairing_key

__all__ = ["Offer", "Offers"]

TRIES: Final = 3
MAX_OFFERS: Final = 16
"""Offers open at once."""


@attrs.define
class Offer:
    """One open offer; times are seconds since 1970 (UTC)."""

    id: bytes
    secret: bytes = attrs.field(repr=False)
    code: str = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)
    """The pre-shared key of secret and code."""
    preset: Preset
    expires_at: float
    """When the offer ends."""
    pairing_expires_at: float | None
    """When the pairing that comes of it ends."""
    tries_left: int = TRIES


class Offers:
    """All open offers of a node; pure state, time is passed in."""

    def __init__(self) -> None:
        """Begin with none."""
        self._offers: dict[bytes, Offer] = {}

    def make(
        self, *, now: float, ttl: float, preset: Preset, pairing_expires_at: float | None
    ) -> Offer:
        """Open an offer for `ttl` seconds; raises `Busy` when too many are open."""
        self._forget_expired(now)
        if len(self._offers) >= MAX_OFFERS:
            raise Busy(f"{MAX_OFFERS} offers to pair are open already; let some expire first")
        secret = secrets.token_bytes(SECRET_BYTES)
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        offer = Offer(
            offer_id(secret),
            secret,
            code,
            pairing_key(secret, code),
            preset,
            now + ttl,
            pairing_expires_at,
        )
        self._offers[offer.id] = offer
        return offer

    def find(self, offer: bytes, now: float) -> Offer | None:
        """Return the open offer of that id."""
        self._forget_expired(now)
        return self._offers.get(offer)

    def wrong(self, offer: Offer) -> int:
        """Count a wrong code; return how many tries are left. At none the offer is burnt."""
        offer.tries_left -= 1
        if offer.tries_left <= 0:
            self._offers.pop(offer.id, None)
        return max(0, offer.tries_left)

    def use(self, offer: Offer) -> bool:
        """Use the offer up; False when somebody else has, or it was burnt meanwhile."""
        return self._offers.pop(offer.id, None) is offer

    def withdraw(self, offer: Offer) -> None:
        """Take the offer back."""
        self._offers.pop(offer.id, None)

    def _forget_expired(self, now: float) -> None:
        for offer in list(self._offers.values()):
            if now >= offer.expires_at:
                del self._offers[offer.id]
