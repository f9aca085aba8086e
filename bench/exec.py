"""What running a command by a node costs: one at a time, eight at once, and its output's speed.

Aims: p50 below 5 ms one at a time, more than 300 a second eight at once. The floor is
`trio.run_process` in this process, in turn with it, and a bare loop reading the same output from
a pipe.
"""

from __future__ import annotations

import os
import subprocess
import time
from statistics import median
from typing import TYPE_CHECKING

import trio

from bench._figures import percentile, report
from loopsy_core.client import Output
from tests.machine import running_node, temporary_home

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.client import Client

RUNS = 300
AT_ONCE = 8
TRUE = ["true"]
FLOOD = 100_000_000
FLOODS = 3


async def floor() -> None:
    """Run `true` without a node."""
    await trio.run_process(TRUE, capture_stdout=True, capture_stderr=True)


async def each(run: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that one run takes."""
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


async def rate(run: Callable[[], Awaitable[object]]) -> float:
    """Return how many runs end in a second, eight at once."""

    async def some() -> None:
        for _ in range(RUNS // AT_ONCE):
            await run()

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(some)
    return RUNS // AT_ONCE * AT_ONCE / (time.perf_counter() - began)


async def flood(client: Client) -> float:
    """Return the seconds in which a client has all the output of a flood."""
    began = time.perf_counter()
    size = 0
    async with client.start_job(["head", "-c", str(FLOOD), "/dev/zero"]) as job:
        while isinstance(piece := await job.receive(), Output):
            size += len(piece.data)
    assert size == FLOOD
    return time.perf_counter() - began


def bare_flood() -> float:
    """Return the seconds in which a bare loop reads it from a pipe."""
    began = time.perf_counter()
    command = ["head", "-c", str(FLOOD), "/dev/zero"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while os.read(process.stdout.fileno(), 65_536):
            pass
    return time.perf_counter() - began


async def main() -> None:
    """Measure one node in turn with the floors, so that a slow moment meets them all."""
    with temporary_home() as home:
        async with running_node(home) as client:

            async def job() -> None:
                assert (await client.run(TRUE)).exit_code == 0

            floors, jobs = [], []
            for _ in range(RUNS):
                floors.append(await each(floor))
                jobs.append(await each(job))
            report("true, floor p50", median(floors) * 1e3, "ms")
            report(
                "true p50",
                median(jobs) * 1e3,
                "ms",
                aim="< 5",
                of_floor=median(jobs) / median(floors),
            )
            report("true p99", percentile(jobs, 99) * 1e3, "ms")
            report("true, 8 at once, floor", await rate(floor), "/s")
            report("true, 8 at once", await rate(job), "/s", aim="> 300")
            pairs = [(bare_flood(), await flood(client)) for _ in range(FLOODS)]
            bare, ours = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
            report("100 MB of output, floor", FLOOD / bare / 1e6, "MB/s")
            report("100 MB of output", FLOOD / ours / 1e6, "MB/s", of_floor=bare / ours)


if __name__ == "__main__":
    trio.run(main)
