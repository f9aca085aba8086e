"""How fast a flood of output reaches a viewer: local, and sealed through the relay.

The floor is a bare loop reading the same program from a PTY, in the same run. Aims: 70 % of the
floor locally, half of it through the relay. A viewer that falls 4 MiB behind is given a picture
and goes on from there, so the time is until the program has ended and its last byte was shown;
`pictures` says how often that happened, `shown` which part of the bytes the viewer got.
"""

from __future__ import annotations

import time
from statistics import median

import trio

from bench._figures import bare_read, local_and_sealed, report
from loopsy_core.client import Client, Drawn
from loopsy_core.wire import Ended

FLOOD = "head -c 50000000 /dev/zero | base64"
SIZE = 68_421_054  # what that prints, each line end as two bytes
RUNS = 3


async def measure(client: Client) -> tuple[float, int, float]:
    """Return the seconds of one flood, how many pictures came, and the part that was shown."""
    session = await client.start(["sh", "-c", f"read go; {FLOOD}"])
    async with client.attach(session.id, cols=80, rows=24) as (attached, _):
        await attached.type(b"\n")
        began = time.perf_counter()
        pictures = shown = 0
        while not isinstance(piece := await attached.receive(), Ended):
            if isinstance(piece, Drawn):
                pictures += 1
            elif isinstance(piece, bytes):
                shown += len(piece)
        return time.perf_counter() - began, pictures, shown / SIZE


async def main() -> None:
    """Measure floor, local and sealed in turn, so that a slow moment meets them all."""
    floors, locals_, sealeds = [], [], []
    async with local_and_sealed() as (local, sealed):
        for _ in range(RUNS):
            floors.append(bare_read(["sh", "-c", FLOOD]))
            locals_.append(await measure(local))
            sealeds.append(await measure(sealed))
    floor = median(floors)
    report("floor", SIZE / floor / 1e6, "MB/s")
    for case, results, aim in (
        ("local", locals_, ">= 0.7"),
        ("sealed through the relay", sealeds, ">= 0.5"),
    ):
        seconds, pictures, part = sorted(results)[len(results) // 2]
        report(
            case,
            SIZE / seconds / 1e6,
            "MB/s",
            of_floor=floor / seconds,
            aim=aim,
            pictures=pictures,
            shown=part,
        )


if __name__ == "__main__":
    trio.run(main)
