"""Showing a session in this terminal: output and keys, sizes, and connections that come back."""

from __future__ import annotations

import signal
from collections import Counter, deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

from loopsy_core.client import Attached, Client, Drawn, Viewing, open_client
from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.wire import Ended, Resized, Viewers

from .keys import KEYS_HELP, Keys, Pressed
from .show import clean, fit
from .tty import CLEAN

if TYPE_CHECKING:
    from loopsy_core.home import Home
    from loopsy_core.wire import SessionInfo

    from .tty import Terminal

__all__ = ["Detached", "Lost", "Outcome", "Signalled", "follow"]

PATIENCE: Final = 20.0
"""Seconds to wait for a daemon that went away; `loopsy restart` takes one or two."""
SOON: Final = 1.0
"""Seconds without a connection after which the user is told."""
BETWEEN_TRIES: Final = 0.1
HELD_BACK: Final = 0.05
"""Seconds that half an escape sequence waits for its other half."""
HELP_SHOWN: Final = 5.0
NEWS_SHOWN: Final = 2.0
"""Seconds for which a message of ours lies over the bottom line."""
MAX_TYPED: Final = 1 << 20
"""Typed bytes that wait for a session which takes none; more is dropped, with a bell."""
PIECE: Final = 16_384

_ERASE: Final = CLEAN + b"\x1b[H\x1b[2J"
_BELL: Final = b"\x07"


@attrs.frozen
class Detached:
    """The user wanted to leave."""


@attrs.frozen
class Lost:
    """The session cannot be reached any more."""

    why: str


@attrs.frozen
class Signalled:
    """We were told to end, or the terminal went away."""

    number: int


Outcome: TypeAlias = Detached | Ended | Lost | Signalled


async def follow(
    home: Home, session: SessionInfo, terminal: Terminal, *, view_only: bool
) -> Outcome:
    """Show `session` in `terminal` until one of them ends or the user leaves.

    Raises what the node answers when the session cannot be shown in the first place.
    """
    async with trio.open_nursery() as nursery:
        viewing = Viewing(session.id, view_only=view_only, answers=True)
        following = _Following(home, viewing, terminal, nursery)
        await nursery.start(following.obey_signals)
        nursery.start_soon(following.read_keys)
        await following.show()
    assert following.outcome is not None
    return following.outcome


