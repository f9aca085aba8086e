"""What a terminal shows, kept by an emulator (libghostty), and pictures of it.

A picture is terminal output that, written to a fresh terminal of the same size, reproduces this
one: both screens with text, wraps, scrollback, styles, links and saved cursors; the modes, margins,
tab stops, character sets, colours and title. A sequence that was cut in the middle is begun again
at its end, so that the bytes which follow continue it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyghostty import lib

from .content import draw_content
from .easy import orphans
from .emulator import SCROLLBACK_LINES, Emulator
from .formatted import formatted_history, formatted_picture
from .history import history_of
from .modes import mode_bit
from .picture import clean_title, draw_picture, encoded
from .snapshot import UNREADABLE, read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from .snapshot import Snapshot

__all__ = ["Screen"]

_log = logging.getLogger(__name__)


class Screen:
    """One terminal's emulator."""

    def __init__(
        self,
        cols: int,
        rows: int,
        on_reply: Callable[[bytes], None],
        scrollback: int = SCROLLBACK_LINES,
    ) -> None:
        """Begin with an empty screen; `on_reply` gets what the terminal answers to queries.

        `scrollback` is how many lines above the screen are kept.
        """
        self._on_reply = on_reply
        self._scrollback = scrollback
        self._emulator = Emulator(cols, rows, on_reply, scrollback)
        self._wanted = cols, rows  # DECCOLM changes what it has
        self._behind: tuple[object, bytes] | None = None
        self._unreadable = False

    def feed(self, data: bytes) -> None:
        """Take in output of the program; never fails on what a program may print."""
        self._emulator.feed(data)

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; the primary screen reflows."""
        if cols < self.size[0]:
            self._spare_wide_letters(cols)
        self._wanted = cols, rows
        self._emulator.resize(cols, rows)

    def picture(self) -> bytes:
        """Return terminal output that reproduces this screen on a fresh terminal."""
        snapshot = self._snapshot()
        if snapshot:
            try:
                picture = draw_picture(
                    snapshot,
                    self._wanted,
                    formatted=self._emulator.formatted_rows,
                    behind=self._drawn_behind(snapshot),
                )
                return picture + self._emulator.given_up
            except UNREADABLE as error:
                self._complain(error)
        return formatted_picture(self._emulator, self.title) + self._emulator.given_up

    def history(self, *, ansi: bool = False, lines: int | None = None) -> list[bytes]:
        """Return the scrollback and what is visible: lines in UTF-8, the oldest first.

        Lines that were wrapped are whole again; empty ones at the end are left out. With `ansi`
        each has its styles, and begins and ends plain; without, no control characters. Only the
        last `lines` are given, if that says so. Behind an alternate screen's primary one follows
        what the alternate shows.
        """
        snapshot = self._snapshot()
        if snapshot:
            try:
                simple = lines is None and not (ansi or snapshot.fixed.active)
                if simple and not orphans(snapshot.primary.pages):
                    # Here the emulator's own way leaves nothing out, and it is the fastest.
                    return formatted_history(self._emulator, ansi=False)
                formatted = self._emulator.formatted_rows
                return history_of(snapshot, ansi=ansi, lines=lines, formatted=formatted)
            except UNREADABLE as error:
                self._complain(error)
        found = formatted_history(self._emulator, ansi=ansi)
        return found if lines is None else found[max(len(found) - lines, 0) :]

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is active."""
        active = self._emulator.get("active_screen", "GhosttyTerminalScreen")
        return bool(active == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    @property
    def title(self) -> str:
        """What the program calls itself; control characters and excess are cut."""
        return clean_title(self._emulator.title)

    @property
    def text(self) -> str:
        """The visible rows as plain text."""
        return self._emulator.text

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._emulator.get("cols"), self._emulator.get("rows")

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, counted from 0."""
        return self._emulator.get("cursor_x"), self._emulator.get("cursor_y")

    @property
    def lines(self) -> list[str]:
        """The visible rows, from top to bottom, without blanks at their ends."""
        rows = self.size[1]
        lines = [line.rstrip(" ") for line in self.text.split("\n")]
        return (lines + [""] * rows)[:rows]

    def close(self) -> None:
        """Free the emulator."""
        self._emulator.close()

    def _snapshot(self) -> Snapshot | None:
        data = self._emulator.snapshot()
        if data is None:
            self._complain("the emulator makes none")
            return None
        try:
            return read_snapshot(data)
        except UNREADABLE as error:
            self._complain(error)
            return None

    def _complain(self, why: object) -> None:
        """Say once that pictures are not what they should be."""
        if not self._unreadable:
            self._unreadable = True
            _log.warning("a terminal's state cannot be read, so its pictures lack details: %s", why)

    def _drawn_behind(self, snapshot: Snapshot) -> bytes | None:
        """Return what the primary screen holds while the alternate one shows.

        That leaves it as it is, so that thousands of lines are drawn but once for all pictures.
        """
        if not snapshot.fixed.active:
            self._behind = None
            return None
        key = snapshot.primary.key, snapshot.fixed.rows
        if self._behind is None or self._behind[0] != key:
            drawn = draw_content(snapshot.primary.pages, snapshot.fixed.rows)
            self._behind = key, encoded(drawn)
        return self._behind[1]

    def _spare_wide_letters(self, cols: int) -> None:
        """Take out wide letters that would lose a half beyond the new edge, where nothing reflows.

        The emulator would keep the other half, and could make no snapshots any more. Nothing is
        fed to it for that: another one takes its place, with a picture without those letters.
        """
        snapshot = self._snapshot()
        try:
            if not (snapshot and _take_out(snapshot, cols)):
                return
            picture = draw_picture(snapshot, self._wanted)
        except UNREADABLE as error:
            self._complain(error)
            return
        other = Emulator(*self._wanted, lambda _: None, self._scrollback)
        other.feed(picture + self._emulator.given_up)
        other.answer(self._on_reply)
        self._emulator.close()
        self._emulator = other


def _take_out(snapshot: Snapshot, cols: int) -> bool:
    """Erase wide letters whose second half is in column `cols`; return whether there are any."""
    sides = [snapshot.alternate] if snapshot.alternate else []
    if not snapshot.fixed.modes & mode_bit("?7"):
        sides.append(snapshot.primary)
    found = False
    for side in sides:
        for page in side.pages:
            for y in range(len(page.rows)):
                found |= page.take_out_wide(y, cols - 1)
    return found
