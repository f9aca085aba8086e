"""Who looks at a session, how much each has typed, and whose wish its size is."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest
from loopsy_core.wire import Viewers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .viewer import Viewer

__all__ = ["Audience"]

MAX_VIEWERS: Final = 64
MAX_REMEMBERED_VIEWERS: Final = 256
"""Viewers whose typed totals are kept after they left, for when they come back."""


class Audience:
    """Pure state. A viewer is known by its own id, also over several connections."""

    def __init__(self) -> None:
        """Begin with nobody."""
        # In the order in which they came.
        self._viewers: dict[bytes, Viewer] = {}
        # Those who may type: whoever typed or claimed last stands last, and owns the size.
        self._order: OrderedDict[bytes, None] = OrderedDict()
        self._typed: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._viewers)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(self._viewers.values())

    def join(self, viewer_id: bytes, viewer: Viewer) -> None:
        """Let a viewer in, in its own place if it has reconnected before it was missed.

        Raises `BadRequest` when there is no room.
        """
        known = self._viewers.get(viewer_id)
        if known is None and len(self._viewers) >= MAX_VIEWERS:
            raise BadRequest(f"{MAX_VIEWERS} viewers look at this session already")
        self._viewers[viewer_id] = viewer
        if not viewer.may_type:
            self._order.pop(viewer_id, None)
        elif viewer_id not in self._order:
            # Newcomers own nothing as long as anybody else is here.
            self._order[viewer_id] = None
            self._order.move_to_end(viewer_id, last=False)

    def leave(self, viewer_id: bytes, viewer: Viewer) -> bool:
        """Let a viewer go; return whether it was still here by this connection."""
        if not self.has(viewer_id, viewer):
            return False
        del self._viewers[viewer_id]
        self._order.pop(viewer_id, None)
        return True

    def has(self, viewer_id: bytes, viewer: Viewer) -> bool:
        """Whether this viewer is here, by this very connection."""
        return self._viewers.get(viewer_id) is viewer

    def claim(self, viewer_id: bytes) -> bool:
        """Let a viewer own the size from now on; return whether that is new."""
        if viewer_id not in self._order or next(reversed(self._order)) == viewer_id:
            return False
        self._order.move_to_end(viewer_id)
        return True

    @property
    def owner(self) -> Viewer | None:
        """Whose wish the size is; None while nobody is here who may type."""
        return self._viewers[next(reversed(self._order))] if self._order else None

    def tell(self) -> None:
        """Have every viewer told who is here."""
        names = [viewer.name for viewer in self]
        owner = self.owner
        for viewer in self:
            viewer.note_viewers(Viewers(names, viewer is owner))

    def typed(self, viewer_id: bytes, told: int = 0) -> int:
        """Return how many bytes a viewer has typed; `told` is what a newcomer says of itself."""
        total = self._typed.setdefault(viewer_id, told)
        self._typed.move_to_end(viewer_id)
        if len(self._typed) > MAX_REMEMBERED_VIEWERS:
            # Only those that have left are ever forgotten.
            del self._typed[next(each for each in self._typed if each not in self._viewers)]
        return total

    def count(self, viewer_id: bytes, written: int) -> int:
        """Note that `written` bytes of a viewer got to the program; return its total."""
        total = self._typed.get(viewer_id, 0) + written
        self._typed[viewer_id] = total
        return total