class _Following:
    """What the tasks share. Whoever knows how it ends calls `finish`."""

    def __init__(
        self, home: Home, viewing: Viewing, terminal: Terminal, nursery: trio.Nursery
    ) -> None:
        self.outcome: Outcome | None = None
        self._home = home
        self._viewing = viewing
        self._terminal = terminal
        self._nursery = nursery
        self._was_attached = False
        self._lost_at: float | None = None
        self._showing: trio.CancelScope | None = None
        # What is to be told to the session, as soon as there is a connection.
        self._typed = bytearray()
        self._size_due = False
        self._claim_due = False
        self._news = trio.Event()
        # Whether the session's terminal is as large as ours, and the sizes we asked it to have.
        self._in_step = True
        self._wished: deque[tuple[int, int]] = deque(maxlen=64)
        self._names: Counter[str] | None = None  # who looks, as far as we know
        self._spoiled = False  # what is on the screen is not what should be there
        self._cover: str | None = None  # a message of ours that lies over it

    def finish(self, outcome: Outcome) -> None:
        """End it all, unless it has ended already."""
        if self.outcome is None:
            self.outcome = outcome
        self._nursery.cancel_scope.cancel()

    # What the session shows.

    async def show(self) -> None:
        """Show the session, over as many connections as it takes."""
        while True:
            try:
                async with open_client(self._home) as client:
                    await self._show_on(client)
            except LoopsyError as error:
                if not self._was_attached:
                    raise
                await self._wait_for_another(error)

    async def _wait_for_another(self, error: LoopsyError) -> None:
        """Pause before the next connection is tried, if there is any hope."""
        now = trio.current_time()
        if self._lost_at is None:
            self._lost_at = now
        silence = now - self._lost_at
        if silence > PATIENCE or not isinstance(error, Gone):
            self.finish(Lost(str(error)))
        elif silence > SOON and self._cover is None:
            await self._show_cover(
                "The daemon is away; this goes on when it is back.   " + KEYS_HELP
            )
        await trio.sleep(BETWEEN_TRIES)

    async def _show_on(self, client: Client) -> None:
        """Show the session over one connection; it ends with an error or cancelled."""
        former = AsyncExitStack()
        try:
            while True:
                size = self._terminal.size
                if self._spoiled or self._cover is not None:
                    self._viewing.spoiled()
                    self._spoiled = False
                current = AsyncExitStack()
                try:
                    attached, first = await current.enter_async_context(
                        client.attach(self._viewing, cols=size[0], rows=size[1])
                    )
                finally:
                    # Not before: whoever leaves and comes again stands behind the other viewers,
                    # and the terminal's size is no longer theirs to choose.
                    await former.aclose()
                former = current
                self._was_attached, self._lost_at = True, None
                self._wished.append(size)
                self._size_due = self._terminal.size != size
                await self._show_attached(attached, first)
        finally:
            await former.aclose()

    async def _show_attached(self, attached: Attached, first: Drawn | None) -> None:
        """Show the session until the screen must be drawn anew."""
        with trio.CancelScope() as self._showing:
            # The call outlives these: what is typed when it has ended must wait for the next.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, attached)
                if first is not None:
                    await self._draw(first)
                if self._spoiled:
                    self._showing.cancel()
                await self._show_all(attached)

    async def _show_all(self, attached: Attached) -> None:
        write = self._terminal.write
        while True:
            shown = await attached.receive()
            match shown:
                case bytes():
                    await write(shown)
                case Drawn():
                    await self._draw(shown)
                case Viewers():
                    self._company(shown)
                case Resized():
                    self._resized(shown.cols, shown.rows)
                case Ended():
                    self.finish(shown)
                    await trio.sleep_forever()

    def _company(self, viewers: Viewers) -> None:
        """Say who came and who left since we were told last."""
        before, now = self._names, Counter(viewers.names)
        self._names = now
        if before is None or self._cover is not None:
            return
        came = [f"{clean(name)} looks too" for name in now - before]
        left = [f"{clean(name)} has left" for name in before - now]
        if came or left:
            self._nursery.start_soon(self._say_briefly, ", ".join((came + left)[:3]), NEWS_SHOWN)

    async def _draw(self, drawn: Drawn) -> None:
        self._in_step = (drawn.cols, drawn.rows) == self._terminal.size
        self._cover = None
        await self._terminal.write(_ERASE + drawn.vt)

    def _resized(self, cols: int, rows: int) -> None:
        """Keep track of whose size the session has.

        While another viewer's is in force, our screen breaks its lines elsewhere; when ours is
        in force again, only a whole picture puts that right.
        """
        if (cols, rows) not in self._wished:
            self._in_step = False
        elif not self._in_step and (cols, rows) == self._terminal.size:
            self._redraw()

    def _redraw(self) -> None:
        self._spoiled = True
        if self._showing is not None:
            self._showing.cancel()

    # What the user does.

    async def read_keys(self) -> None:
        """Take what is typed, never waiting for the session: Ctrl-A D must always work."""
        keys = Keys()
        while True:
            data = None
            with trio.move_on_after(HELD_BACK if keys.waiting else float("inf")):
                data = await self._terminal.read()
            if data == b"":
                self.finish(Signalled(signal.SIGHUP))
                return
            for item in keys.flush() if data is None else keys.feed(data):
                if self._cover is not None:
                    self._redraw()
                match item:
                    case Pressed.DETACH:
                        self.finish(Detached())
                        return
                    case Pressed.SIZE:
                        self._claim_due = self._size_due = True
                        self._news.set()
                    case Pressed.HELP:
                        self._nursery.start_soon(self._say_briefly, KEYS_HELP, HELP_SHOWN)
                    case bytes():
                        await self._take(item)

    async def _take(self, typed: bytes) -> None:
        if self._viewing.view_only:
            return
        if len(self._typed) + len(typed) > MAX_TYPED:
            await self._terminal.write(_BELL)
            return
        self._typed += typed
        self._news.set()

    async def _tell(self, attached: Attached) -> None:
        """Tell the session what was typed and how large our window is."""
        while True:
            try:
                if self._size_due:
                    self._size_due = False
                    size = self._terminal.size
                    self._wished.append(size)
                    if self._claim_due and not self._viewing.view_only:
                        await attached.claim_size(*size)
                    else:
                        await attached.wish_size(*size)
                    self._claim_due = False
                elif self._typed:
                    # Noted by `viewing` before anything else happens: if this connection does
                    # not bring it there, the next one will.
                    piece = bytes(self._typed[:PIECE])
                    del self._typed[:PIECE]
                    await attached.type(piece)
                else:
                    self._news = trio.Event()
                    await self._news.wait()
            except Gone:
                return  # whoever receives is told why

    async def obey_signals(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Follow the window's size, come back from having been stopped, end when told to."""
        numbers = (signal.SIGWINCH, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP)
        with trio.open_signal_receiver(*numbers) as signals:
            task_status.started()
            async for number in signals:
                if number not in (signal.SIGWINCH, signal.SIGCONT):
                    self.finish(Signalled(number))
                    return
                if number == signal.SIGCONT:
                    # Whoever stopped us may have used the terminal meanwhile.
                    self._terminal.make_raw()
                    self._redraw()
                self._size_due = True
                self._news.set()

    # What we have to say ourselves.

    async def _say_briefly(self, text: str, seconds: float) -> None:
        await self._show_cover(text)
        await trio.sleep(seconds)
        if self._cover == text:
            self._redraw()

    async def _show_cover(self, text: str) -> None:
        """Lay a line over the bottom of the screen; drawing the screen again removes it."""
        self._cover = text
        line = fit(f" {text} ", self._terminal.size[0] - 1)
        await self._terminal.write(b"\x1b7\x1b[999;1H\x1b[0;7m" + line.encode() + b"\x1b[0m\x1b8")
