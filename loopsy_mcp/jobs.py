"""Commands that run for an agent: they go on between its calls, and keep what they wrote."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import Output
from loopsy_core.errors import Gone, LoopsyError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.client import Client, RunningJob
    from loopsy_core.wire import JobEnd, OutputName

    from .desk import Place

__all__ = ["Job", "Jobs", "Kept"]

HEAD: Final = 64 << 10
"""Bytes at the beginning of an output that are always kept."""
TAIL: Final = 2 << 20
"""Bytes at its end that are kept, at least; twice as many at most."""
MOST_JOBS: Final = 24
"""Jobs that are remembered; of more, those that ended first are forgotten."""
COMING_BACK: Final = 60.0
"""Seconds that a job whose connection was lost waits for us."""
BETWEEN_TRIES: Final = 0.5


class Kept:
    """One output of a job: its beginning and its end, with offsets in all of it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0
        self.told = 0
        """How much of it the agent has been told of."""

    def add(self, data: bytes) -> None:
        """Append what was written."""
        if len(self._head) == self.total < HEAD:
            self._head += data[: HEAD - self.total]
        self._tail += data
        self.total += len(data)
        if len(self._tail) > 2 * TAIL:
            del self._tail[:-TAIL]

    def skip(self, lost: int) -> None:
        """Note that `lost` bytes are not to be had."""
        self._tail.clear()
        self.total += lost

    def read(self, offset: int, most: int) -> tuple[bytes, int]:
        """Return up to `most` bytes from `offset` on, and where they really begin."""
        if offset < len(self._head):
            return bytes(self._head[offset : offset + most]), offset
        begin = self.total - len(self._tail)
        at = min(max(offset, begin), self.total)
        return bytes(self._tail[at - begin : at - begin + most]), at


class Job:
    """One command on one machine."""

    def __init__(self, name: str, machine: str, command: str) -> None:
        """Note what is about to run."""
        self.name = name
        self.machine = machine
        self.command = command
        self.outputs: dict[OutputName, Kept] = {"stdout": Kept(), "stderr": Kept()}
        self.began = trio.current_time()
        self.took: float | None = None
        """Seconds from its start to its end."""
        self.end: JobEnd | None = None
        self.error: LoopsyError | None = None
        """Why its end was not seen."""
        self.over = trio.Event()
        self.trouble: str | None = None
        """Why the connection was lost, if it was."""
        self._scope = trio.CancelScope()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return trio.current_time() - self.began if self.took is None else self.took

    def cancel(self) -> None:
        """Have it ended, with all its process group; `over` tells when we have let go of it."""
        self._scope.cancel()

    async def run(
        self,
        client: Client,
        opening: AbstractAsyncContextManager[RunningJob],
        stdin: bytes | None,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Follow it to its end, over new connections where one is lost.

        Started once it runs; what keeps it from that is raised, what happens later is kept.
        """
        started, lost_at = False, 0.0
        seen: RunningJob | None = None
        try:
            with self._scope:
                while self.end is None:
                    try:
                        async with opening as seen:
                            if not started:
                                task_status.started()
                            started, lost_at = True, 0.0
                            if stdin is not None:
                                nursery.start_soon(_feed, seen, stdin[seen.taken :])
                            self.end = await self._follow(seen)
                        break
                    except Gone as error:
                        lost_at = lost_at or trio.current_time()
                        if seen is None or trio.current_time() - lost_at > COMING_BACK:
                            raise
                        self.trouble = error.message
                    await trio.sleep(BETWEEN_TRIES)
                    opening = client.attach_job(
                        seen.id, stdout=seen.offsets["stdout"], stderr=seen.offsets["stderr"]
                    )
        except NotFound as error:
            if not started:
                raise
            self.error = Gone(
                f"the connection was lost, and {self.machine} does not know of the command any more"
                f" ({error}): if its node was started anew, the command may still run"
            )
        except LoopsyError as error:
            if not started:
                raise
            self.error = error
        finally:
            self.took = trio.current_time() - self.began
            self.over.set()

    async def _follow(self, job: RunningJob) -> JobEnd:
        while isinstance(got := await job.receive(), Output):
            kept = self.outputs[got.stream]
            if got.lost:
                kept.skip(got.lost)
            kept.add(got.data)
        return got


class Jobs:
    """The jobs of one server; they end with it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """Follow jobs in `nursery`."""
        self._nursery = nursery
        self._jobs: dict[str, Job] = {}
        self._count = 0

    async def start(
        self,
        place: Place,
        argv: Sequence[str],
        command: str,
        *,
        cwd: str | None,
        env: Mapping[str, str] | None,
        stdin: bytes | None,
        limit: float,
    ) -> Job:
        """Run `argv` there and return once it runs; cancelled before that, it does not run."""
        opening = place.client.start_job(
            argv, cwd=cwd, env=env, stdin=stdin is not None, timeout=limit
        )
        self._count += 1
        job = Job(f"j{self._count}", place.name, command)
        await self._nursery.start(job.run, place.client, opening, stdin, self._nursery)
        self._jobs[job.name] = job
        ended = [name for name, known in self._jobs.items() if known.over.is_set()]
        for name in ended[: max(0, len(self._jobs) - MOST_JOBS)]:
            del self._jobs[name]
        return job

    def find(self, name: str) -> Job:
        """Return the job of this name; raises `NotFound` with those there are."""
        job = self._jobs.get(name)
        if job is None:
            there = ", ".join(self._jobs) or "none"
            raise NotFound(f"there is no job {name!r} of this conversation; there are: {there}")
        return job


async def _feed(job: RunningJob, stdin: bytes) -> None:
    with suppress(LoopsyError):  # it ended without reading all; or whoever follows it is told
        await job.send(stdin)
        job.end_input()
