"""How many requests each contact may make, a minute and at once; this machine's user has no limit.

They are counted per contact, whichever doors it comes by and however many connections it has.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Busy
from loopsy_core.kit import Buckets

if TYPE_CHECKING:
    from loopsy_core.home import RateLimitsConfig
    from loopsy_core.wire import Limit, Operation

    from .grants import Asker

__all__ = ["Limits"]

AT_ONCE: Final = 512
"""Requests of one contact that may be open at once; one connection has 256 at most."""
_MINUTE: Final = 60.0


class Limits:
    """A bucket for each contact and kind of request: a minute's worth at once, then the rate."""

    def __init__(self, config: RateLimitsConfig) -> None:
        """Allow as much as the settings say."""
        rates: dict[Limit, int] = {
            "execute": config.execute,
            "transfer": config.transfer,
            "context": config.context,
        }
        self._buckets: dict[Limit, Buckets[str]] = {
            limit: Buckets(rate / _MINUTE, rate) for limit, rate in rates.items()
        }
        self._open: Counter[str] = Counter()

    def begin(self, asker: Asker) -> None:
        """Count a request as open until `end`; raises `Busy`, and counts nothing, for too many."""
        if asker.contact is None:
            return
        if self._open[asker.contact] >= AT_ONCE:
            raise Busy(f"{AT_ONCE} requests of yours are open here already")
        self._open[asker.contact] += 1

    def end(self, asker: Asker) -> None:
        """Count a request no more that `begin` has counted."""
        if asker.contact is None:
            return
        self._open[asker.contact] -= 1
        if not self._open[asker.contact]:
            del self._open[asker.contact]

    def check(self, asker: Asker, operation: type[Operation[object]]) -> None:
        """Count a request; raises `Busy`, saying when to come again, for one too many."""
        if asker.contact is None or operation.limited_as is None:
            return
        buckets = self._buckets.get(operation.limited_as)
        if buckets is None:
            return
        now = trio.current_time()
        if not buckets.take(asker.contact, now):
            wait = math.ceil(buckets.wait_seconds(asker.contact, now))
            raise Busy(
                f"too many requests of this kind a minute ({operation.limited_as});"
                f" the next in {wait} s"
            )
