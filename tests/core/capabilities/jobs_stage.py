"""Jobs as their askers have them: real processes, conversations in memory that may be cut."""

from __future__ import annotations

import os
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.capabilities import Jobs, open_jobs
from loopsy_core.client import Client, Output
from loopsy_core.home import ExecutionConfig
from loopsy_core.kit import one_error
from loopsy_core.links import open_conversation
from tests.world import PATIENCE, MemoryChannel, memory_channels

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.client import RunningJob
    from loopsy_core.links import Asked
    from loopsy_core.wire import JobEnd, OutputName

STUBBORN: Final = "trap '' TERM HUP INT; echo up; while :; do sleep 0.05; done"
"""A script that only SIGKILL ends."""


@attrs.frozen
class Line:
    """One asker's connection."""

    client: Client
    channel: MemoryChannel

    def cut(self) -> None:
        """Lose the connection."""
        self.channel.cut()


class Stage:
    """Jobs, and whoever calls them."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    @asynccontextmanager
    async def line(self, owner: str | None = None) -> AsyncGenerator[Line]:
        """Connect as `owner`."""

        async def answer(asked: Asked) -> object:
            return await self.jobs.answer(asked, owner)

        near, far = memory_channels()
        assert isinstance(near, MemoryChannel)
        with one_error():
            async with (
                open_conversation(far, opener=False, answer=answer),
                open_conversation(near, opener=True) as ours,
            ):
                yield Line(Client(ours), near)


@asynccontextmanager
async def open_stage(home: Path, settings: ExecutionConfig | None = None) -> AsyncGenerator[Stage]:
    """Run jobs in `home`, for as long as the block lasts and not for ever."""
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    with one_error(), trio.fail_after(PATIENCE):
        async with open_jobs(settings or ExecutionConfig(denylist=()), surroundings) as jobs:
            yield Stage(jobs)


async def read_all(job: RunningJob) -> tuple[dict[OutputName, bytes], JobEnd]:
    """Return all that a job writes from now on, and how it ends."""
    got: dict[OutputName, bytes] = {"stdout": b"", "stderr": b""}
    while isinstance(piece := await job.receive(), Output):
        got[piece.stream] += piece.data
    return got, piece


async def read_until(job: RunningJob, text: bytes) -> bytes:
    """Return what a job writes until `text` has come."""
    got = b""
    while text not in got:
        piece = await job.receive()
        assert isinstance(piece, Output), (got, piece)
        got += piece.data
    return got


def alive_in_group(group: int) -> list[str]:
    """Return the commands of a process group that are alive; zombies are not."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = [line.split(None, 2) for line in listed]
    return [args for pgid, stat, args in found if int(pgid) == group and stat[0] != "Z"]
