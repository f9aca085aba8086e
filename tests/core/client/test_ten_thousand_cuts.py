"""A thousand lost connections, or ten, and not a byte lost or doubled in either direction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.client import Client, Drawn, Viewing
from loopsy_core.errors import Gone
from loopsy_core.kit import one_error
from loopsy_core.screen import Screen
from loopsy_core.wire import WINDOW, Ended, Resized, Viewers
from tests.core.client.fragile import INPUT, OUTPUT, Play, open_play
from tests.depth import deep

if TYPE_CHECKING:
    import random

    from trio.testing import MockClock

    from loopsy_core.client import Attached, Shown

CUTS: Final = deep(100, 1000)
"""Connections that are lost in each of the ten cases; ten thousand in all by `nox -s deep`."""
FEWER_CUTS: Final = deep(120, 250)
"""The same where more is looked at for each."""
SEEDS: Final = [*range(9), None]
PAUSE: Final = 0.002
"""Seconds between two bursts of output or of typing, on average."""
AHEAD: Final = 4000
"""Bytes that are printed ahead of the viewer, and typed ahead of the program: a message holds so
much, and a connection that cannot carry a message brings nobody on."""
STALLED: Final = 10.0
"""Seconds, of a clock that jumps, in which all that is under way must have arrived."""
FAR_AHEAD: Final = 50_000
"""The same where a viewer is to fall behind."""
SMALL_LOG: Final = 4096
"""Bytes that can be resumed where a viewer is to fall behind."""


def burst(dice: random.Random) -> int:
    return int(10 ** dice.uniform(0, 3.5))


def any_size(dice: random.Random) -> tuple[int, int]:
    return dice.randint(20, 200), dice.randint(5, 60)


class Watch:
    """One viewer across its connections: it types what is known, and checks what it is shown."""

    def __init__(self, play: Play, viewing: Viewing) -> None:
        self.viewing = viewing
        self.typed = 0
        self.shown = 0
        self.pictures = 0
        self.resizes = 0
        self.sizes = False
        """Whether it comes with another size each time."""
        self._play = play
        self._attached: Attached | None = None
        self._missed = 0
        self._size = (80, 24)
        self._reference = Reference(play)

    async def connect(
        self, up: float = math.inf, down: float = math.inf, *, typing: bool = False
    ) -> None:
        """Watch over one connection, and type now and then, until that is lost."""
        size = any_size(self._play.dice) if self.sizes else (80, 24)
        try:
            with one_error():
                async with (
                    self._play.connected(up, down) as talk,
                    Client(talk).attach(self.viewing, cols=size[0], rows=size[1]) as (
                        attached,
                        drawn,
                    ),
                    trio.open_nursery() as nursery,
                ):
                    self._attached = attached
                    if drawn is not None:
                        self._check(drawn)
                    if typing:
                        nursery.start_soon(self._type_on)
                    while True:
                        self._check(await attached.receive())
        except Gone:
            return

    async def _type_on(self) -> None:
        dice = self._play.dice
        while True:
            await trio.sleep(dice.expovariate(1 / PAUSE))
            if self.typed - self._play.terminal.typed < AHEAD:
                await self.type(burst(dice))

    async def type(self, size: int) -> None:
        """Type the next `size` bytes over the connection that there is."""
        assert self._attached is not None
        begin = self.typed
        self.typed += size
        await self._attached.type(INPUT.at(begin, size))

    @property
    def attached(self) -> bool:
        return self._attached is not None

    async def in_step(self) -> None:
        """Wait until it has been shown all, and the program has all that was typed."""
        terminal = self._play.terminal
        with trio.fail_after(STALLED):
            while (self.shown, self.typed) != (terminal.printed, terminal.typed):  # noqa: ASYNC110
                await trio.sleep(PAUSE)

    def _check(self, shown: Shown) -> None:
        self.shown += self.viewing.missed - self._missed
        self._missed = self.viewing.missed
        match shown:
            case bytes():
                assert shown == OUTPUT.at(self.shown, len(shown)), f"wrong behind {self.shown}"
                terminal = self._play.terminal
                assert terminal.size_at(self.shown) == self._size
                self.shown += len(shown)
                assert self.shown <= terminal.next_change(self.shown - len(shown))
            case Drawn():
                offset = self.viewing.request(1, 1).offset
                assert offset is not None
                assert offset >= self.shown
                self.shown, self._size = offset, (shown.cols, shown.rows)
                self.pictures += 1
                self._reference.check(shown, offset)
            case Resized():
                self._size = shown.cols, shown.rows
                self.resizes += 1
            case Viewers() | Ended():
                pass


class Reference:
    """What a terminal shows that was there from the beginning."""

    def __init__(self, play: Play) -> None:
        self._terminal = play.terminal
        self._screen = Screen(80, 24, lambda _: None)
        self._offset = 0
        self._sizes = 0

    def check(self, drawn: Drawn, offset: int) -> None:
        """Compare a picture that was made at `offset` of the output."""
        sizes = self._terminal.sizes
        while self._sizes < len(sizes) and (mark := sizes[self._sizes])[0] <= offset:
            if mark[0] == offset and self._screen.size == (drawn.cols, drawn.rows):
                break  # the picture was made before that
            self._feed(mark[0])
            self._screen.resize(*mark[1:])
            self._sizes += 1
        self._feed(offset)
        screen = Screen(drawn.cols, drawn.rows, lambda _: None)
        screen.feed(drawn.vt)
        assert (screen.size, screen.lines) == (self._screen.size, self._screen.lines)
        assert screen.cursor == self._screen.cursor
        screen.close()

    def _feed(self, offset: int) -> None:
        self._screen.feed(OUTPUT.at(self._offset, offset - self._offset))
        self._offset = offset


async def print_on(play: Play, watch: Watch, ahead: int) -> None:
    """Have the program print, as long as the viewer follows at some distance."""
    while True:
        await trio.sleep(play.dice.expovariate(1 / PAUSE))
        if play.terminal.printed - watch.shown < ahead:
            await play.program.print(burst(play.dice))


async def resize_on(play: Play) -> None:
    """Have somebody else change the size now and then."""
    while True:
        await trio.sleep(play.dice.expovariate(1 / PAUSE / 15))
        play.session.resize(*any_size(play.dice))


async def cut_off_and_on(
    play: Play, watch: Watch, cuts: int, *, ahead: int = AHEAD, resizing: bool = False
) -> None:
    """Lose that many connections, and have one that lasts to the end of all that was said."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.connect)
        while not watch.attached:  # noqa: ASYNC110
            await trio.sleep(PAUSE)
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(print_on, play, watch, ahead)
        if resizing:
            nursery.start_soon(resize_on, play)
        for _ in range(cuts):
            await watch.connect(*play.short_life(), typing=True)
            if ahead > AHEAD:
                await trio.sleep(play.dice.random() * 20 * PAUSE)  # the program prints on
        nursery.cancel_scope.cancel()
    assert min(watch.shown, watch.typed) > 20 * cuts, "next to nothing has come through"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.connect)
        await watch.in_step()
        # More than one window in either direction, so that credit must have come.
        for _ in range(16):
            await play.program.print(WINDOW // 5)  # more at once, and who has typed gets a picture
            await watch.in_step()
        await watch.type(3 * WINDOW)
        await watch.in_step()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_or_doubled_over_thousands_of_cuts(
    seed: int | None, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, seed) as play:
        watch = Watch(play, Viewing(play.session.id))
        await cut_off_and_on(play, watch, CUTS)
        assert play.cuts == CUTS
        assert watch.pictures == 1, "but for the first, the output always goes on where it was"


@pytest.mark.parametrize("seed", SEEDS[-2:])
async def test_a_viewer_that_falls_behind_again_and_again_is_shown_the_exact_screen(
    seed: int | None, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, seed, log=SMALL_LOG) as play:
        watch = Watch(play, Viewing(play.session.id))
        await cut_off_and_on(play, watch, FEWER_CUTS, ahead=FAR_AHEAD)
        assert play.cuts == FEWER_CUTS
        assert watch.pictures > 2


@pytest.mark.parametrize("log", [None, SMALL_LOG])
@pytest.mark.parametrize("seed", SEEDS[-2:])
async def test_sizes_that_change_between_cuts_stand_at_their_place_in_the_output(
    seed: int | None,
    log: int | None,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    async with open_play(monkeypatch, seed, log=log) as play:
        watch = Watch(play, Viewing(play.session.id))
        watch.sizes = True
        ahead = AHEAD if log is None else FAR_AHEAD
        await cut_off_and_on(play, watch, FEWER_CUTS, ahead=ahead, resizing=True)
        assert len(play.terminal.sizes) > 50
        assert watch.resizes > 2
        assert watch.pictures == 1 or log is not None


@pytest.mark.parametrize("log", [None, SMALL_LOG])
@pytest.mark.parametrize("seed", SEEDS[-2:])
async def test_a_reader_misses_nothing_but_what_it_is_told_that_it_missed(
    seed: int | None,
    log: int | None,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    async with open_play(monkeypatch, seed, log=log) as play:
        watch = Watch(play, Viewing(play.session.id, all_output=True))
        ahead = AHEAD if log is None else FAR_AHEAD
        await cut_off_and_on(play, watch, FEWER_CUTS, ahead=ahead)
        assert watch.pictures == 0
        assert (watch.viewing.missed > 0) is (log is not None)
