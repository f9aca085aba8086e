"""Callers who have not shown yet who they are: how many may wait, and who has to make way.

Anybody who reaches the port may open connections by the thousand, and must not keep paired
machines out by it. So strangers do not count against those who are known; where there are too many
the oldest makes way, for a paired machine shows who it is within a moment; and each address has
a few turns a second.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Protocol

from loopsy_core.kit import Buckets

__all__ = ["Stranger", "Strangers"]

MOST: Final = 128
"""Strangers at once."""
MOST_OF_ONE: Final = 16
"""Of them, those of one address."""
RATE: Final = 20.0
"""Callers of one address a second, on average: each costs a handshake, half a millisecond."""
BURST: Final = 200.0


class Stranger(Protocol):
    """Somebody who waits at the door."""

    address: str

    def make_way(self) -> None:
        """End the connection: it has to make way for another."""


class Strangers:
    """Those who wait; pure state, but that it tells whoever has to go."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: dict[str, dict[Stranger, None]] = {}  # by network, the oldest first
        self._count = 0
        self._turns: Buckets[str] = Buckets(RATE, BURST)

    def admit(self, stranger: Stranger, now: float) -> bool:
        """Let somebody wait, or return False: its address calls too often.

        `now` is in seconds of any clock that does not go back. Whoever waits must be given to
        `forget` when it is known, or gone.
        """
        network = network_of(stranger.address)
        if not self._turns.take(network, now):
            return False
        of_one = self._waiting.get(network, {})
        if len(of_one) >= MOST_OF_ONE:
            self._send_away(next(iter(of_one)))
        elif self._count >= MOST:
            crowd = max(self._waiting, key=lambda each: len(self._waiting[each]))
            self._send_away(next(iter(self._waiting[crowd])))
        self._waiting.setdefault(network, {})[stranger] = None
        self._count += 1
        return True

    def forget(self, stranger: Stranger) -> None:
        """Count somebody no more; of no use, and no error, a second time."""
        network = network_of(stranger.address)
        of_one = self._waiting.get(network, {})
        if stranger not in of_one:
            return
        del of_one[stranger]
        self._count -= 1
        if not of_one:
            del self._waiting[network]

    def _send_away(self, stranger: Stranger) -> None:
        self.forget(stranger)
        stranger.make_way()


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 a /64, which is what one household has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4 or parsed.is_link_local:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
