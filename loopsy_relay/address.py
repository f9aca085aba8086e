"""Where a client connects from, and how often anybody may do something from there."""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import Busy
from loopsy_core.kit import Buckets

if TYPE_CHECKING:
    from .config import Rate

__all__ = ["TooMany", "Turnstile", "client_address"]

_MINUTE: Final = 60.0

# What one customer of an internet provider gets at least (RFC 6177); a limit for each address
# in it would be no limit.
_IPV6_PREFIX: Final = 64


class TooMany(Busy):
    """Too often from one address; it may try again after `retry_after` whole seconds."""

    def __init__(self, retry_after: int) -> None:
        """Keep `retry_after`, at least 1."""
        super().__init__(f"too many tries from your address; wait {retry_after} seconds")
        self.retry_after = retry_after


class Turnstile:
    """Lets everybody through at a limited rate per address (per /64 of IPv6)."""

    def __init__(self, rate: Rate) -> None:
        """Begin with nobody seen."""
        self._buckets: Buckets[str] = Buckets(rate.per_minute / _MINUTE, rate.burst)

    def enter(self, address: str, now: float) -> None:
        """Count a try from `address`; raise `TooMany` when there were too many."""
        key = _neighbourhood(address)
        if not self._buckets.take(key, now):
            raise TooMany(max(1, math.ceil(self._buckets.wait_seconds(key, now))))


def client_address(peer: str, forwarded_for: str | None, *, trust_proxy: bool) -> str:
    """Return the address that a request comes from.

    `forwarded_for` is the X-Forwarded-For header. Only its last hop was written by the proxy we
    trust; what stands before it is the client's own claim. Without a proxy all of it is.
    """
    if trust_proxy and forwarded_for:
        last = forwarded_for.rpartition(",")[2].strip()
        try:
            return _unmapped(last)
        except ValueError:
            pass  # "unknown", or with a port: then the proxy is all we know
    try:
        return _unmapped(peer)
    except ValueError:
        return peer


def _unmapped(text: str) -> str:
    """Return the address in its one spelling, and IPv4 as such even on an IPv6 socket."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def _neighbourhood(address: str) -> str:
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    except ValueError:
        return address
