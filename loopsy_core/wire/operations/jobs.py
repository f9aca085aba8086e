"""What is asked about jobs: commands that run here without a terminal, for whoever asked."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from ..operation import Argument, Offset, Operation, Reference, Text

__all__ = [
    "AttachJob",
    "CancelJob",
    "JobEnd",
    "JobInfo",
    "JobList",
    "ListJobs",
    "RunJob",
]

_LONGEST: Final = 30 * 86_400.0
"""Seconds that a job may be given; what is to run for longer is for a session."""


class JobInfo(msgspec.Struct, frozen=True):
    """A job as its owner and this machine's user see it."""

    id: str
    argv: list[str]
    cwd: str
    owner: str | None
    """The contact who asked for it; None for this machine's user."""
    pid: int
    """Its process, which leads a process group of the same number."""
    attached: bool
    """Whether somebody is there to read its output."""
    started_at: float
    stdout: int
    """How many bytes it has written so far."""
    stderr: int
    ended_at: float | None = None
    exit_code: int | None = None
    """None while it runs; -N if signal N ended it."""
    timed_out: bool = False
    cancelled: bool = False


class JobList(msgspec.Struct, frozen=True):
    """Jobs, the oldest first: those that run, and those that ended a moment ago."""

    jobs: list[JobInfo]


class JobEnd(msgspec.Struct, frozen=True):
    """The job has ended, and all its output has been sent."""

    exit_code: int
    """-N if signal N ended it."""
    timed_out: bool = False
    """Whether it was ended because its time was up."""
    cancelled: bool = False
    """Whether it was ended because somebody wished so."""


class RunJob(Operation[JobEnd], frozen=True, kw_only=True):
    """Run a command without a terminal; see PROTOCOL.md section 7 for the stream.

    `cwd` may begin with `~`; without it the command runs in the home directory. `env` is laid over
    the node's environment. After `timeout` seconds (by default what the node's settings say) it
    is ended. With `stdin` the asker's Data is its standard input, else that is empty.
    """

    op = "jobs.run"
    grant = "exec"
    reply = JobEnd
    limited_as = "execute"

    argv: Annotated[list[Argument], msgspec.Meta(min_length=1, max_length=4096)]
    cwd: Text | None = None
    env: dict[Text, Argument] = msgspec.field(default_factory=dict)
    timeout: Annotated[float, msgspec.Meta(gt=0, le=_LONGEST)] | None = None
    stdin: bool = False


class AttachJob(Operation[JobEnd], frozen=True, kw_only=True):
    """Pick a job up again whose connection was lost, with the output from these offsets on."""

    op = "jobs.attach"
    grant = "exec"
    reply = JobEnd
    about = "job"

    job: Reference
    stdout: Offset = 0
    stderr: Offset = 0


class ListJobs(Operation[JobList], frozen=True, kw_only=True):
    """Ask for the asker's jobs; this machine's user sees everybody's."""

    op = "jobs.list"
    grant = "exec"
    reply = JobList


class CancelJob(Operation[JobInfo], frozen=True, kw_only=True):
    """End a job: SIGTERM to its process group, some patience, SIGKILL; answered once it is gone."""

    op = "jobs.cancel"
    grant = "exec"
    reply = JobInfo
    about = "job"

    job: Reference
