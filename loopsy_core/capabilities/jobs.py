"""All jobs of a node: starting them, finding them again, and ending them with it."""

from __future__ import annotations

import logging
import os
import secrets
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Busy, Gone, NotFound
from loopsy_core.kit import contained
from loopsy_core.wire import AttachJob, CancelJob, JobList, ListJobs, RunJob, decode

from .command import find_command
from .deny import Rules
from .guarding import Guard, open_guard
from .job import PATIENCE, PICK_UP, Job

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from loopsy_core.home import ExecutionConfig
    from loopsy_core.links import Asked

__all__ = ["Jobs", "open_jobs"]

MOST_ENDED: Final = 16
"""Jobs that have ended and are kept for askers whose connection was lost."""
MOST_LISTED: Final = 256
"""Jobs in one list, the newest; each has up to some 2 kB, and the list has to fit one message."""
GOODBYE: Final = 1.0
"""Seconds in which whoever asked for a job hears how it ended, when the node leaves."""
LEAVING: Final = PATIENCE + 3.0
"""Seconds in which all jobs end with their node."""

_log = logging.getLogger("loopsy.jobs")


class Jobs:
    """The jobs; `open_jobs` makes it."""

    ops: Final = frozenset((RunJob.op, AttachJob.op, ListJobs.op, CancelJob.op))
    """What `answer` acts on."""

    def __init__(
        self,
        settings: ExecutionConfig,
        surroundings: Mapping[str, str],
        guard: Guard,
        nursery: trio.Nursery,
    ) -> None:
        """Run at most as many jobs as `settings` say, in an environment over `surroundings`."""
        self._settings = settings
        self._rules = Rules.make(settings.denylist, settings.allowlist)
        self._surroundings = surroundings
        self._guard = guard
        self._nursery = nursery
        self._jobs: dict[str, Job] = {}
        # Those that run, or whose output is still to be read, and whose they are.
        self._busy: dict[str, str | None] = {}
        self._ended: deque[trio.Event] = deque()  # set, one is forgotten
        self._leaving = False

    async def answer(self, asked: Asked, owner: str | None) -> object:
        """Act on one call of `owner`, a contact's id or None for this machine's user."""
        match asked.op:
            case RunJob.op:
                return await self._run(asked, owner)
            case AttachJob.op:
                attach = decode(asked.params, AttachJob)
                job = self._find(attach.job, owner)
                return await job.attend(asked, {"stdout": attach.stdout, "stderr": attach.stderr})
            case ListJobs.op:
                jobs = [job.info for job in self._jobs.values() if _may(owner, job)]
                return JobList(jobs[-MOST_LISTED:])
            case CancelJob.op:
                job = self._find(decode(asked.params, CancelJob).job, owner)
                job.cancel()
                await job.wait_ended()
                return job.info
            case _:
                raise AssertionError(asked.op)

    @property
    def running(self) -> int:
        """How many jobs run, or wait for their output to be read."""
        return len(self._busy)

    def cancel_all_of(self, owner: str) -> None:
        """End all jobs of a contact, who is one no longer."""
        for job in self._jobs.values():
            if job.owner == owner:
                job.cancel()

    async def end_all(self) -> None:
        """End all jobs, and start none any more; their askers are told how they ended."""
        self._leaving = True
        jobs = list(self._jobs.values())
        with trio.move_on_after(LEAVING, shield=True):
            for job in jobs:
                job.cancel()
            for job in jobs:
                await job.wait_ended()
            with trio.move_on_after(GOODBYE):
                for job in jobs:
                    await job.wait_done()

    async def _run(self, asked: Asked, owner: str | None) -> object:
        request = decode(asked.params, RunJob)
        if self._leaving:
            raise Gone("the node is leaving")
        # Counted apart, so that no contact can keep the machine's own user from running anything.
        running = sum((each is None) == (owner is None) for each in self._busy.values())
        if running >= self._settings.max_concurrent:
            raise Busy(
                f"{running} jobs run on the machine already, as many as its"
                " execution.maxConcurrent allows; try again when one has ended"
            )
        job_id = secrets.token_hex(8)
        command = find_command(request, self._surroundings, {"LOOPSY_JOB": job_id})
        self._rules.check(command.argv, command.env.get("PATH", os.defpath), command.cwd)
        job = Job(
            job_id,
            owner,
            command,
            request.timeout or self._settings.default_timeout,
            stdin=request.stdin,
        )
        self._busy[job.id] = owner
        try:
            await self._nursery.start(self._live, job)
        except BaseException:
            job.cancel()  # it may have started all the same
            raise
        return await job.attend(asked, {"stdout": 0, "stderr": 0})

    async def _live(self, job: Job, *, task_status: trio.TaskStatus[None]) -> None:
        """Run a job, and keep it for a while for an asker whose connection was lost."""
        try:
            with self._guard.watching(job.id) as runs:
                runs(await job.start())
                self._jobs[job.id] = job
                task_status.started()
                with contained(_log, f"job {job.id}"):
                    await job.run()
            await job.wait_done()
            self._busy.pop(job.id, None)
            forgotten = trio.Event()
            self._ended.append(forgotten)
            if len(self._ended) > MOST_ENDED:
                self._ended.popleft().set()
            with trio.move_on_after(PICK_UP):
                await forgotten.wait()
        finally:
            self._busy.pop(job.id, None)
            self._jobs.pop(job.id, None)

    def _find(self, job_id: str, owner: str | None) -> Job:
        job = self._jobs.get(job_id)
        if job is None or not _may(owner, job):
            raise NotFound(f"there is no job {job_id!r}; an ended one is kept for a minute")
        return job


def _may(owner: str | None, job: Job) -> bool:
    """Whether `owner` may see, pick up and end `job`; this machine's user may everything."""
    return owner is None or owner == job.owner


@asynccontextmanager
async def open_jobs(
    settings: ExecutionConfig, surroundings: Mapping[str, str]
) -> AsyncGenerator[Jobs]:
    """Run jobs for as long as the block lasts; those that still run then are ended.

    `surroundings` is the environment that jobs get, beneath what their askers add.
    """
    async with open_guard() as guard, trio.open_nursery() as nursery:
        jobs = Jobs(settings, surroundings, guard, nursery)
        try:
            yield jobs
        finally:
            await jobs.end_all()
            nursery.cancel_scope.cancel()
