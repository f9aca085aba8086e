"""One viewer of a session: where it stands in the output, and what it is still to be told."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from loopsy_core.wire import CHUNK, Resized, Typed, Viewers

from .pacing import Pacing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loopsy_core.links import Asked
    from loopsy_core.wire import AttachSession

__all__ = ["Viewer"]

TELL_TYPED_EVERY: Final = 32_768
"""Typed bytes after which the viewer is told that they came, so that it may forget them."""

MAX_MARKS: Final = 256
"""Size changes still ahead of a viewer; one that reads nothing for so long misses the oldest."""


class Viewer:
    """Pure state; the session moves it, the attached call reads it."""

    def __init__(self, request: AttachSession) -> None:
        """Begin as whoever asked `request`."""
        self.id = request.viewer
        self.name = request.name
        self.cols = request.cols
        self.rows = request.rows
        self.may_type = not request.view_only
        self.answers = request.answers and self.may_type
        """Whether its terminal answers the program's queries by itself."""
        self.all_output = request.all_output
        """Whether it reads the output rather than showing it, and wants all of it."""
        self.pacing = Pacing()
        self.hurry = False
        """Whether it has typed, and would like to see soon what comes of it."""
        self.offset = 0
        self.waiting: Asked | None = None
        """The call by which it is shown the session, while it waits for output."""
        self._marks: deque[tuple[int, Resized]] = deque(maxlen=MAX_MARKS)
        self._news: Typed | None = None
        self._told = 0
        self._company: Viewers | None = None
        self._company_told: Viewers | None = None

    def begin(self, offset: int, typed: int, marks: list[tuple[int, Resized]]) -> None:
        """Stand at `offset`, with these size changes still ahead."""
        self.offset = offset
        self._told = typed
        self._marks = deque(marks, MAX_MARKS)
        self._news = None

    def resume(self, offset: int, typed: int, resizes: Iterable[tuple[int, Resized]]) -> Resized:
        """Stand at `offset` again; return the size there, of all that there were, oldest first."""
        marks = list(resizes)
        before = [resized for at, resized in marks if at <= offset] or [marks[0][1]]
        self.begin(offset, typed, [(at, resized) for at, resized in marks if at > offset])
        return before[-1]

    def mark(self, offset: int, resized: Resized) -> None:
        """Remember that the terminal changed its size at `offset` of the output."""
        if self._marks and self._marks[-1][0] == offset:
            self._marks.pop()
        self._marks.append((offset, resized))

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

    def show_now(self, data: bytes, offset: int) -> bool:
        """Send the output at `offset`, which has just come; False if it is not its turn yet.

        Waking the task that shows it would cost a keystroke's echo a turn of the event loop.
        """
        if self.waiting is None or self.offset != offset:
            return False  # it has been woken already for something before
        if len(data) > min(CHUNK, self.waiting.room - self.pacing.held_back):
            return False
        if self._marks or self._news is not None or self._company != self._company_told:
            return False
        self.waiting.send_nowait(data)
        self.offset += len(data)
        return True

    def next_item(self) -> Typed | Resized | Viewers | None:
        """Return what the viewer must be told before the next byte of output, if anything."""
        if self._news is not None:
            news, self._news = self._news, None
            return news
        if self._company != self._company_told:
            self._company_told = self._company
            return self._company
        if self._marks and self._marks[0][0] <= self.offset:
            return self._marks.popleft()[1]
        return None

    @property
    def barrier(self) -> int | None:
        """The offset up to which output may be sent before the next item is due."""
        return self._marks[0][0] if self._marks else None
