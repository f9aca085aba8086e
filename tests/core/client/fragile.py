"""A real session host in memory: its program is played, and its connections break anywhere.

The host, its sessions, the conversations and the viewer are the real ones. The program and its
terminal are not: what it prints is known byte by byte, and what is typed is checked as it comes.
A connection carries so many bytes each way and then is lost, in the middle of a frame too; the
two ends learn of it at different times, as they do when a process dies or a radio does.
"""

from __future__ import annotations

import math
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.links import FramedChannel, open_conversation
from loopsy_core.sessions import output as output_module
from loopsy_core.sessions import session as session_module
from loopsy_core.sessions.host import Host
from loopsy_core.sessions.registry import open_sessions
from loopsy_core.wire import StartSession
from tests.core.sessions.emulators import near_emulator
from tests.core.sessions.stage import LOG

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    import pytest

    from loopsy_core.links import Channel, Conversation
    from loopsy_core.sessions.program import Program
    from loopsy_core.sessions.session import Session

PERIOD: Final = (1 << 20) - 3
"""Bytes after which what is printed and typed repeats; nobody is ever wrong by so much."""
LONGEST_DELAY: Final = 0.02
"""Seconds, of a clock that jumps, within which the ends of a lost connection learn of it."""


class Known:
    """A stream of which every byte is known by its offset."""

    def __init__(self, seed: int, alphabet: Sequence[bytes]) -> None:
        pieces = random.Random(seed).choices(alphabet, k=PERIOD)
        self._bytes = b"".join(pieces)[:PERIOD] * 2

    def at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on; at most a period of them."""
        begin = offset % PERIOD
        return self._bytes[begin : begin + size]


_WORDS: Final = [bytes([97 + n % 26] * (n % 7 + 1)) + b" " for n in range(26)]
_LINES: Final = [b"\r\n", b"\x1b[31m", b"\x1b[0m", "é界".encode()]
_CLEAR: Final = b"\x1b[H\x1b[2J\x1b[3J"
OUTPUT: Final = Known(1, [*_WORDS * 16, *_LINES * 16, _CLEAR])
"""Text that fills screens and clears them, scrollback and all, so that no picture is very large."""
INPUT: Final = Known(2, [bytes([byte]) for byte in range(256)])


class Terminal:
    """Stands for the pty: takes what is typed, a part at a time, and checks each byte of it."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.typed = 0
        self.sizes: list[tuple[int, int, int]] = []
        """Offset in the output, columns and rows, for each size that it had."""
        self.printed = 0

    def write_some_nowait(self, data: memoryview) -> int:
        size = self._dice.choice((0, 1, len(data), self._dice.randint(0, len(data))))
        assert data[:size] == INPUT.at(self.typed, size), f"typed wrongly behind {self.typed}"
        self.typed += size
        return size

    async def wait_writable(self) -> None:
        await trio.sleep(self._dice.random() * LONGEST_DELAY)

    def write_nowait(self, data: bytes) -> None:
        raise AssertionError(f"nobody asked the terminal, and it answers {data!r}")

    def resize(self, cols: int, rows: int) -> None:
        self.sizes.append((self.printed, cols, rows))

    def size_at(self, offset: int) -> tuple[int, int]:
        """Return the size in which the byte at `offset` was printed."""
        return next((c, r) for at, c, r in reversed(self.sizes) if at <= offset)

    def next_change(self, offset: int) -> float:
        """Return where the size changed next behind `offset`."""
        return next((at for at, _, _ in self.sizes if at > offset), math.inf)


