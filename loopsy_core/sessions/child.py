"""A program that was started on a terminal: its start, which may fail in many ways, and its end."""

from __future__ import annotations

import math
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import BadRequest
from loopsy_core.kit import cannot_start, in_words, inheritable, limit_as_at_first

if TYPE_CHECKING:
    from collections.abc import Generator

    from .program import Program

__all__ = ["Child", "start_on_terminal"]

# Whatever we were made to ignore, a program gets as usual: a shell that ignores SIGINT, say,
# cannot be interrupted.
_SIGNALS: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


_waiting: Final = trio.CapacityLimiter(math.inf)
"""Threads that wait for programs, one for each where the system has no pidfds. There are as many
as sessions, and none of the threads that do work must be kept from it."""


class Child:
    """A program of ours. It leads a session and a process group; its pid names all three."""

    def __init__(self, pid: int) -> None:
        """Care for `pid`; `start_on_terminal` makes these."""
        self.pid = pid
        self.returncode: int | None = None
        """How it ended, -N if signal N ended it; None before `wait` has returned."""
        self._pidfd = _open_pidfd(pid)

    async def wait(self) -> int:
        """Wait for its end and return its exit code; for one task at a time."""
        while self.returncode is None:
            if self._pidfd is not None:
                await trio.lowlevel.wait_readable(self._pidfd)
            else:
                await trio.to_thread.run_sync(
                    _wait_in_thread, self.pid, abandon_on_cancel=True, limiter=_waiting
                )
            self._reap()
        return self.returncode

    def close(self) -> None:
        """Care no more for it, whether it has ended or not."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _reap(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)
            self.close()


def start_on_terminal(program: Program, terminal: int) -> Child:
    """Start `program` with the terminal `terminal` (a descriptor) as its own.

    It has begun to run when this returns. Raises `BadRequest` when the program or its directory
    cannot be used, and `Busy` when the machine has no room for another process now.

    With no await and no thread: the process is in another directory meanwhile. No Python runs
    between fork and exec, which would not be safe beside threads.
    """
    try:
        path = os.ttyname(terminal)
        closed = [(os.POSIX_SPAWN_CLOSE, other) for other in inheritable()]
    except OSError as error:
        raise cannot_start(program.argv[0], error) from None
    with _directory(program), limit_as_at_first():
        try:
            pid = os.posix_spawn(
                program.argv[0],
                program.argv,
                program.env,
                file_actions=[
                    # The leader of a fresh session owns the first terminal that it opens.
                    (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                    *closed,
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_SIGNALS,
            )
        except OSError as error:
            raise cannot_start(program.argv[0], error) from None
    return Child(pid)  # not before: it opens a descriptor, perhaps beyond the limit at first


@contextmanager
def _directory(program: Program) -> Generator[None]:
    """Be in the program's directory, which what is started inherits."""
    try:
        back = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_start(program.argv[0], error) from None
    try:
        try:
            os.chdir(program.cwd)
        except OSError as error:
            raise BadRequest(
                f"the directory {in_words(program.cwd)} cannot be entered: "
                f"{error.strerror or error}"
            ) from None
        try:
            yield
        finally:
            os.fchdir(back)
    finally:
        os.close(back)


def _open_pidfd(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old kernel, or no descriptor left: a thread will do
        return None


def _wait_in_thread(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
