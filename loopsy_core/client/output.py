"""What the program of a session writes, from any position on, and where it stands now.

A position is a text that others can keep and hand back, also to another process: this is for
readers that come and go, where `RemoteSession` is for those that stay.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest
from loopsy_core.wire import Ended

from .attached import Drawn
from .viewing import Viewing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.wire import SessionInfo

    from .attached import Attached
    from .client import Client

__all__ = ["BEGINNING", "SessionOutput", "open_output"]

BEGINNING: Final = "0"
"""The position before the first byte that a session's program wrote."""


class SessionOutput:
    """The output of a session; `Client.output` opens it. One task receives."""

    def __init__(self, attached: Attached, viewing: Viewing, drawn: Drawn | None, end: int) -> None:
        """Read what `attached` brings to `viewing`; the output went to `end` when it began."""
        self._attached = attached
        self._viewing = viewing
        self._end = end
        self.ended: Ended | None = None
        """How the program ended, once all its output was received."""
        self.lost = drawn is not None
        """Whether output before this is gone, and nobody knows how much."""

    @property
    def position(self) -> str:
        """Where the next byte that is received will stand."""
        return self.position_before(0)

    def position_before(self, count: int) -> str:
        """Where the last `count` bytes begin that were received."""
        epoch, offset = self._viewing.position
        return f"{epoch}:{offset - count}"

    @property
    def missed(self) -> int:
        """How many bytes of output were not kept for us so far."""
        return self._viewing.missed

    @property
    def caught_up(self) -> bool:
        """Whether all was received that there was when this was opened."""
        return self.ended is not None or self._viewing.position[1] >= self._end

    async def receive(self) -> bytes:
        """Wait for the next output; b"" once the program has ended.

        Raises `Gone` when the connection is lost: open another from `position` on.
        """
        while self.ended is None:
            heard = await self._attached.hear()
            match heard:
                case bytes():
                    return heard
                case Ended():
                    self.ended = heard
                case Drawn():
                    self.lost = True
        return b""


@asynccontextmanager
async def open_output(
    client: Client, info: SessionInfo, after: str | None
) -> AsyncGenerator[SessionOutput]:
    """Do what `Client.output` says."""
    viewing = Viewing(info.id, view_only=True)
    async with client.attach(viewing, cols=info.cols, rows=info.rows):
        viewing.all_output = True  # a picture tells where the output stands; from there on, all
        now = viewing.position
    if after is not None:
        position = None if after == BEGINNING else _parse(after)
        viewing = Viewing(info.id, view_only=True, all_output=True, after=position)
    async with client.attach(viewing, cols=info.cols, rows=info.rows) as (attached, drawn):
        yield SessionOutput(attached, viewing, drawn, now[1])


def _parse(position: str) -> tuple[str, int]:
    epoch, colon, offset = position.partition(":")
    if not colon or not epoch or not offset.isdecimal() or len(offset) > 18:
        raise BadRequest(f"{position!r} is no position in a session's output")
    return epoch, int(offset)
