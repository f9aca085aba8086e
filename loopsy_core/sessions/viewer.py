"""One viewer of a session: where it stands in the output, and what it is still to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loopsy_core.wire import CHUNK, Typed, Viewers

from .output import Place
from .pacing import Pacing

if TYPE_CHECKING:
    from loopsy_core.links import Asked
    from loopsy_core.wire import AttachSession

__all__ = ["Viewer"]

TELL_TYPED_EVERY: Final = 32_768
"""Typed bytes after which the viewer is told that they came, so that it may forget them."""


class Viewer:
    """Pure state; the session moves it, the attached call reads it."""

    def __init__(self, request: AttachSession) -> None:
        """Begin as whoever asked `request`."""
        self.id = request.viewer
        self.name = request.name
        self.cols = request.cols
        self.rows = request.rows
        self.may_type = not request.view_only
        self.may_answer = request.answers and self.may_type
        """Whether its terminal answers the program's queries by itself, those that it sees."""
        self.answers_from: int | None = None
        """Offset from which on it sees them, if it may answer; what a picture shows has none."""
        self.all_output = request.all_output
        """Whether it reads the output rather than showing it, and wants all of it."""
        self.pacing = Pacing()
        self.hurry = False
        """Whether it has typed, and would like to see soon what comes of it."""
        self.outdated = False
        """Whether what it shows is no longer what the session's screen shows."""
        self.place = Place()
        self.waiting: Asked | None = None
        """The call by which it is shown the session, while it waits for output."""
        self._news: Typed | None = None
        self._told = 0
        self._company: Viewers | None = None
        self._company_told: Viewers | None = None

    def begin(self, place: Place, typed: int) -> None:
        """Stand at `place`, and know that `typed` bytes of its own have come."""
        self.place = place
        self.answers_from = place.offset if self.may_answer else None
        self._told = typed
        self._news = None

    def note_typed(self, total: int, *, tell: bool = False) -> bool:
        """Note that `total` typed bytes came; return whether that is news for the viewer.

        `tell` says that the viewer waits to hear it.
        """
        if total - self._told < TELL_TYPED_EVERY and not tell:
            return False
        self._told = total
        self._news = Typed(total)
        return True

    def note_viewers(self, viewers: Viewers) -> None:
        """Note who looks at the session; only the latest is told."""
        self._company = viewers

    def show_now(self, data: bytes, before: Place) -> bool:
        """Send the output behind `before`, which has just come; False if it is not its turn yet.

        Waking the task that shows it would cost a keystroke's echo a turn of the event loop.
        """
        if self.waiting is None or self.place != before:
            return False  # it has been woken already for something before
        if len(data) > min(CHUNK, self.waiting.room - self.pacing.held_back):
            return False
        if self.outdated or self._news is not None or self._company != self._company_told:
            return False
        self.waiting.send_nowait(data)
        self.place.offset += len(data)
        self.hurry = False  # it has caught up: what comes later it need not be spared
        return True

    def next_item(self) -> Typed | Viewers | None:
        """Return what the viewer must be told before the next byte of output, if anything."""
        if self._news is not None:
            news, self._news = self._news, None
            return news
        if self._company != self._company_told:
            self._company_told = self._company
            return self._company
        return None
