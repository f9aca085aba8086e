"""How many requests a minute each contact may make; this machine's own user has no limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import Busy
from loopsy_core.kit import Buckets

if TYPE_CHECKING:
    from loopsy_core.home import RateLimitsConfig
    from loopsy_core.wire import Limit, Operation

    from .grants import Asker

__all__ = ["Limits"]

_MINUTE = 60.0


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
