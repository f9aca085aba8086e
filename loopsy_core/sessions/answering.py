"""Who answers the program's queries: the terminal that was shown them, else the emulator.

Each is answered once. What the emulator has to say to a query comes a moment after the query, and
whose terminal has the session's size may have changed meanwhile; so what counts is not who owns
the size by then, but whose terminal the output went to.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .audience import Audience

__all__ = ["Answering"]

MOST_HELD: Final = 16_384
"""Bytes of answers that wait until it is known who gives them; the oldest are given then."""
MOST_SPANS: Final = 16
"""Stretches of output shown to terminals that are remembered; the emulator is past older ones."""


class Answering:
    """Pure state, beside the audience; `write` gives the program an answer."""

    def __init__(self, audience: Audience, write: Callable[[bytes], None]) -> None:
        """Begin without a query."""
        self._audience = audience
        self._write = write
        self._held: deque[tuple[int, bytes]] = deque()
        self._size = 0
        # Begin and end of what the terminals of former owners were shown as it came.
        self._spans: deque[tuple[int, int]] = deque(maxlen=MOST_SPANS)

    def answer(self, offset: int, data: bytes) -> None:
        """Give an answer of the emulator, unless a terminal does.

        `offset` is where the output ends that holds the query.
        """
        self._held.append((offset, data))
        self._size += len(data)
        self.settle()

    def turn(self) -> None:
        """Remember what the owner's terminal was shown: it is about to own no more, or to skip."""
        if (owner := self._audience.owner) is None or owner.answers_from is None:
            return
        span = owner.answers_from, owner.place.offset
        if self._spans and self._spans[-1][0] == span[0]:
            self._spans.pop()
        self._spans.append(span)

    def settle(self) -> None:
        """Give the answers, or leave them out, of which it is known by now who gives them."""
        while self._held:
            offset, data = self._held[0]
            shown = self._is_shown(offset)
            if shown is None and self._size <= MOST_HELD:
                return
            self._held.popleft()
            self._size -= len(data)
            if not shown:
                self._write(data)

    def _is_shown(self, offset: int) -> bool | None:
        """Whether a terminal was shown what stands before `offset`; None if it may be yet."""
        if any(begin < offset <= end for begin, end in self._spans):
            return True
        owner = self._audience.owner
        if owner is None or not owner.may_answer:
            return False
        if owner.answers_from is None or owner.place.offset < offset:
            return None
        return owner.answers_from < offset
