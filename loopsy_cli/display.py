"""What the user's terminal shows of a session: its output as it comes, or a window on its screen.

Output passes through untouched as long as the session has the size of this terminal. While it
has another's, or something of ours lies over it, the screen is emulated here and drawn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from .show import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loopsy_core.client import Drawn

    from .tty import Terminal
    from .window import Window

__all__ = ["Display"]

FRAME: Final = 1 / 40
"""Seconds between two drawings of a window, at least."""
FRAMES_HELD: Final = 6
"""Drawings that are left out, at most, for a program that asks to wait until it is through."""
SETTLED: Final = 0.1
"""Seconds for which the sizes must agree before output passes through again: somebody who drags
the edge of another window passes by many sizes."""
SHOWN: Final = 2.5
"""Seconds for which a message of ours lies over the bottom line."""
LAST_DRAWING: Final = 0.5
"""Seconds that the last drawing may wait for a terminal that takes nothing."""


class Display:
    """Whoever follows the session tells what comes; a new picture is asked for by `redraw`."""

    def __init__(
        self, terminal: Terminal, nursery: trio.Nursery, redraw: Callable[[], None]
    ) -> None:
        """Show on `terminal`, with tasks in `nursery`."""
        self._terminal = terminal
        self._nursery = nursery
        self._redraw = redraw
        self._window: Window | None = None
        self._drawn = False  # whether our terminal has the session's scrollback already
        self._changed = trio.Event()
        self._cover: Sequence[str] = ()
        self._brief = False  # whether it goes away by itself, or with the next key
        self._size = terminal.size  # the session's
        self._wished: deque[tuple[int, int]] = deque(maxlen=64)
        self._granted = True  # whether that is a size which this terminal has asked for
        self.owner = True
        """Whether the session's size is this terminal's to choose."""
        self.connected = False
        """Whether there is anybody to ask for a picture."""
        self.marred = 0
        """Rows at the bottom where something was written over what should be there."""

    # What is known.

    @property
    def answers(self) -> bool:
        """Whether this terminal is to see, and so to answer, what the program asks of its own."""
        return not self._needs_window

    @property
    def passes(self) -> bool:
        """Whether output goes to this terminal as it is."""
        return self._window is None

    @property
    def window_size(self) -> tuple[int, int] | None:
        """The session's size while it is another than this terminal's; else None."""
        return None if self._fits else self._size

    @property
    def pannable(self) -> bool:
        """Whether there is more of the session's screen than is visible."""
        return self._window is not None and self._window.pannable

    @property
    def _fits(self) -> bool:
        """Whether the session has our size, or will as soon as it has seen our latest one."""
        return self._size == self._terminal.size or (self.owner and self._granted)

    @property
    def _needs_window(self) -> bool:
        return bool(self._cover) or not self._fits

    # What the session does.

    async def draw(self, drawn: Drawn) -> None:
        """Show a whole screen instead of everything so far."""
        self._size = (drawn.cols, drawn.rows)
        self._granted = self._size in self._wished
        self.marred = 0
        if not self._needs_window:
            self._close_window()
            vt = self._without_scrollback(drawn) if self._drawn else drawn.vt
            self._drawn = True
            await self._terminal.write(self._terminal.clean + b"\x1b[H\x1b[2J" + vt)
        elif self._window is None:
            self._window = self._open_window()
            self._window.feed(drawn.vt)
            self._window.cover(self._cover)
            await self._paint(self._window, self._terminal.clean + self._window.draw())
        else:
            self._window.begin(*self._size)
            self._window.feed(drawn.vt)
            self._paint_soon()

    async def output(self, data: bytes) -> None:
        """Show output of the program."""
        if self._window is None:
            await self._terminal.write(data)
        else:
            self._window.feed(data)
            self._paint_soon()

    def resized(self, cols: int, rows: int) -> None:
        """Follow the session to another size."""
        self._size = (cols, rows)
        self._granted = self._size in self._wished
        while self._granted and self._wished[0] != self._size:
            self._wished.popleft()
        if self._window is not None:
            self._window.resize(cols, rows)
            self._paint_soon()
        self._adapt()

    def owned(self, owner: bool) -> None:
        """Note whether the size is this terminal's to choose."""
        self.owner = owner
        self._adapt()

    # What the user does.

    def wished(self, size: tuple[int, int]) -> None:
        """Note that the session was asked to have this size."""
        self._wished.append(size)

    def fit(self) -> None:
        """Follow our terminal to another size."""
        if self._window is not None:
            self._window.fit(*self._terminal.size)
            self._paint_soon()
        self._adapt()

    def pan(self, columns: int, rows: int) -> None:
        """Show another part of a screen that is larger than ours."""
        if self._window is not None:
            self._window.pan(columns, rows)
            self._paint_soon()

    def typed(self, data: bytes) -> bytes:
        """Return what the session should get; our own brief messages go away."""
        if self._brief:
            self.uncover()
        if self._window is None:
            return data
        self._window.follow()
        self._paint_soon()
        return self._window.typed(data)

    def refresh(self) -> None:
        """Show everything again: somebody else has used the terminal meanwhile."""
        if self._window is None:
            self._redraw()
        else:
            self.fit()

    # What we have to say ourselves.

    def say(self, text: str) -> None:
        """Lay a line over the bottom for a moment, unless something else lies there."""
        if not self._cover or self._brief:
            self._nursery.start_soon(self._say, (text,))

    async def _say(self, lines: Sequence[str]) -> None:
        self.cover(lines)
        self._brief = True
        await trio.sleep(SHOWN)
        if self._cover is lines:
            self.uncover()

    def cover(self, lines: Sequence[str]) -> None:
        """Lay lines over the bottom, until `uncover`."""
        self._cover = lines
        self._brief = False
        if self._window is not None:
            self._window.cover(lines)
            self._paint_soon()
        elif self.connected:
            self._redraw()
        else:
            # Nobody can tell us what would be around it, so it is written over what is there.
            self.marred = max(self.marred, len(lines))
            self._nursery.start_soon(self._write_over, lines)

    def uncover(self) -> None:
        """Take away what `cover` laid there."""
        self._cover = ()
        self._brief = False
        if self._window is not None:
            self._window.cover(())
            self._paint_soon()
        self._adapt()

    async def _write_over(self, lines: Sequence[str]) -> None:
        width, height = self._terminal.size
        parts = [b"\x1b7\x1b[0;7m"]
        for number, line in enumerate(lines, height - len(lines) + 1):
            parts.append(b"\x1b[%d;1H" % max(1, number) + fit(f" {line} ", width - 1).encode())
        await self._terminal.write(b"".join(parts) + b"\x1b[0m\x1b8")

    # The window.

    def _open_window(self) -> Window:
        self._terminal.guard()
        # What draws it takes a tenth of a second to load, and most terminals never need it.
        from .window import Window

        return Window(self._size, self._terminal.size)

    def _without_scrollback(self, drawn: Drawn) -> bytes:
        self._terminal.guard()
        from .emulated import without_scrollback

        return without_scrollback(drawn.vt, drawn.cols, drawn.rows)

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _adapt(self) -> None:
        """See to it that output passes through, or that a window shows it, as it should be."""
        if self._window is None and self._needs_window and self.connected:
            self._redraw()
        elif self._window is not None and not self._needs_window:
            self._nursery.start_soon(self._settle)

    async def _settle(self) -> None:
        size = self._terminal.size
        await trio.sleep(SETTLED)
        if (
            self._window is not None
            and not self._cover
            and self._size == self._terminal.size == size
        ):
            self._redraw()

    def _paint_soon(self) -> None:
        self._changed.set()

    async def keep_painting(self) -> None:
        """Draw the window whenever it has changed, for ever."""
        while True:
            await self._changed.wait()
            for _ in range(FRAMES_HELD):
                if self._window is None or not self._window.unready:
                    break
                await trio.sleep(FRAME)
            self._changed = trio.Event()
            if self._window is not None and (drawing := self._window.draw()):
                await self._paint(self._window, drawing)
            await trio.sleep(FRAME)

    async def _paint(self, window: Window, drawing: bytes) -> None:
        try:
            await self._terminal.write(drawing)
        except trio.Cancelled:
            window.forget()  # nobody knows how much of it has got there
            raise

    async def leave(self) -> None:
        """Show the session alone for the last time, without border and messages."""
        if self._window is not None:
            with trio.move_on_after(LAST_DRAWING):
                await self._terminal.write(self._window.leave())
            self._close_window()
        elif self.marred:
            # Nobody told us again what was there, but what we said there is true no longer.
            first = max(1, self._terminal.size[1] - self.marred + 1)
            with trio.move_on_after(LAST_DRAWING):
                await self._terminal.write(b"\x1b7\x1b[0m\x1b[%d;1H\x1b[J\x1b8" % first)
