"""The host's side of its emulator process: starting it, watching it, and starting it anew.

A process that dies, or that is stuck, takes no session with it: the mark says whose output it was
at, that session is told, and all of them are fed to the next process.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, TypeAlias

import trio

from loopsy_core.errors import Busy, Gone, LoopsyError
from loopsy_core.kit import Backoff, Watched, one_error
from loopsy_core.links import Channel, Conversation, FramedChannel, open_conversation

from .mark import Mark
from .said import MOST_CALLS, SPOKEN, Beat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

__all__ = ["Emulator", "StartEmulator", "open_emulator_process"]

STUCK: Final = 10.0
"""Seconds in which the process neither answers nor comes to another turn; then it is killed."""
LOOK_EVERY: Final = 1.0
"""Seconds between two signs of life that are asked for, while there is work."""
STARTING: Final = 20.0
"""Seconds that the process may take until it answers first."""
PAUSE: Final = 0.2
"""Seconds between the end of a process that nobody is to blame for and the next one."""
LONGEST_PAUSE: Final = 10.0
"""Seconds before the next one where none can be started, at most."""
FAILURES: Final = 2
"""So many processes in a row that never answered mean that there is no emulator for now."""
GOODBYE: Final = 2.0
"""Seconds that the system may take to end a process that was killed."""

_log = logging.getLogger("loopsy.host.emulator")

StartEmulator: TypeAlias = "Callable[[], AbstractAsyncContextManager[tuple[Channel, Mark]]]"
"""Starts an emulator process, which ends with the block at the latest. Raises `OSError`."""


class Screened(Protocol):
    """A session whose screen the process keeps."""

    def killed(self, offset: int, resizes: int) -> None:
        """Take note that what stands before this place has ended the process."""

    def changed(self) -> None:
        """Take note that there is a process again, or for now none."""


class Emulator:
    """The emulator process, whichever it is just now; `keep` runs it."""

    def __init__(self, start: StartEmulator) -> None:
        """Start processes by `start`."""
        self._start = start
        self._conversation = Watched[Conversation | None](None)
        self._screens: set[Screened] = set()
        self._numbered: dict[int, Screened] = {}  # in this process, also such as have left it
        self._last_number = 0
        self._work = trio.Event()
        self.begun = False
        """Whether there was any process yet that answered."""
        self.down: str | None = None
        """Why no process can be started, for a person; None while all is well."""

    async def reach(self) -> Conversation:
        """Wait for a process, however long, and return the conversation with it."""
        found = await self._conversation.wait(lambda now: now is not None and not now.closed)
        assert found is not None
        return found

    def check(self) -> None:
        """Raise `Busy` if there will be no process soon."""
        if self.down is not None:
            raise Busy(f"the terminal emulator does not start: {self.down}; try again later")

    def join(self, screen: Screened) -> None:
        """Tell `screen` from now on what happens."""
        self._screens.add(screen)

    def leave(self, screen: Screened) -> None:
        """Tell it no more."""
        self._screens.discard(screen)

    def number(self, screen: Screened) -> int:
        """Return a number by which the present process is to know `screen`."""
        self._last_number += 1
        self._numbered[self._last_number] = screen
        return self._last_number

    def forget(self, number: int) -> None:
        """Forget a number, unless the process has just ended: it may be blamed for that."""
        if (conversation := self._conversation.value) is not None and not conversation.closed:
            self._numbered.pop(number, None)

    def has_work(self) -> None:
        """Note that something was asked of the process, so that it is watched."""
        self._work.set()

    async def keep(self) -> None:
        """Have a process run, for ever."""
        backoff = Backoff(first=0.05, most=LONGEST_PAUSE)
        failures = 0
        while True:
            run = _Run()
            try:
                with one_error():
                    await self._run(run)
            except (LoopsyError, OSError) as error:
                run.why = str(error)
            _log.warning("the emulator process is gone: %s", run.why)
            if run.ready:
                failures = 0
                backoff.reset()
            else:
                failures += 1
            if failures >= FAILURES:
                self._set_down(run.why)
            if not run.blamed:
                await trio.sleep(PAUSE if run.ready else backoff.next())

    async def _run(self, run: _Run) -> None:
        """Run one process to its end, and tell the session whose output it was, if it was any."""
        self._numbered.clear()
        async with self._start() as (channel, mark):
            try:
                with one_error():
                    async with open_conversation(
                        channel, opener=True, most_open=MOST_CALLS
                    ) as conversation:
                        self._conversation.set(conversation)
                        await self._watch(conversation, mark, run)
            except Gone:
                self._blame(mark, run)
                raise
            finally:
                self._conversation.set(None)
                mark.close()

    async def _watch(self, conversation: Conversation, mark: Mark, run: _Run) -> NoReturn:
        """Raise `Gone` once the process has ended, or is stuck."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_for_life, conversation, mark, run)
            why = await conversation.wait_closed()
            nursery.cancel_scope.cancel()
        raise Gone(str(why))

    async def _ask_for_life(self, conversation: Conversation, mark: Mark, run: _Run) -> None:
        while True:
            turns = mark.turns
            longest = STUCK if run.ready else STARTING
            try:
                with trio.move_on_after(longest) as patience:
                    await conversation.ask(Beat())
            except Gone:
                return  # whoever watches the conversation says so
            if not patience.cancelled_caught:
                if not run.ready:
                    run.ready = self.begun = True
                    self._set_down(None)
                await self._work.wait()
                self._work = trio.Event()
                await trio.sleep(LOOK_EVERY)
            elif mark.turns == turns:
                raise Gone(f"it has been stuck for {longest:.0f} seconds")

    def _blame(self, mark: Mark, run: _Run) -> None:
        worker = mark.worker
        if worker is not None and (screen := self._numbered.get(worker.number)) is not None:
            run.blamed = True
            screen.killed(worker.offset, worker.resizes)

    def _set_down(self, why: str | None) -> None:
        if why != self.down:
            self.down = why
            for screen in list(self._screens):
                screen.changed()


class _Run:
    """What is known of one run of the process."""

    def __init__(self) -> None:
        self.ready = False
        self.blamed = False
        self.why = ""


COMMAND: Final = ("-P", "-m", "loopsy_core.sessions.emulator")


@asynccontextmanager
async def open_emulator_process(
    command: Sequence[str] = COMMAND,
) -> AsyncGenerator[tuple[Channel, Mark]]:
    """Run `python COMMAND SPOKEN SOCKET MARK` and yield the channel to it and its mark.

    It ends with the block, and with our own process, however that ends. Raises `OSError` when it
    cannot be started.
    """
    shared = Mark.make()
    mark = Mark(shared)
    channel: FramedChannel | None = None
    try:
        ours, theirs = socket.socketpair()
        channel = FramedChannel(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, *command, str(SPOKEN), str(theirs.fileno()), str(shared)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), shared],
            )
    except BaseException:
        mark.close()
        if channel is not None:
            await channel.aclose()
        raise
    finally:
        os.close(shared)
    try:
        yield channel, mark
    finally:
        process.kill()
        with trio.move_on_after(GOODBYE, shield=True):
            await process.wait()
