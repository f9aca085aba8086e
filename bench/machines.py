"""What another machine costs: a key's echo and a command there, directly and by relay.

Two nodes, each a process of its own, on one machine: what is measured is the work of both, not a
network. In turn with it the same on this machine's own node, and a floor: a bare pty, and
`trio.run_process`. Aims for a command on a machine: p50 below 5 ms, more than 300 a second eight
at once.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING

import trio

from bench._figures import echo, percentile, report
from bench.echo import WARM_UP, floor
from bench.exec import AT_ONCE, RUNS, TRUE, each, rate
from bench.exec import floor as run_true
from loopsy_core.wire import AddPeer, Hello, ListPeers, NodeStatus
from tests.machine import running_node, running_relay, temporary_home, use_relay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.client import Client
    from loopsy_core.home import Home

KEYS = 500
SETTINGS = """
server: {{port: 0, name: {name}}}
discovery: {{enabled: false}}
execution: {{maxConcurrent: 100}}
rateLimits: {{execute: 1000000}}
"""


def settle(home: Home, name: str) -> None:
    """Give a machine its name, and let it be asked as often as we like."""
    home.config.write_text(SETTINGS.format(name=name), encoding="utf-8")
    home.config.chmod(0o600)


async def reached(client: Client, way: str) -> float:
    """Return the seconds until the other machine is reached that way."""
    began = time.perf_counter()
    while (await client.ask(ListPeers())).peers[0].way != way:  # noqa: ASYNC110 - as users see it
        await trio.sleep(0.001)
    return time.perf_counter() - began


@asynccontextmanager
async def two_machines(way: str) -> AsyncGenerator[tuple[Client, Client]]:
    """Two paired machines, and the client of the one; the other is called kai there.

    By relay: both know the relay, and then the direct way is closed.
    """
    async with AsyncExitStack() as stack:
        here, there = (stack.enter_context(temporary_home()) for _ in range(2))
        settle(here, "mac")
        settle(there, "kai")
        ours = await stack.enter_async_context(running_node(here))
        relay = stack.enter_context(running_relay(here.root))[0] if way == "relay" else None
        async with AsyncExitStack() as first:
            theirs = await first.enter_async_context(running_node(there, lan=True))
            if relay is not None:
                await use_relay(theirs, relay)
            us, them = await ours.ask(NodeStatus()), await theirs.ask(NodeStatus())
            await theirs.ask(AddPeer(address=None, key=us.node_id, name="mac"))
            address = f"127.0.0.1:{them.port}"
            await ours.ask(AddPeer(address=address, key=them.node_id, name="kai"))
            took = await reached(ours, "lan")
            if way == "lan":
                report("connect after adding", took * 1e3, "ms")
                yield ours, ours.peer("kai")
                return
            await trio.sleep(7)  # it asks for its relay at the next sign of life
        await stack.enter_async_context(running_node(there))
        report("connect by relay, when the machine is back", await reached(ours, "relay"), "s")
        yield ours, ours.peer("kai")


async def echoes(client: Client) -> list[float]:
    """Return the seconds of each key's echo in a session of `client`."""
    session = await client.start(["sh", "-c", "stty raw echo; exec sleep 1000"])
    async with client.attach(session.id, cols=80, rows=24) as (attached, _):
        await trio.sleep(0.3)  # for stty
        for _ in range(WARM_UP):
            await echo(attached)
        return [await echo(attached) for _ in range(KEYS)]


async def commands(here: Client, there: Client, way: str) -> None:
    """Run `true` here and there, in turn with the floor."""

    async def local() -> None:
        assert (await here.run(TRUE)).exit_code == 0

    async def remote() -> None:
        assert (await there.run(TRUE)).exit_code == 0

    async def ask() -> None:
        await there.ask(Hello())

    floors, locals_, remotes, asks = [], [], [], []
    for _ in range(RUNS):
        floors.append(await each(run_true))
        locals_.append(await each(local))
        remotes.append(await each(remote))
        asks.append(await each(ask))
    report("true, floor p50", median(floors) * 1e3, "ms")
    report("true here p50", median(locals_) * 1e3, "ms", of_floor=median(locals_) / median(floors))
    report(
        f"true there ({way}) p50", median(remotes) * 1e3, "ms", aim="< 5",
        of_floor=median(remotes) / median(floors), of_local=median(remotes) / median(locals_),
    )  # fmt: skip
    report(f"true there ({way}) p99", percentile(remotes, 99) * 1e3, "ms")
    report(f"hello there ({way}) p50", median(asks) * 1e3, "ms")
    report(f"true, {AT_ONCE} at once, floor", await rate(run_true), "/s")
    report(f"true here, {AT_ONCE} at once", await rate(local), "/s", aim="> 300")
    report(f"true there ({way}), {AT_ONCE} at once", await rate(remote), "/s", aim="> 300")


async def main() -> None:
    """Measure the floor, then both ways, beside this machine itself."""
    report("echo, floor p50", median(floor()) * 1e3, "ms")
    for way in ("lan", "relay"):
        async with two_machines(way) as (here, there):
            report("echo here p50", median(await echoes(here)) * 1e3, "ms")
            seconds = await echoes(there)
            for percent in (50, 99):
                report(f"echo there ({way}) p{percent}", percentile(seconds, percent) * 1e3, "ms")
            await commands(here, there, way)


if __name__ == "__main__":
    trio.run(main)
