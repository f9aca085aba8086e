"""A program on its terminal, from its start to its last words."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

import trio

from .child import Child, start_on_terminal
from .pty import Pty, open_pty

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .program import Program

__all__ = ["Running"]

HANG_UP_PATIENCE: Final = 3.0
"""Seconds between SIGHUP and SIGKILL."""
GOODBYE: Final = 1.0
"""Seconds that a program has to end when its host leaves; then nobody is there to insist."""
LAST_WORDS: Final = 0.1
"""Seconds of silence after which an ended program has no more output under way."""
MAX_LAST_WORDS: Final = 1 << 20
"""Bytes that programs left behind may still print after the session's own has ended."""


class Running:
    """A program and its terminal; `run` is their life."""

    def __init__(
        self,
        program: Program,
        take: Callable[[bytes], None],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare; `take` is called with each piece of output, once `ready` has returned."""
        self._program = program
        self._take = take
        self._ready = ready
        self._child: Child | None = None
        self._gone = trio.Event()
        self.pty: Pty | None = None
        """The terminal, while the program runs."""

    @property
    def exit_code(self) -> int | None:
        """How the program ended: -N if signal N ended it, None if it did not."""
        return None if self._child is None else self._child.returncode

    async def run(self, cols: int, rows: int, *, task_status: trio.TaskStatus[None]) -> None:
        """Start the program and take its output to the end.

        Raises `BadRequest` or `Busy` before it has started when it cannot be started. Cancelled, it
        hangs up on the program, and takes what that has to say to it in a moment.
        """
        pty, far = open_pty(cols, rows)
        try:
            child = self._child = self._start(far)
            self.pty = pty
            task_status.started()
            try:
                await self._take_all(pty, far, child)
            finally:
                self._signal(signal.SIGHUP)
                with trio.move_on_after(GOODBYE, shield=True):
                    await child.wait()  # when we are cancelled; else it has ended already
                child.close()
                left = MAX_LAST_WORDS
                while left > 0 and (data := pty.read_nowait()):
                    self._take(data)
                    left -= len(data)
        finally:
            self.pty = None
            self._gone.set()
            pty.close()

    async def end(self) -> None:
        """End the program: SIGHUP to its group, some patience, SIGKILL; returns when it is gone."""
        self._signal(signal.SIGHUP)
        self._signal(signal.SIGCONT)  # a stopped program cannot end itself
        with trio.move_on_after(HANG_UP_PATIENCE):
            await self._gone.wait()
        if not self._gone.is_set():
            self._signal(signal.SIGKILL)
            await self._gone.wait()

    def _start(self, far: int) -> Child:
        try:
            return start_on_terminal(self._program, far)
        except BaseException:
            os.close(far)
            raise

    async def _take_all(self, pty: Pty, far: int, child: Child) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_output, pty)
                await child.wait()
                nursery.cancel_scope.cancel()
        finally:
            # Not before: a program may let go of its terminal, and open it again later to ask for
            # a password. Without the far side ours would have ended by then.
            os.close(far)
        await self._take_last_words(pty)

    async def _take_output(self, pty: Pty) -> None:
        while data := await pty.read():
            self._take(data)
            await self._ready()

    async def _take_last_words(self, pty: Pty) -> None:
        """Take what the ended program had printed; others may hold its terminal and print on."""
        left = MAX_LAST_WORDS
        while left > 0:
            data = b""
            with trio.move_on_after(LAST_WORDS):
                data = await pty.read()
            if not data:
                return
            self._take(data)
            left -= len(data)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is None or self._child.returncode is not None:
            return
        # The child leads its own session, so its pid names its process group too; a shell's job
        # in front has a group of its own.
        groups = {self._child.pid}
        if self.pty is not None and (front := self.pty.foreground_group) is not None:
            groups.add(front)
        for group in groups:
            # macOS says "not permitted" for a group of zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
