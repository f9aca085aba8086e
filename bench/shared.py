"""What shared state costs: context, messages and tasks, each beside the disk's own floor.

Aims: get below 0.4 ms, a durable set below 1.5 ms and more than 3000 a second eight at once, the
same with 100 000 entries; a message reaches whoever watches the other inbox in 10 ms (p50). The
floor is one commit of SQLite with the same pragmas, in turn with what is measured, for most of
a durable write is waiting for the disk.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import trio

from bench._figures import percentile, report
from loopsy_core.client import open_client
from loopsy_core.home import load_identity
from loopsy_core.wire import AddPeer, ContextCurrent
from tests.machine import running_node, temporary_home

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from loopsy_core.client import Client
    from loopsy_core.home import Home

ROUNDS = 400
AT_ONCE = 8
SIZES = (10, 1000, 100_000)
TOGETHER = 200
MESSAGES = 200
QUEUED = 1000
TASKS = 1000


class Floor:
    """A bare SQLite database with the same pragmas, in the same folder."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(
            folder / "floor.db", isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID")

    def commit(self) -> float:
        """Return the seconds that one small commit takes."""
        began = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT OR REPLACE INTO t VALUES ('k', 'v')")
        self._connection.execute("COMMIT")
        return time.perf_counter() - began


async def seconds(act: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


async def rate(act: Callable[[int], Awaitable[object]]) -> float:
    """Return how often a second something is done, eight at once."""

    async def some(first: int) -> None:
        for number in range(first, ROUNDS * 2, AT_ONCE):
            await act(number)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for first in range(AT_ONCE):
            nursery.start_soon(some, first)
    return ROUNDS * 2 / (time.perf_counter() - began)


async def measure_context(client: Client, floor: Floor) -> None:
    """Set and get, with more and more entries beside."""
    context = client.context
    there = 0
    for size in SIZES:
        await fill(client, there, size)
        there = size

        async def set_one(number: int, size: int = size) -> None:
            await context.set(f"k{number % size}", "value")

        async def get_one(number: int, size: int = size) -> None:
            await context.get(f"k{number % size}")

        floors, sets, gets = [], [], []
        for number in range(ROUNDS):
            floors.append(await trio.to_thread.run_sync(floor.commit))
            sets.append(await seconds(partial(set_one, number)))
            gets.append(await seconds(partial(get_one, number)))
        bare = median(floors)
        of = {"entries": size}
        report("commit, floor p50", bare * 1e3, "ms", **of)
        report("set p50", median(sets) * 1e3, "ms", aim="< 1.5", of_floor=median(sets) / bare, **of)
        report("set p99", percentile(sets, 99) * 1e3, "ms", **of)
        report("get p50", median(gets) * 1e3, "ms", aim="< 0.4", **of)
        about = [await trio.to_thread.run_sync(floor.commit) for _ in range(50)]
        sets_at_once = await rate(set_one)
        about += [await trio.to_thread.run_sync(floor.commit) for _ in range(50)]
        for_each = sets_at_once * median(about)
        report("set, 8 at once", sets_at_once, "/s", aim="> 3000", in_a_bare_commit=for_each, **of)
        report("get, 8 at once", await rate(get_one), "/s", **of)
    began = time.perf_counter()
    told = 0
    async with context.watch() as changes:
        async for change in changes:
            if isinstance(change, ContextCurrent):
                break
            told += 1
    report("watch, until all is told", told / (time.perf_counter() - began), "/s", **of)


async def fill(client: Client, there: int, size: int) -> None:
    """Have `size` entries."""
    async with trio.open_nursery() as nursery:

        async def some(first: int) -> None:
            for number in range(first, size, TOGETHER):
                await client.context.set(f"k{number}", "value")

        for first in range(there, min(size, there + TOGETHER)):
            nursery.start_soon(some, first)


async def measure_messages(kai: Client, mac: Client, floor: Floor) -> None:
    """From `send` until whoever watches the other inbox has it; then a thousand that waited."""
    took, floors = [], []
    async with mac.messages.watch() as inbox:
        for number in range(MESSAGES):
            floors.append(await trio.to_thread.run_sync(floor.commit))
            began = time.perf_counter()
            await kai.messages.send("mac", str(number))
            envelope = await anext(inbox)
            took.append(time.perf_counter() - began)
            assert envelope.body == str(number)
    bare = median(floors)
    report("commit, floor p50", bare * 1e3, "ms")
    report(
        "message to watch p50", median(took) * 1e3, "ms", aim="< 10", of_floor=median(took) / bare
    )
    report("message to watch p99", percentile(took, 99) * 1e3, "ms")


async def measure_queue(kai: Client, mac_home: Home) -> None:
    """A thousand messages that waited for a machine which comes back."""
    for number in range(QUEUED):
        await kai.messages.send("mac", f"late {number}")
    async with running_node(mac_home) as mac, mac.messages.watch() as inbox:
        arrived: list[str] = []
        began = 0.0
        async for envelope in inbox:
            if envelope.body.startswith("late"):
                began = began or time.perf_counter()
                arrived.append(envelope.body)
            if len(arrived) == QUEUED:
                break
        took = time.perf_counter() - began
        assert arrived == [f"late {number}" for number in range(QUEUED)]
    report("1000 messages that waited", took, "s")


async def measure_tasks(client: Client) -> None:
    """Add a thousand tasks, and have eight workers claim and finish them all."""
    for number in range(TASKS):
        await client.tasks.add(str(number))
    done: list[str] = []

    async def work() -> None:
        while True:
            async with client.tasks.claim(wait=0.0) as task:
                if task is None:
                    return
                await task.finish("ok")
                done.append(task.task.id)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)
    took = time.perf_counter() - began
    assert len(set(done)) == len(done) == TASKS
    report("1000 tasks by 8 workers", TASKS / took, "/s", seconds=took)


async def main() -> None:
    """Two nodes on this machine, paired by their keys."""
    async with AsyncExitStack() as stack:
        here = stack.enter_context(temporary_home())
        there = stack.enter_context(temporary_home())
        floor = Floor(here.root)
        for home, name, port in ((here, "kai", 0), (there, "mac", 0)):
            home.config.touch(0o600)
            home.config.write_text(
                f"server: {{name: {name}, port: {port}}}\ndiscovery: {{enabled: false}}\n",
                encoding="utf-8",
            )
        kai = await stack.enter_async_context(running_node(here, lan=True))
        port = (await kai.status()).port
        ids = [load_identity(home).id for home in (here, there)]
        await kai.ask(AddPeer(address=None, key=ids[1], name="mac"))
        async with running_node(there) as mac:
            await mac.ask(AddPeer(address=f"127.0.0.1:{port}", key=ids[0], name="kai"))
            await measure_messages(kai, mac, floor)
            async with open_client(here) as another:
                await measure_context(another, floor)
            await measure_tasks(kai)
        await measure_queue(kai, there)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        SIZES = tuple(map(int, sys.argv[1:]))
    trio.run(main)
