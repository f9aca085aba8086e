"""How long a node takes from its start until it answers. Aim: under 0.6 s."""

from __future__ import annotations

import time
from statistics import median

import trio

from bench._figures import report
from tests.machine import running_node, temporary_home

RUNS = 9


async def main() -> None:
    """Start a node again and again."""
    seconds = []
    for _ in range(RUNS):
        with temporary_home() as home:
            began = time.perf_counter()
            async with running_node(home) as client:
                await client.status()
                seconds.append(time.perf_counter() - began)
    report("start to ready", median(seconds), "s", aim="< 0.6")


if __name__ == "__main__":
    trio.run(main)
