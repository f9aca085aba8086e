"""What a viewer of a session knows: where it stands, and what it typed that may be lost.

PROTOCOL.md section 5, the viewer's side, as pure state: it survives the connection, so that
after a reconnect no byte of output is missing or doubled, and none of what was typed.
"""

from __future__ import annotations

import secrets
from typing import Final

from loopsy_core.errors import Busy, ProtocolViolation
from loopsy_core.wire import AttachSession, Picture, Resumed, Typed

__all__ = ["Viewing"]

MAX_UNCONFIRMED: Final = 1 << 20
"""Typed bytes that are kept until the host is known to have them."""


class Viewing:
    """One viewer of one session, across its connections."""

    def __init__(
        self,
        session: str,
        *,
        view_only: bool = False,
        answers: bool = False,
        all_output: bool = False,
        after: tuple[str, int] | None = None,
        name: str = "",
    ) -> None:
        """Begin without having seen anything of `session`.

        `answers` says that what is shown goes to a real terminal, which answers the program's
        queries by itself; else the host does. With `all_output` nothing is shown but read: all
        output from the beginning instead of pictures of the screen, or from `after` on, the
        `position` of a former viewing. `name` is who looks, for the other viewers.
        """
        self.session = session
        self.view_only = view_only
        self.answers = answers
        self.all_output = all_output
        self.name = name
        self.missed = 0
        """With `all_output`: bytes of output that the host did not have any more."""
        self.connections = 0
        """How many connections it has been shown over; the latest counts, others are void."""
        self._viewer = secrets.token_bytes(16)
        self._epoch: str | None = None if after is None else after[0]
        self._offset = 0 if after is None else after[1]
        self._resizes = 0
        self._size: tuple[int, int] | None = None
        self._screen_spoiled = False
        self._confirmed = 0  # typed bytes that the host has
        self._unconfirmed = bytearray()  # typed after those

    def request(self, cols: int, rows: int) -> AttachSession:
        """Return what to ask on a new connection."""
        return AttachSession(
            session=self.session,
            viewer=self._viewer,
            cols=cols,
            rows=rows,
            view_only=self.view_only,
            answers=self.answers,
            epoch=self._epoch,
            offset=None if self._epoch is None or self._screen_spoiled else self._offset,
            typed=self._confirmed,
            name=self.name,
            resizes=None if self._epoch is None else self._resizes,
            all_output=self.all_output,
        )

    def began(self, item: Resumed | Picture) -> bytes:
        """Note where the output goes on; return what was typed and must be sent again."""
        if isinstance(item, Resumed) and not self._goes_on(item):
            raise ProtocolViolation("the host resumes from where we never were")
        if self.all_output and self._epoch in (None, item.epoch):
            self.missed += item.offset - self._offset
        if item.epoch != self._epoch and self._epoch is not None:
            self._confirmed, self._unconfirmed = item.typed, bytearray()
        self._epoch = item.epoch
        self._offset = item.offset
        self._resizes = item.resizes
        self._screen_spoiled = False
        self.confirmed(Typed(item.typed))
        return bytes(self._unconfirmed)

    def _goes_on(self, item: Resumed) -> bool:
        """Whether the host goes on where we are or, for a reader, behind what it has lost."""
        if self.all_output:
            return item.epoch == (self._epoch or item.epoch) and item.offset >= self._offset
        return (item.epoch, item.offset) == (self._epoch, self._offset)

    def shown(self, data: bytes) -> None:
        """Note that output was taken over; from now on it will not come again."""
        self._offset += len(data)

    @property
    def position(self) -> tuple[str, int]:
        """Where the output stands, as epoch and offset; for `after`, also in another process."""
        return self._epoch or "", self._offset

    def sized(self, cols: int, rows: int) -> bool:
        """Note the terminal's size where the output stands; return whether that is news."""
        before, self._size = self._size, (cols, rows)
        return before != self._size

    def resized(self) -> None:
        """Note that a size change was shown; from now on it will not come again."""
        self._resizes += 1

    def spoiled(self) -> None:
        """Note that what was shown is no longer on the screen: next time it is drawn whole."""
        self._screen_spoiled = True

    @property
    def room(self) -> int:
        """How many more bytes may be typed before the session has some of them."""
        return MAX_UNCONFIRMED - len(self._unconfirmed)

    def typed(self, data: bytes) -> None:
        """Note what is about to be sent; raises `Busy` when too much is unconfirmed."""
        if len(data) > self.room:
            raise Busy("too much was typed that the session has not taken yet")
        self._unconfirmed += data

    @property
    def confirmed_total(self) -> int:
        """How many of them the session is known to have."""
        return self._confirmed

    @property
    def typed_total(self) -> int:
        """How many bytes were typed in all."""
        return self._confirmed + len(self._unconfirmed)

    def typed_after(self, total: int, most: int) -> bytes:
        """Return what was typed after the first `total` bytes, up to `most` of it."""
        begin = total - self._confirmed
        if begin < 0:
            raise ProtocolViolation("the host has bytes that we never sent")
        return bytes(self._unconfirmed[begin : begin + most])

    def confirmed(self, item: Typed) -> None:
        """Forget typed bytes that the host has."""
        count = item.total - self._confirmed
        if not 0 <= count <= len(self._unconfirmed):
            raise ProtocolViolation("the host has bytes that we never typed")
        del self._unconfirmed[:count]
        self._confirmed = item.total
