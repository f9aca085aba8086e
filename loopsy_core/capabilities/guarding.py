"""Telling the guard, which outlives a killed node, which jobs are to be ended then."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

__all__ = ["Guard", "open_guard"]

PAUSE: Final = 10.0
"""Seconds before a guard that has ended is replaced again."""
GOODBYE: Final = 1.0
"""Seconds in which the guard ends, when no job is left."""
_PROGRAM: Final = Path(__file__).with_name("guard.py")

_log = logging.getLogger("loopsy.jobs")


class Guard:
    """The guard, started with the first job; `open_guard` makes it."""

    def __init__(self) -> None:
        """Begin without jobs."""
        self._jobs: dict[str, int | None] = {}  # by id, with their process groups
        self._process: tuple[int, int] | None = None  # its pid, and the pipe to it
        self._began = -math.inf

    @contextmanager
    def watching(self, job: str) -> Generator[Callable[[int], None]]:
        """Have a job ended if this process dies within the block.

        The job is started there, with LOOPSY_JOB in its environment, and the process group that it
        leads is then told by calling what the block gets.
        """
        self._jobs[job] = None
        self._tell(f"start {job}\n")

        def runs(group: int) -> None:
            self._jobs[job] = group
            self._tell(f"run {job} {group}\n")

        try:
            yield runs
        finally:
            del self._jobs[job]
            self._tell(f"end {job}\n")

    def _tell(self, line: str) -> None:
        """Have the guard hear a line. A job must not fail for it, so a failure is only logged."""
        if self._process is not None:
            try:
                os.write(self._process[1], line.encode("ascii"))
            except OSError as error:  # it has ended; or it is stopped, and its pipe is full
                _log.warning("the guard of jobs is replaced: %s", error)
                # Never let go of the pipe before: one that is stopped would think that we died.
                os.kill(self._process[0], signal.SIGKILL)
                os.waitpid(self._process[0], 0)
                self.hang_up()
            else:
                return
        if self._jobs and trio.current_time() >= self._began + PAUSE:
            self._begin()

    def _begin(self) -> None:
        """Start a guard, and tell it of all jobs."""
        self._began = trio.current_time()
        theirs, ours = os.pipe()
        try:
            os.set_blocking(ours, False)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", str(_PROGRAM)],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=[],
            )
        except OSError as error:
            _log.warning("jobs would outlive this node if it were killed: %s", error)
            os.close(ours)
            return
        finally:
            os.close(theirs)
        self._process = pid, ours
        for job, group in self._jobs.items():
            line = f"start {job}\n" if group is None else f"run {job} {group}\n"
            with suppress(OSError):  # the next line will notice
                os.write(ours, line.encode("ascii"))

    def hang_up(self) -> int | None:
        """Let go of the pipe, at which the guard ends what jobs there are; return its pid."""
        if self._process is None:
            return None
        pid, pipe = self._process
        self._process = None
        os.close(pipe)
        return pid


@asynccontextmanager
async def open_guard() -> AsyncGenerator[Guard]:
    """Guard the jobs of the block, which leaves none that can be ended."""
    guard = Guard()
    try:
        yield guard
    finally:
        if (pid := guard.hang_up()) is not None:
            with trio.move_on_after(GOODBYE, shield=True):
                await trio.to_thread.run_sync(os.waitpid, pid, 0, abandon_on_cancel=True)
