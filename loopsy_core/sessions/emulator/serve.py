"""The emulator process: what the sessions of one host show.

It has no files, programs or terminals: only what the host feeds to it over one socket, and it
ends with that socket. Output of a program can end it at any moment, for the emulator is not
written in Python; then the host starts another, and knows by the mark whose output it was.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import socket
import sys
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import BadRequest, Gone
from loopsy_core.links import Channel, FramedChannel, open_conversation
from loopsy_core.screen import Screen
from loopsy_core.wire import HistoryReply, Nothing, ScreenReply, decode

from .mark import Mark
from .said import (
    MOST_CALLS,
    SPOKEN,
    Beat,
    Draw,
    Drawn,
    Feed,
    ReadHistory,
    ReadScreen,
    Sized,
    Told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from loopsy_core.links import Asked

    MakeScreen: TypeAlias = Callable[[int, int, Callable[[bytes], None]], Screen]

__all__ = ["main", "serve_emulator"]

LONGEST_TURN: Final = 0.001
"""Seconds that one session's output may take before all others have their turn."""
SMALLEST_SLICE: Final = 4096
LARGEST_SLICE: Final = 65_536
"""Bytes of output taken in one turn, fewer where they take longer: some output (`yes`: a scroll
every two bytes) costs twenty times as much as other."""
MOST_REPLIES: Final = 16_384
"""Bytes of answers to the queries of one slice; no program's terminal would hold as many."""
MOST_KEPT: Final = 16 << 20
"""Bytes of pictures that are kept until their screens change: the one that was drawn for the disk
is also what the next viewer sees."""
COMING: Final = 10.0
"""Seconds for which a call waits for the feed that it belongs to, which was asked before it."""


