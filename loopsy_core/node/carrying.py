"""Files that this machine's user moves to another machine or from it, without passing them on.

The user's program would read them, and hand every byte to us, for us to seal it; or the other way
round. Where we see the same files, we may as well do all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import trio

from loopsy_core.errors import Refused
from loopsy_core.files import sight
from loopsy_core.kit import one_error
from loopsy_core.wire import FetchFiles, FilesMoved, SendFiles, decode

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.client import Moving
    from loopsy_core.home import Home
    from loopsy_core.links import Asked, Call, Conversation
    from loopsy_core.wire import Operation

__all__ = ["Carrier"]

R = TypeVar("R")

AT_ONCE: Final = 16
"""Transfers; others wait for their turn."""
TOLD_EVERY: Final = 0.05
"""Seconds between two words of how far it is."""


class Carrier:
    """One for a node."""

    ops: ClassVar = frozenset((SendFiles.op, FetchFiles.op))

    def __init__(self, home: Home) -> None:
        """Move anything but what is in `home`."""
        self._home = home
        self._turns = trio.CapacityLimiter(AT_ONCE)

    async def carry(self, asked: Asked, peer: Conversation) -> FilesMoved:
        """Move files as `asked`, over `peer`, and tell how far it is."""
        request: SendFiles | FetchFiles
        if asked.op == SendFiles.op:
            request = decode(asked.params, SendFiles)
        else:
            request = decode(asked.params, FetchFiles)
        if request.sight != sight():
            raise Refused("the node sees other files than you do", why="elsewhere")
        async with self._turns:
            moving = self._moving(request)
            moving.after = request.after
            teller = _Teller(asked, moving)
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(teller.tell_for_ever)
                    moved = await moving.over(_Direct(peer))
                    nursery.cancel_scope.cancel()
            await teller.tell_all()
        return FilesMoved(moved.files, moved.bytes)

    def _moving(self, request: SendFiles | FetchFiles) -> Moving:
        from loopsy_core.client import Pulling, Sending

        if isinstance(request, FetchFiles):
            return Pulling(request.paths, request.dest, home=self._home, mask=request.umask)
        return Sending(request.paths, request.dest, home=self._home)


class _Teller:
    def __init__(self, asked: Asked, moving: Moving) -> None:
        self._asked = asked
        self._moving = moving
        self._told = 0
        self._known = 0

    async def tell_for_ever(self) -> None:
        while True:
            await trio.sleep(TOLD_EVERY)
            if self._told != self._moving.moves:
                await self._tell()

    async def tell_all(self) -> None:
        while await self._tell():
            pass

    async def _tell(self) -> int:
        self._told = self._moving.moves
        told = self._moving.carried(self._known)
        await self._asked.send_item(told)
        self._known += len(told.skipped)
        return len(told.skipped)


class _Direct:
    """The other machine, of which we ask ourselves."""

    def __init__(self, conversation: Conversation) -> None:
        self.by_our_node = False
        self._conversation = conversation

    def open_call(self, operation: Operation[R]) -> AbstractAsyncContextManager[Call]:
        return self._conversation.open_call(operation)
