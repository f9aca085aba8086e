"""The open connections with other machines, and which of them is the best.

Either side may open one, and either may ask over it. A direct one is better than one through a
relay; of two alike the newer is better, for the other side may have lost the older.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from loopsy_core.kit import Watched
from loopsy_core.links import Conversation

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopsy_core.home import PeerId

__all__ = ["Way", "WayKind", "Ways"]

WayKind: TypeAlias = Literal["lan", "relay"]


@attrs.define(eq=False)
class Way:
    """One open connection with a machine."""

    conversation: Conversation
    kind: WayKind
    round_trip: float | None = None
    """Seconds that the last sign of life took."""
    clock_ahead: float | None = None
    """Seconds that the clock at the other end is ahead of ours, about."""


class Ways:
    """Pure state; `version` changes with each way that opens or closes."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ways: dict[PeerId, list[Way]] = {}
        self.version = Watched(0)

    @contextmanager
    def open(self, peer: PeerId, conversation: Conversation, kind: WayKind) -> Generator[Way]:
        """Count a way to `peer` for as long as the block lasts."""
        way = Way(conversation, kind)
        self._ways.setdefault(peer, []).append(way)
        self._changed()
        try:
            yield way
        finally:
            ways = self._ways[peer]
            ways.remove(way)
            if not ways:
                del self._ways[peer]
            self._changed()

    def best(self, peer: PeerId) -> Way | None:
        """Return the way to take, if there is any."""
        alive = [way for way in self._ways.get(peer, ()) if not way.conversation.closed]
        direct = [way for way in alive if way.kind == "lan"]
        best = direct or alive
        return best[-1] if best else None

    def busy(self, peer: PeerId, kind: WayKind) -> bool:
        """Whether any call is open on the ways of that kind."""
        return any(way.conversation.busy for way in self._ways.get(peer, ()) if way.kind == kind)

    def _changed(self) -> None:
        self.version.set(self.version.value + 1)