class _Fed:
    """One session's screen, and how far it has been fed."""

    def __init__(self, feed: Feed, mark: Mark, make: MakeScreen) -> None:
        self._number = feed.number
        self._mark = mark
        self._answered = feed.answered
        self._most = LARGEST_SLICE
        self._moved = trio.lowlevel.ParkingLot()
        self._replies = bytearray()
        self._title = ""
        self.offset = feed.offset
        self.resizes = feed.resizes
        self.drawn = not feed.picture
        """Whether it has all of the picture that it begins with."""
        self.gone = False
        with mark.at_work(self._number, self.offset, self.resizes):
            self.screen = make(feed.cols, feed.rows, self._reply)

    def _reply(self, data: bytes) -> None:
        if len(self._replies) + len(data) <= MOST_REPLIES:
            self._replies += data

    async def draw(self, data: bytes, *, last: bool) -> None:
        """Take a part of the picture that it begins with, the `last` or another."""
        with self._mark.at_work(self._number, self.offset, self.resizes):
            self.screen.feed(data)
        self._replies.clear()
        self.drawn = last
        self._moved.unpark_all()
        await trio.lowlevel.checkpoint()

    async def take(self, data: bytes, asked: Asked) -> None:
        """Take output, in slices so small that all sessions have their turns."""
        at = 0
        while at < len(data):
            most = self._most
            if self.offset < self._answered:
                # What was answered and what was not must not share a slice.
                most = min(most, self._answered - self.offset)
            part = data[at : at + most]
            at += len(part)
            began = perf_counter()
            with self._mark.at_work(self._number, self.offset + len(part), self.resizes):
                self.screen.feed(part)
            took = perf_counter() - began
            if took > LONGEST_TURN:
                self._most = max(SMALLEST_SLICE, self._most // 2)
            elif len(part) == self._most:
                self._most = min(LARGEST_SLICE, self._most * 2)
            self.offset += len(part)
            await self._tell(asked)
            self._moved.unpark_all()
            await trio.lowlevel.checkpoint()

    async def resize(self, sized: Sized) -> None:
        """Take another size."""
        with self._mark.at_work(self._number, self.offset, sized.resizes):
            self.screen.resize(sized.cols, sized.rows)
        self.resizes = sized.resizes
        self._moved.unpark_all()
        await trio.lowlevel.checkpoint()

    async def _tell(self, asked: Asked) -> None:
        replies, title = bytes(self._replies), self.screen.title
        self._replies.clear()
        if self.offset <= self._answered:
            replies = b""
        if replies or title != self._title:
            told = Told(self.offset, replies, None if title == self._title else title)
            self._title = title
            await asked.send_item(told)

    async def reach(self, offset: int, resizes: int) -> None:
        """Wait until it has been fed so much. Raises `Gone` when it is no longer."""
        while not self.drawn or self.offset < offset or self.resizes < resizes:
            if self.gone:
                raise Gone("this session's screen is no longer kept here")
            await self._moved.park()

    def at_work(self) -> AbstractContextManager[None]:
        """Say in the mark that this screen is looked at."""
        return self._mark.at_work(self._number, self.offset, self.resizes)

    def close(self) -> None:
        self.gone = True
        self._moved.unpark_all()
        self.screen.close()


class _Pictures:
    """The pictures drawn last, as far as their screens are still the same."""

    def __init__(self) -> None:
        self._drawn: OrderedDict[_Fed, tuple[int, int, bytes]] = OrderedDict()
        self._size = 0

    def of(self, fed: _Fed) -> bytes:
        """Return a picture of this screen as it is now."""
        offset, resizes, picture = self._drawn.get(fed, (-1, -1, b""))
        self.forget(fed)
        if (offset, resizes) != (fed.offset, fed.resizes):
            with fed.at_work():
                picture = fed.screen.picture()
        self._drawn[fed] = fed.offset, fed.resizes, picture
        self._size += len(picture)
        while self._size > MOST_KEPT:
            self.forget(next(iter(self._drawn)))
        return picture

    def forget(self, fed: _Fed) -> None:
        """Keep no picture of this screen."""
        if (drawn := self._drawn.pop(fed, None)) is not None:
            self._size -= len(drawn[2])


class _Emulator:
    """All screens."""

    def __init__(self, mark: Mark, make: MakeScreen) -> None:
        self._mark = mark
        self._make = make
        self._fed: dict[int, _Fed] = {}
        self._pictures = _Pictures()
        self._begun = trio.lowlevel.ParkingLot()

    async def answer(self, asked: Asked) -> object:
        """Act on one call of the host."""
        match asked.op:
            case Feed.op:
                return await self._feed(asked, decode(asked.params, Feed))
            case Draw.op:
                return await self._draw(asked, decode(asked.params, Draw))
            case ReadScreen.op:
                return await self._read_screen(decode(asked.params, ReadScreen))
            case ReadHistory.op:
                return await self._read_history(asked, decode(asked.params, ReadHistory))
            case Beat.op:
                return Nothing()
            case _:
                raise BadRequest(f"the emulator process does not know {asked.op!r}")

    async def _feed(self, asked: Asked, feed: Feed) -> Nothing:
        fed = self._fed[feed.number] = _Fed(feed, self._mark, self._make)
        self._begun.unpark_all()
        picture = feed.picture
        try:
            while (piece := await asked.receive()) is not None:
                if not isinstance(piece, bytes):
                    await fed.resize(asked.read(piece, Sized))
                elif picture:
                    picture -= len(piece)
                    await fed.draw(piece, last=not picture)
                else:
                    await fed.take(piece, asked)
        finally:
            del self._fed[feed.number]
            self._pictures.forget(fed)
            fed.close()
        return Nothing()

    async def _find(self, number: int, offset: int, resizes: int) -> _Fed:
        with trio.move_on_after(COMING):
            while number not in self._fed:
                await self._begun.park()
        fed = self._fed.get(number)
        if fed is None:
            raise Gone("this session's screen is not kept here")
        await fed.reach(offset, resizes)
        return fed

    async def _draw(self, asked: Asked, draw: Draw) -> Nothing:
        fed = await self._find(draw.number, draw.offset, draw.resizes)
        screen = fed.screen
        picture = self._pictures.of(fed)
        cols, rows = screen.size
        title = screen.title
        follows = draw.longest is None or len(picture) <= draw.longest
        await asked.send_item(Drawn(fed.offset, fed.resizes, cols, rows, title, follows))
        if follows:
            await asked.send(picture)
        return Nothing()

    async def _read_screen(self, read: ReadScreen) -> ScreenReply:
        fed = await self._find(read.number, read.offset, read.resizes)
        screen = fed.screen
        with fed.at_work():
            cols, rows = screen.size
            x, y = screen.cursor
            return ScreenReply(screen.lines, cols, rows, x, y, screen.title, screen.alternate)

    async def _read_history(self, asked: Asked, read: ReadHistory) -> HistoryReply:
        fed = await self._find(read.number, read.offset, read.resizes)
        with fed.at_work():
            found = fed.screen.history(ansi=read.ansi, lines=read.lines)
        await asked.send(b"".join(line + b"\n" for line in found))
        return HistoryReply(len(found))


async def serve_emulator(channel: Channel, mark: Mark, make: MakeScreen = Screen) -> None:
    """Keep screens for the host at the other end of `channel` until it leaves."""
    emulator = _Emulator(mark, make)
    async with open_conversation(
        channel, opener=False, answer=emulator.answer, most_open=MOST_CALLS
    ) as conversation:
        await conversation.wait_closed()


def main(arguments: Sequence[str], make: MakeScreen = Screen) -> None:
    """Run the process.

    `arguments` are the version of what its host speaks, and descriptors: its socket, its mark.
    """
    spoken, ours, shared = (int(argument) for argument in arguments)
    if spoken != SPOKEN:
        sys.exit("this emulator is of another version than the session host, which is to end first")
    # Whoever signals a whole group means the host, which has last pictures to draw first.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    # Where memory runs out, this is to go, and not the host with all programs.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    # A core would hold what all sessions show, and writing it would keep them waiting.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sock = socket.socket(fileno=ours)
    mark = Mark(shared)
    os.close(shared)
    threading.Thread(target=_end_with, args=(ours,), daemon=True).start()
    trio.run(_serve, sock, mark, make)


async def _serve(sock: socket.socket, mark: Mark, make: MakeScreen) -> None:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    await serve_emulator(FramedChannel(stream), mark, make)


def _end_with(descriptor: int) -> None:
    """End this process when the host has gone, also while the emulator is stuck in something."""
    poll = select.poll()
    poll.register(descriptor, 0)
    poll.poll()  # hanging up is reported without being asked for
    os._exit(0)
