"""What the host and its emulator process say to each other.

A place in a session's output is an offset in bytes and a number of size changes: together they
say exactly what the emulator has been given (`output.py`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from loopsy_core.wire import HistoryReply, Nothing, Operation, ScreenReply

__all__ = [
    "MOST_CALLS",
    "SPOKEN",
    "Beat",
    "Draw",
    "Drawn",
    "Feed",
    "ReadHistory",
    "ReadScreen",
    "Sized",
    "Told",
]

SPOKEN: Final = 1
"""Changes with anything in this file: a host that outlives an upgrade starts newer processes."""
MOST_CALLS: Final = 8192
"""Calls that may be open between the two: one a session, and one for each that looks at one."""


class Feed(Operation[Nothing], frozen=True, kw_only=True):
    """Keep a session's screen for as long as the call lasts.

    The first `picture` bytes of Data draw it as it was at the place `offset`, `resizes`, where it
    had `cols` x `rows`; then come output (Data) and size changes (`Sized`) in their order. Back
    comes `Told`. Queries before the offset `answered` were answered already.
    """

    op = "emulator.feed"
    grant = None
    reply = Nothing
    number: int
    cols: int
    rows: int
    offset: int
    resizes: int
    picture: int
    answered: int


class Sized(msgspec.Struct, frozen=True):
    """From here on the terminal has this size; it is size change number `resizes`."""

    cols: int
    rows: int
    resizes: int


class Told(msgspec.Struct, frozen=True):
    """What the terminal has to say to the output before `offset`, and has not said before."""

    offset: int
    replies: bytes = b""
    """Answers to the program's queries."""
    title: str | None = None
    """The title that the program has given it, if that is another."""


class Draw(Operation[Nothing], frozen=True, kw_only=True):
    """Draw the screen that is fed by `number`, at this place or later.

    Back come `Drawn` and then the picture as Data, unless it has more than `longest` bytes.
    """

    op = "emulator.draw"
    grant = None
    reply = Nothing
    number: int
    offset: int
    resizes: int
    longest: int | None = None


class Drawn(msgspec.Struct, frozen=True):
    """Where and how a picture was drawn, and whether it follows."""

    offset: int
    resizes: int
    cols: int
    rows: int
    title: str
    follows: bool


class ReadScreen(Operation[ScreenReply], frozen=True, kw_only=True):
    """Read the screen that is fed by `number` as text, at this place or later."""

    op = "emulator.screen"
    grant = None
    reply = ScreenReply
    number: int
    offset: int
    resizes: int


class ReadHistory(Operation[HistoryReply], frozen=True, kw_only=True):
    """Read its scrollback too: Data are the lines, a newline behind each."""

    op = "emulator.history"
    grant = None
    reply = HistoryReply
    number: int
    offset: int
    resizes: int
    ansi: bool
    lines: int | None


class Beat(Operation[Nothing], frozen=True, kw_only=True):
    """Ask for a sign of life."""

    op = "emulator.beat"
    grant = None
    reply = Nothing
