"""Showing a session in this terminal: output and keys, sizes, and connections that come back."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

from loopsy_core.client import Attached, Client, Drawn, Viewing, open_client
from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.wire import Ended, Resized, Viewers

from .display import Display
from .keys import HELP, KEYS_HELP, Keys, Pressed
from .reaching import reach
from .show import clean

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
NEWS_AT_ONCE: Final = 3
"""Viewers of whom it is said that they came or left, at most."""
MAX_TYPED: Final = 1 << 20
"""Typed bytes that wait for a session which takes none; more is dropped, with a bell."""
PIECE: Final = 16_384

_BELL: Final = b"\x07"
_PANS: Final = {
    Pressed.UP: (0, -1),
    Pressed.DOWN: (0, 1),
    Pressed.LEFT: (-1, 0),
    Pressed.RIGHT: (1, 0),
}


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
    home: Home,
    session: SessionInfo,
    terminal: Terminal,
    *,
    machine: str | None = None,
    view_only: bool,
) -> Outcome:
    """Show `session`, which may be on another `machine`, until it ends or the user leaves.

    Raises what the node answers when the session cannot be shown in the first place.
    """
    async with trio.open_nursery() as nursery:
        viewing = Viewing(session.id, view_only=view_only, answers=True, name=terminal.name)
        following = _Following(home, machine, viewing, terminal, nursery)
        await nursery.start(following.obey_signals)
        nursery.start_soon(following.read_keys)
        nursery.start_soon(following.display.keep_painting)
        await following.show()
    await following.display.leave()
    assert following.outcome is not None
    return following.outcome


class _Following:
    """What the tasks share. Whoever knows how it ends calls `finish`."""

    def __init__(
        self,
        home: Home,
        machine: str | None,
        viewing: Viewing,
        terminal: Terminal,
        nursery: trio.Nursery,
    ) -> None:
        self.outcome: Outcome | None = None
        self._home = home
        self._machine = machine
        self._viewing = viewing
        self._terminal = terminal
        self._nursery = nursery
        self._was_attached = False
        self._lost_at: float | None = None
        self._away = False  # whether the user was told that there is no connection
        self._showing: trio.CancelScope | None = None
        # What is to be told to the session, as soon as there is a connection.
        self._typed = bytearray()
        self._size_due = False
        self._claim_due = False
        self._news = trio.Event()
        self._names: Counter[str] | None = None  # who looks, as far as we know
        self._spoiled = False  # what is on the screen is not what should be there
        self._announced = False  # whether it was said whose size the session has
        self._keys = Keys()
        self.display = Display(terminal, nursery, self._redraw)

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
                    await self._show_on(reach(client, self._machine))
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
        elif silence > SOON and not self._away:
            self._away = True
            if self._machine is None:
                away = "The daemon is away; `loopsy start` brings it back"
            else:
                away = f"{clean(self._machine)} is away; this goes on when it is back"
            self.display.cover([f"{away}. {KEYS_HELP}"])
        await trio.sleep(BETWEEN_TRIES)

    async def _show_on(self, client: Client) -> None:
        """Show the session over one connection; it ends with an error or cancelled."""
        former = AsyncExitStack()
        try:
            while True:
                size = self._terminal.size
                if self._spoiled or self.display.marred:
                    self._viewing.spoiled()
                    self._spoiled = False
                self._viewing.answers = self.display.answers
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
                self._arrived(size)
                await self._show_attached(attached, first)
        finally:
            self.display.connected = False
            await former.aclose()

    def _arrived(self, size: tuple[int, int]) -> None:
        """Note that there is a connection again, over which this size was wished."""
        self._was_attached, self._lost_at = True, None
        self.display.wished(size)
        self._size_due = self._terminal.size != size
        self.display.connected = True
        if self._away:
            self._away = False
            self.display.uncover()

    async def _show_attached(self, attached: Attached, first: Drawn | None) -> None:
        """Show the session until the screen must be drawn anew."""
        with trio.CancelScope() as self._showing:
            # The call outlives these: what is typed when it has ended must wait for the next.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, attached)
                if first is not None:
                    await self.display.draw(first)
                if self._spoiled or self._viewing.answers != self.display.answers:
                    self._showing.cancel()
                await self._show_all(attached)

    async def _show_all(self, attached: Attached) -> None:
        while True:
            shown = await attached.receive()
            match shown:
                case bytes():
                    if self.display.passes:
                        self._keys.questions.shown(shown)
                    await self.display.output(shown)
                case Drawn():
                    await self.display.draw(shown)
                case Viewers():
                    self._company(shown)
                case Resized():
                    self.display.resized(shown.cols, shown.rows)
                    self._say_whose_size()
                case Ended():
                    self.finish(shown)
                    await trio.sleep_forever()

    def _company(self, viewers: Viewers) -> None:
        """Say who came and who left since we were told last."""
        before, now = self._names, Counter(viewers.names)
        self._names = now
        self.display.owned(viewers.owner)
        if before is not None:
            came = [f"{clean(name)} looks too" for name in now - before]
            left = [f"{clean(name)} has left" for name in before - now]
            if came or left:
                self.display.say(", ".join((came + left)[:NEWS_AT_ONCE]))
        self._say_whose_size()

    def _say_whose_size(self) -> None:
        """Say once why the session does not have the size of this terminal, if it does not."""
        size = self.display.window_size
        if size is None or self._announced or self._names is None:
            self._announced = self._announced and size is not None
            return
        self._announced = True
        others = self._names - Counter([self._viewing.name])
        whose = f", from {clean(next(iter(others)))}" if others.total() == 1 else ""
        takes = "" if self._viewing.view_only else "Ctrl-A S takes the size: "
        self.display.say(f"{takes}it is {size[0]}x{size[1]} now{whose}")

    def _redraw(self) -> None:
        """Have the host send a picture, for the display cannot go on with what it has."""
        self._spoiled = True
        if self._showing is not None:
            self._showing.cancel()

    # What the user does.

    async def read_keys(self) -> None:
        """Take what is typed, never waiting for the session: Ctrl-A D must always work."""
        keys = self._keys
        while True:
            data = None
            with trio.move_on_after(HELD_BACK if keys.waiting else float("inf")):
                data = await self._terminal.read()
            if data == b"":
                self.finish(Signalled(signal.SIGHUP))
                return
            keys.arrows = self.display.pannable
            keys.answering = self.display.owner
            for item in keys.flush() if data is None else keys.feed(data):
                match item:
                    case Pressed.DETACH:
                        self.finish(Detached())
                        return
                    case Pressed.SIZE:
                        self._claim_due = self._size_due = True
                        self._news.set()
                    case Pressed.HELP:
                        self.display.cover(HELP)
                    case Pressed.CLOSE:
                        self.display.uncover()
                    case Pressed():
                        self.display.pan(*_PANS[item])
                    case bytes():
                        await self._take(self.display.typed(item))

    async def _take(self, typed: bytes) -> None:
        if self._viewing.view_only or not typed:
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
                    self.display.wished(size)
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
                    self.display.refresh()
                self.display.fit()
                self._size_due = True
                self._news.set()