class Played:
    """Stands for `Running`: a program that prints when it is told to."""

    exit_code: int | None = None

    def __init__(
        self,
        terminal: Terminal,
        take: Callable[[bytes], None],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self.pty = terminal
        self._take = take
        self._ready = ready
        self._over = trio.Event()

    async def run(self, cols: int, rows: int, *, task_status: trio.TaskStatus[None]) -> None:
        self.pty.sizes.append((0, cols, rows))
        task_status.started()
        await self._over.wait()
        self.exit_code = 0

    async def end(self) -> None:
        self._over.set()
        await trio.lowlevel.checkpoint()

    async def print(self, size: int) -> None:
        """Print the next `size` bytes, once the emulator is near enough."""
        await self._ready()
        data = OUTPUT.at(self.pty.printed, size)
        self.pty.printed += size
        self._take(data)


class Lossy(trio.abc.Stream):
    """One end of a connection that is lost after so many bytes."""

    def __init__(self, dice: random.Random, carries: float) -> None:
        self._dice = dice
        self.carries = carries  # bytes that still get through to the far end
        self.inbox = bytearray()
        self.news = trio.lowlevel.ParkingLot()
        self.breaks_at = math.inf
        self.far: Lossy

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if trio.current_time() >= self.breaks_at:
            raise trio.BrokenResourceError
        through = data[: int(min(len(data), self.carries))]
        self.carries -= len(through)
        self.far.inbox += through
        self.far.news.unpark_all()
        if not self.carries:
            self.lose()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self.inbox:
            with trio.move_on_at(self.breaks_at) as patience:
                await self.news.park()
            if patience.cancelled_caught:
                raise trio.BrokenResourceError
        most = min(len(self.inbox), max_bytes or len(self.inbox))
        size = self._dice.choice((most, self._dice.randint(1, most)))
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data

    def lose(self) -> None:
        """Lose the connection; each end learns of it when it does, and may read on until then."""
        for end in (self, self.far):
            end.carries = 0
            if end.breaks_at == math.inf:
                end.breaks_at = trio.current_time() + self._dice.choice(
                    (0.0, self._dice.random() * LONGEST_DELAY)
                )
                if self._dice.random() < 0.5:
                    end.inbox.clear()
            end.news.unpark_all()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.lose()
        await trio.lowlevel.checkpoint()


class Play:
    """One session, and connections to its host."""

    def __init__(
        self,
        host: Host,
        session: Session,
        program: Played,
        dice: random.Random,
        nursery: trio.Nursery,
    ) -> None:
        self.session = session
        self.program = program
        self.terminal = program.pty
        self.dice = dice
        self._host = host
        self._nursery = nursery
        self.cuts = 0
        self.latest: Lossy
        """Our end of the connection that was made last."""

    @asynccontextmanager
    async def connected(
        self, up: float = math.inf, down: float = math.inf
    ) -> AsyncGenerator[Conversation]:
        """Converse with the host until `up` bytes went there or `down` came back."""
        near = await self.channel(up, down)
        async with open_conversation(near, opener=True) as conversation:
            yield conversation

    async def channel(self, up: float = math.inf, down: float = math.inf) -> Channel:
        """Connect; the far end is served by the host until it learns that the near one is lost."""
        near, far = Lossy(self.dice, up), Lossy(self.dice, down)
        near.far, far.far = far, near
        self._nursery.start_soon(self._host.serve, FramedChannel(far))
        self.latest = near
        self.cuts += math.inf not in (up, down)
        await trio.lowlevel.checkpoint()
        return FramedChannel(near)

    def short_life(self) -> tuple[int, int]:
        """Return how many bytes a connection carries each way."""
        dice = self.dice
        first_words, some = dice.randint(1, 400), int(10 ** dice.uniform(1, 4.2))
        return dice.choice(
            ((first_words, some), (some, first_words), (some, some), (200 + some, 200 + some))
        )


@asynccontextmanager
async def open_play(
    monkeypatch: pytest.MonkeyPatch, seed: int | None, *, log: int | None = None
) -> AsyncGenerator[Play]:
    """Open a host with one session; without `seed` by dice that fall anew, and are printed.

    `log` is how many bytes of output can be resumed.
    """
    if seed is None:
        seed = random.randrange(1 << 32)
        print(f"these dice fall as by seed {seed}")  # noqa: T201 - to play a failure again
    dice = random.Random(seed)
    programs: list[Played] = []

    def running(
        _: Program, take: Callable[[bytes], None], ready: Callable[[], Awaitable[None]]
    ) -> Played:
        programs.append(Played(Terminal(dice), take, ready))
        return programs[-1]

    monkeypatch.setattr(session_module, "Running", running)
    if log is not None:
        monkeypatch.setattr(output_module, "LOG_SIZE", log)
    with trio.fail_after(1000):
        async with (
            open_sessions(LOG, None, near_emulator) as sessions,
            trio.open_nursery() as nursery,
        ):
            info = await sessions.start(StartSession(argv=["cat"], name="played"))
            session = sessions.find(info.id)
            yield Play(Host(sessions), session, programs[0], dice, nursery)
            nursery.cancel_scope.cancel()
