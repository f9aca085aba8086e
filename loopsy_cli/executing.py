"""Following a job in this process: its output to ours, our input to it, and Ctrl-C."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import Output, open_client
from loopsy_core.errors import Gone, LoopsyError, NoDaemon, NotFound

from .reaching import reach
from .show import note

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.client import Client, RunningJob
    from loopsy_core.home import Home
    from loopsy_core.wire import JobEnd, OutputName, RunJob

__all__ = ["follow"]

COMING_BACK: Final = 60.0
"""Seconds that a job whose connection was lost waits for us there."""
BETWEEN_TRIES: Final = 0.2
KEPT_INPUT: Final = 1 << 20
"""Bytes of input that are kept to be sent again: more than can be under way at once."""
READ_SIZE: Final = 65_000

_DESCRIPTORS: Final[dict[OutputName, int]] = {"stdout": 1, "stderr": 2}


async def follow(home: Home, machine: str, request: RunJob) -> JobEnd | int:
    """Run a job on `machine` and show its output; return how it ended.

    Or the number of the signal that ended us: then the job was cancelled there. Raises what the
    node answers, and `Gone` when the connection is lost for so long that the job is, too.
    """
    return await _Following(home, machine, request).run()


class _Following:
    """What the tasks share."""

    def __init__(self, home: Home, machine: str, request: RunJob) -> None:
        self._home = home
        self._machine = machine
        self._request = request
        self._job: RunningJob | None = None  # as seen last
        self._input = _Input()
        self._signalled: int | None = None

    async def run(self) -> JobEnd | int:
        end: JobEnd | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(self._obey_signals, nursery)
            end = await self._follow()
            nursery.cancel_scope.cancel()
        if self._signalled is not None:
            return self._signalled
        assert end is not None
        return end

    async def _follow(self) -> JobEnd:
        """Run the job, and come back to it when the connection is lost."""
        lost_at = 0.0
        while True:
            try:
                async with open_client(self._home) as here:
                    there = reach(here, self._machine)
                    async with self._open(there) as self._job:
                        lost_at = 0.0
                        return await self._show(self._job)
            except* Gone as errors:
                lost_at = lost_at or trio.current_time()
                late = trio.current_time() - lost_at > COMING_BACK
                if self._job is None or late or errors.subgroup(NoDaemon):
                    raise
            except* NotFound:
                if self._job is None:
                    raise
                raise Gone("the connection was lost, and the command with it") from None
            await trio.sleep(BETWEEN_TRIES)

    def _open(self, there: Client) -> AbstractAsyncContextManager[RunningJob]:
        if self._job is not None:
            offsets = self._job.offsets
            return there.attach_job(
                self._job.id, stdout=offsets["stdout"], stderr=offsets["stderr"]
            )
        return there.start_job(
            self._request.argv,
            cwd=self._request.cwd,
            timeout=self._request.timeout,
            stdin=self._request.stdin,
        )

    async def _show(self, job: RunningJob) -> JobEnd:
        async with trio.open_nursery() as nursery:
            if self._request.stdin:
                nursery.start_soon(self._input.feed, job)
            while isinstance(got := await job.receive(), Output):
                if got.lost:
                    note(f"loopsy: {got.lost} bytes of its {got.stream} were lost")
                # In a thread: whoever reads our output may take hours (`less`), and meanwhile the
                # node must hear that we are alive. On Ctrl-C the thread is left to itself.
                descriptor = _DESCRIPTORS[got.stream]
                await trio.to_thread.run_sync(_write, descriptor, got.data, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()
        return got

    async def _obey_signals(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Cancel the job on the first signal, and leave at once on the second."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                again, self._signalled = self._signalled is not None, number
                if again or self._job is None:
                    nursery.cancel_scope.cancel()
                else:
                    nursery.start_soon(self._cancel, self._job, nursery)

    async def _cancel(self, job: RunningJob, nursery: trio.Nursery) -> None:
        try:
            await job.cancel()
        except Gone:  # it cannot be told now, and will end by itself
            nursery.cancel_scope.cancel()
        except LoopsyError:
            return  # it has ended just now


class _Input:
    """Our standard input, and how much of it was read."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._total = 0
        self._ended = False

    async def feed(self, job: RunningJob) -> None:
        """Send the job what it was not given yet, and all that is to be read."""
        at = job.taken
        with suppress(Gone):  # the job has ended; or whoever receives its output is told, too
            while at < self._total or not self._ended:
                if at == self._total:
                    await self._read()
                    continue
                begin = at - (self._total - len(self._kept))
                data = bytes(self._kept[begin : begin + READ_SIZE])
                await job.send(data)
                at += len(data)
            job.end_input()

    async def _read(self) -> None:
        try:
            await trio.lowlevel.wait_readable(0)
        except OSError:  # a file cannot be waited for, and need not be
            await trio.lowlevel.checkpoint()
        data = os.read(0, READ_SIZE)
        self._ended = not data
        self._total += len(data)
        self._kept += data
        del self._kept[:-KEPT_INPUT]


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
