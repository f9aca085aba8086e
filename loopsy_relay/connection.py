"""One connection as the switchboard sees it: messages in, an outbox, and one way to end.

What carries it is a `Line`: a WebSocket, or in tests something in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .config import RelayConfig
    from .outbox import Outbox

__all__ = ["Connection", "Ending", "HungUp", "Line"]

NOT_READING: Final = 4408


@attrs.frozen
class Ending:
    """Why a connection is over: a WebSocket close code, and words for whoever reads them.

    Without a code there is nobody left to tell.
    """

    code: int | None
    why: str


class HungUp(Exception):
    """The connection is over; `ending` says what is still to be said."""

    def __init__(self, ending: Ending) -> None:
        """Keep `ending`."""
        super().__init__(ending.why)
        self.ending = ending


class Line(Protocol):
    """What carries whole messages. One task receives; another sends, and closes in the end."""

    @property
    def outbox(self) -> Outbox:
        """What is to be sent; the line pokes it when it has to write by itself (a pong)."""

    async def receive(self) -> bytes:
        """Return the next message. Raises `HungUp`."""

    async def send(self, messages: list[bytes]) -> None:
        """Send these, and what the line itself has to say. Raises `HungUp`.

        Cancelled, the line is torn: nothing more can be said on it.
        """

    async def close(self, ending: Ending) -> None:
        """Say goodbye, if there is something to say and somebody there, and wait for an answer."""

    def keep_alive(self, now: float) -> bool:
        """Ask for a sign of life; return False when there has been none for too long."""


class Connection:
    """Runs one line until either side ends it. Not for use from other threads."""

    def __init__(self, line: Line, config: RelayConfig, number: int) -> None:
        """Prepare to `run`; `number` tells it from the others."""
        self.number = number
        self.line = line
        self.outbox = line.outbox
        self.ending: Ending | None = None
        self._stall = config.stall_seconds
        self._goodbye = config.goodbye_seconds
        self._reading = trio.CancelScope()

    @property
    def reason(self) -> str:
        """Why it ended, in words."""
        return self.ending.why if self.ending is not None else "over"

    def end(self, code: int | None, why: str, *, drop: bool = False) -> None:
        """Hang up: read nothing more, send what waits (unless `drop`), then say `code`, `why`.

        At once as far as others can see, and the first word is the last. Never blocks.
        """
        if self.ending is not None:
            return
        self.ending = Ending(code, why)
        if drop or code is None:
            self.outbox.drop()
        self.outbox.close()
        self._reading.cancel()

    async def run(self, read: Callable[[], Awaitable[None]]) -> None:
        """Send what is put into the outbox while `read` runs, until one of them is over.

        `read` may raise `HungUp`. The last words take `goodbye_seconds` at most. Cancelled,
        nothing is said.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            with self._reading:
                try:
                    await read()
                except HungUp as hung_up:
                    self.end(hung_up.ending.code, hung_up.ending.why)
            ending = self.ending or Ending(None, "over")
            self.end(ending.code, ending.why)
            deadline = trio.current_time() + self._goodbye
            nursery.cancel_scope.deadline = deadline
            if ending.code is None:
                nursery.cancel_scope.cancel()
        with trio.move_on_at(deadline):
            await self.line.close(ending)

    async def _write(self) -> None:
        """Be the one task that sends on this line."""
        while (batch := await self.outbox.take()) is not None:
            with trio.move_on_after(self._stall) as patience:
                try:
                    await self.line.send(batch)
                except HungUp as hung_up:
                    self.end(hung_up.ending.code, hung_up.ending.why, drop=True)
                    return
            if patience.cancelled_caught:
                # Half a message is on the wire, so that not even this can be told any more.
                self.end(NOT_READING, "it did not read", drop=True)
                return
