"""Commands by HTTP: running one, with its output as it comes or at its end; listing and ending."""

from __future__ import annotations

import codecs
import time
from collections import deque
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from loopsy_core.client import Output
from loopsy_core.errors import BadRequest
from loopsy_core.wire import CancelJob, JobEnd, JobInfo, ListJobs
from loopsy_core.wire.operation import Argument, Text

from .camel import in_ms
from .route import Call, NoBody, OnPeer, Route
from .streaming import EVENTS, event_stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from loopsy_core.client import RunningJob

    from .route import Stream

__all__ = ["ROUTES"]

MOST_OUTPUT: Final = 16 << 20
"""Bytes that a command may write when its output is one answer."""
MOST_STREAM_INPUT: Final = 200_000
"""Bytes of standard input of a streamed command, which is sent before any output is read."""
LONGEST: Final = 30 * 86_400_000


class Command(msgspec.Struct, frozen=True):
    """A command, run by no shell."""

    command: Annotated[Argument, msgspec.Meta(min_length=1)]
    args: Annotated[list[Argument], msgspec.Meta(max_length=4095)] = []
    cwd: Text | None = None
    """Without it the home directory."""
    env: dict[Text, Argument] = {}
    """Laid over the environment of the node."""
    timeout: Annotated[int, msgspec.Meta(ge=1, le=LONGEST)] | None = None
    """Milliseconds after which it is ended; without it what the settings there say."""
    stdin: str | None = None
    """Its standard input, which is empty without it."""

    @property
    def argv(self) -> list[str]:
        """Program and arguments."""
        return [self.command, *self.args]

    @property
    def seconds(self) -> float | None:
        """The timeout as the node counts it."""
        return None if self.timeout is None else self.timeout / 1000


class Executed(msgspec.Struct, frozen=True, rename="camel"):
    """A command has ended."""

    job_id: str
    exit_code: int
    """-N if signal N ended it."""
    stdout: str
    """As UTF-8; what is none is replaced by U+FFFD."""
    stderr: str
    duration: int
    """Milliseconds."""
    killed: bool
    """Whether it was ended, because its time was up or somebody wished so."""
    timed_out: bool


class Happened(msgspec.Struct, frozen=True, rename="camel"):
    """What happened to a command whose output is streamed."""

    type: Literal["start", "stdout", "stderr", "exit"]
    data: str
    """Of "start" the process id, of "exit" the exit code, else what it wrote, as UTF-8."""
    job_id: str
    timestamp: int
    killed: bool = False
    timed_out: bool = False


class Job(msgspec.Struct, frozen=True, rename="camel"):
    """A command that runs."""

    job_id: str
    command: str
    args: list[str]
    cwd: str
    from_node_id: str | None
    """The machine or phone that asked for it; null for this machine's user."""
    pid: int
    started_at: int


class Jobs(msgspec.Struct, frozen=True):
    """The commands that run, the oldest first."""

    jobs: list[Job]


class Cancelled(msgspec.Struct, frozen=True, rename="camel"):
    """A command was ended, and is gone."""

    success: bool
    job_id: str


async def execute(call: Call[Command, OnPeer]) -> Executed:
    """Run a command, and answer with all its output when it has ended."""
    command = call.body
    began = perf_counter()
    done = await call.client.run(
        command.argv,
        cwd=command.cwd,
        env=command.env,
        stdin=None if command.stdin is None else command.stdin.encode(),
        timeout=command.seconds,
        most=MOST_OUTPUT,
    )
    return Executed(
        job_id=done.id,
        exit_code=done.exit_code,
        stdout=done.stdout.decode(errors="replace"),
        stderr=done.stderr.decode(errors="replace"),
        duration=in_ms(perf_counter() - began),
        killed=done.timed_out or done.cancelled,
        timed_out=done.timed_out,
    )


async def execute_stream(call: Call[Command, OnPeer]) -> Stream:
    """Run a command, and stream its output; it is ended when the client leaves."""
    return await event_stream(_run(call), "execute")


@asynccontextmanager
async def _run(call: Call[Command, OnPeer]) -> AsyncGenerator[AsyncIterator[object]]:
    command = call.body
    stdin = (command.stdin or "").encode()
    if len(stdin) > MOST_STREAM_INPUT:
        raise BadRequest(f"stdin: may be {MOST_STREAM_INPUT} bytes at most for a stream")
    async with call.client.start_job(
        command.argv,
        cwd=command.cwd,
        env=command.env,
        stdin=command.stdin is not None,
        timeout=command.seconds,
    ) as job:
        if command.stdin is not None:
            await job.send(stdin)
            job.end_input()
        yield _Happenings(job)


class _Happenings:
    """Tells what happens to a job. No generator, which would end when it is cancelled."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        # Characters may come in pieces.
        self._text = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        self._next = deque([self._happened("start", str(job.pid))])
        self._ended = False

    def __aiter__(self) -> _Happenings:
        return self

    async def __anext__(self) -> Happened:
        while not self._next:
            if self._ended:
                raise StopAsyncIteration
            match await self._job.receive():
                case Output(stream, data):
                    self._tell(stream, self._text[stream].decode(data))
                case JobEnd() as end:
                    for stream in ("stdout", "stderr"):
                        self._tell(stream, self._text[stream].decode(b"", final=True))
                    self._next.append(self._happened("exit", str(end.exit_code), end))
                    self._ended = True
        return self._next.popleft()

    def _tell(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        if text:
            self._next.append(self._happened(stream, text))

    def _happened(
        self,
        kind: Literal["start", "stdout", "stderr", "exit"],
        data: str,
        end: JobEnd | None = None,
    ) -> Happened:
        timed_out = end is not None and end.timed_out
        killed = timed_out or (end is not None and end.cancelled)
        return Happened(kind, data, self._job.id, in_ms(time.time()), killed, timed_out)


async def jobs(call: Call[NoBody, OnPeer]) -> Jobs:
    """List the commands that run, the oldest first."""
    found = (await call.client.ask(ListJobs())).jobs
    return Jobs([_job(info) for info in found if info.ended_at is None])


async def cancel(call: Call[NoBody, OnPeer]) -> Cancelled:
    """End a command, and answer when it is gone."""
    return Cancelled(True, (await call.client.ask(CancelJob(job=call.name))).id)


def _job(info: JobInfo) -> Job:
    return Job(
        job_id=info.id,
        command=info.argv[0],
        args=info.argv[1:],
        cwd=info.cwd,
        from_node_id=info.owner,
        pid=info.pid,
        started_at=in_ms(info.started_at),
    )


ROUTES: Final = (
    Route("POST", "/execute", execute, "execute", Command, OnPeer, Executed),
    Route("POST", "/execute/stream", execute_stream, "execute", Command, OnPeer, Happened, EVENTS),
    Route("GET", "/execute/jobs", jobs, "execute", NoBody, OnPeer, Jobs),
    Route("DELETE", "/execute/{id}", cancel, "execute", NoBody, OnPeer, Cancelled),
)
