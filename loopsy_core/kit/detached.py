"""Starting a process that outlives us: no terminal of ours, no signal of ours, no zombie warning.

Not `subprocess`, whose objects complain when they are dropped while the process runs; a detached
process is meant to.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

__all__ = ["Detached", "open_detached"]

# Whatever our parent made us ignore, the process and all that it starts must get again:
# a shell that ignores SIGINT cannot be interrupted.
_DEFAULT_SIGNALS: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGXFSZ,
)


class Detached:
    """A process that was started, and its first words."""

    def __init__(self, pid: int, said: trio.lowlevel.FdStream) -> None:
        """Hold a process that runs; `open_detached` makes it."""
        self.pid = pid
        self._said = said

    async def first_line(self, longest: int = 4096) -> bytes:
        """Wait for the first line on its standard output; less when it ends before that.

        The process must expect that nobody reads on.
        """
        line = b""
        while not line.endswith(b"\n") and len(line) < longest:
            data = await self._said.receive_some(longest - len(line))
            if not data:
                break
            line += data
        return line


@asynccontextmanager
async def open_detached(arguments: Sequence[str], log: Path) -> AsyncGenerator[Detached]:
    """Run `python ARGUMENTS` in a session of its own, with `log` as its standard error.

    The block is for hearing its first words; the process lives on after it. Whoever lives long
    should `os.waitpid` its pid after its end. Raises `OSError` when it cannot be started.
    """
    ours, theirs = os.pipe()
    try:
        log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            pid = os.posix_spawn(  # noqa: ASYNC221 - returns once the process is made
                sys.executable,
                [sys.executable, *arguments],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs, 1),
                    (os.POSIX_SPAWN_DUP2, log_fd, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        finally:
            os.close(log_fd)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    async with trio.lowlevel.FdStream(ours) as said:
        yield Detached(pid, said)
