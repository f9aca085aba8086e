"""Running commands on a machine: their output as it comes, or all of it at the end."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import BadRequest, Gone, ProtocolViolation
from loopsy_core.kit import one_error
from loopsy_core.wire import (
    AttachJob,
    CancelJob,
    JobEnd,
    JobOutput,
    JobStarted,
    OutputName,
    decode_job_item,
    read_reply,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.links import Call
    from loopsy_core.wire import RunJob

    from .client import Client

__all__ = ["MOST_OUTPUT", "Completed", "Output", "RunningJob", "open_job", "run_job"]

MOST_OUTPUT: Final = 64 << 20
"""Bytes that a command may write when all of it is to be kept."""


@attrs.frozen
class Output:
    """Some bytes that a job has written."""

    stream: OutputName
    data: bytes
    lost: int = 0
    """How many bytes before these are lost, for they were not kept for as long as we were away."""


@attrs.frozen
class Completed:
    """A job that has ended."""

    exit_code: int
    """-N if signal N ended it."""
    stdout: bytes = attrs.field(repr=False)
    stderr: bytes = attrs.field(repr=False)
    timed_out: bool = False
    cancelled: bool = False
    id: str = attrs.field(eq=False, kw_only=True)


class RunningJob:
    """A job seen over one connection; `open_job` makes it. One task receives, another may send."""

    def __init__(
        self, client: Client, call: Call, request: RunJob | AttachJob, began: JobStarted
    ) -> None:
        """Show what `call` brings of the job, which has begun."""
        self._client = client
        self._call = call
        self._request = request
        self._stream: OutputName = "stdout"
        self.id = began.job
        """With it the job can be picked up again, or cancelled."""
        self.pid = began.pid
        self.taken = began.taken
        """How many bytes of standard input it had been given when this view of it began."""
        self.offsets: dict[OutputName, int] = {"stdout": 0, "stderr": 0}
        """How many bytes of each stream have been received, or lost."""
        if isinstance(request, AttachJob):
            self.offsets = {"stdout": request.stdout, "stderr": request.stderr}

    async def receive(self) -> Output | JobEnd:
        """Wait for the next output, or for the end, after which nothing more comes.

        Raises `Gone` when the connection is lost: the job goes on for a minute, and can be picked
        up from `offsets` on.
        """
        while (piece := await self._call.receive()) is not None:
            if isinstance(piece, bytes):
                self.offsets[self._stream] += len(piece)
                return Output(self._stream, piece)
            item = decode_job_item(piece.value)
            if isinstance(item, JobOutput):
                self._stream = item.stream
                lost = item.offset - self.offsets[item.stream]
                if lost < 0:
                    raise ProtocolViolation("the job's output goes back in its stream")
                self.offsets[item.stream] = item.offset
                if lost:
                    return Output(item.stream, b"", lost)
        return read_reply(self._request, await self._call.answer())

    async def cancel(self) -> None:
        """Have it ended; returns once it is, and `receive` then tells how."""
        await self._client.ask(CancelJob(job=self.id))

    async def send(self, data: bytes) -> None:
        """Send `data` to its standard input; waits while the job does not read.

        Raises `Gone` when the job has ended, or the connection is lost; `receive` tells which.
        """
        await self._call.send(data)

    def end_input(self) -> None:
        """Close its standard input; nothing can be sent afterwards."""
        self._call.end()


@asynccontextmanager
async def open_job(client: Client, request: RunJob | AttachJob) -> AsyncGenerator[RunningJob]:
    """Run a job, or pick one up; leaving the block before its end cancels it there.

    Raises what the node answers when it cannot be started.
    """
    async with client.open_call(request) as call:
        piece = await call.receive()
        if piece is None or isinstance(piece, bytes):
            raise ProtocolViolation("the job began with something else than its start")
        item = decode_job_item(piece.value)
        if not isinstance(item, JobStarted):
            raise ProtocolViolation("the job began with something else than its start")
        yield RunningJob(client, call, request, item)


async def run_job(client: Client, request: RunJob, stdin: bytes | None, most: int) -> Completed:
    """Run a job to its end and return all its output, of at most `most` bytes.

    Raises `BadRequest` when it writes more; it is cancelled then, as it is when this is.
    """
    kept: dict[OutputName, list[bytes]] = {"stdout": [], "stderr": []}
    size = 0
    with one_error():
        async with open_job(client, request) as job, trio.open_nursery() as nursery:
            if stdin is not None:
                nursery.start_soon(_send_all, job, stdin)
            while isinstance(got := await job.receive(), Output):
                size += len(got.data)
                if size > most:
                    raise BadRequest(
                        f"the command writes more than {most} bytes; stream it instead"
                    )
                kept[got.stream].append(got.data)
            nursery.cancel_scope.cancel()
    out, err = b"".join(kept["stdout"]), b"".join(kept["stderr"])
    return Completed(got.exit_code, out, err, got.timed_out, got.cancelled, id=job.id)


async def _send_all(job: RunningJob, stdin: bytes) -> None:
    with suppress(Gone):  # it has ended without reading all; or whoever receives is told, too
        await job.send(stdin)
        job.end_input()
