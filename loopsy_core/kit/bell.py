"""A bell: rung when there is something to look at, heard by whoever listened before looking."""

from __future__ import annotations

import trio

__all__ = ["Bell"]


class Bell:
    """Wakes everybody who waits at that moment, and remembers nothing.

    Listen, then look, then wait: what rings in between is heard.

        rung = bell.listen()
        while not look():
            await rung.wait()
            rung = bell.listen()
    """

    def __init__(self) -> None:
        """Begin silent."""
        self._event = trio.Event()

    def listen(self) -> trio.Event:
        """Return an event that is set by the next ring."""
        return self._event

    def ring(self) -> None:
        """Wake all who listen."""
        self._event.set()
        self._event = trio.Event()
