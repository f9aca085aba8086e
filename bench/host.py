"""What sessions cost the two processes that hold them: idle ones, and a viewer that never reads.

Aims: less than 2 MB for an idle session; less than 4 MB more for a stuck viewer during 400 MB of
output, beside the log that every session has (4 MiB) and its scrollback.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from bench._figures import echo, percentile, report, resident
from tests.core.sessions.emulators import emulators_of
from tests.machine import running_node, temporary_home
from tests.world import holder_of

if TYPE_CHECKING:
    from loopsy_core.client import Client
    from loopsy_core.home import Home
    from loopsy_core.wire import SessionInfo

FLOOD = "head -c 300000000 /dev/zero | base64"
KEYS = 200


def host_memory(home: Home) -> float:
    """Return the resident memory of the host and its emulator process in MB."""
    pid = holder_of(home.host_lock)
    assert pid is not None
    [emulator] = emulators_of(pid)
    return (resident(pid) + resident(emulator)) / 1e6


async def idle_sessions(home: Home, client: Client) -> None:
    """Report the host's memory with 0, 20 and 100 idle sessions."""
    first = await client.start(["true"])
    await client.end_session(first.id)
    empty = host_memory(home)
    report("host and emulator, 0 sessions", empty, "MB")
    started: list[SessionInfo] = []
    for count in (20, 100):
        while len(started) < count:
            started.append(await client.start(["cat"]))
        await trio.sleep(1)
        memory = host_memory(home)
        report(f"host and emulator, {count} sessions", memory, "MB")
        each = (memory - empty) / count
        report(f"each of {count} sessions", each, "MB", aim="< 2")
    for session in started:
        await client.end_session(session.id)


async def flood(home: Home, client: Client) -> tuple[float, float]:
    """Let a session print 400 MB that nobody looks at; return the seconds, and the MB it took."""
    before = most = host_memory(home)
    session = await client.start(["sh", "-c", FLOOD])
    began = time.perf_counter()
    while any(each.id == session.id and each.alive for each in await client.sessions()):
        most = max(most, host_memory(home))
        await trio.sleep(0.05)
    return time.perf_counter() - began, most - before


async def stuck_viewer(home: Home, client: Client) -> None:
    """Report what a viewer that never reads costs while its session prints 400 MB."""
    alone, log = await flood(home, client)
    report("400 MB that nobody looks at", log, "MB")
    quiet = await client.start(["sh", "-c", "stty raw echo; exec cat >/dev/null"])
    before = host_memory(home)
    session = await client.start(["sh", "-c", f"read go; {FLOOD}"])
    async with (
        client.attach(quiet.id, cols=80, rows=24) as (attached, _),
        client.attach(session.id, cols=80, rows=24) as (stuck, _),
    ):
        await trio.sleep(0.3)
        await stuck.type(b"\n")
        began = time.perf_counter()
        most = before
        keys: list[float] = []
        while any(each.id == session.id and each.alive for each in await client.sessions()):
            most = max(most, host_memory(home))
            keys += [await echo(attached) for _ in range(5)]
        seconds = time.perf_counter() - began
        more = most - before - log
        report("a stuck viewer during 400 MB, beside that", more, "MB", aim="< 4")
        report("400 MB with a stuck viewer", seconds, "s", of_alone=seconds / alone)
        late = percentile(keys, 99) * 1000
        report("echo of another session meanwhile p99", late, "ms", aim="< 50")


async def main() -> None:
    """Measure one node's host."""
    with temporary_home() as home:
        async with running_node(home) as client:
            await idle_sessions(home, client)
            await stuck_viewer(home, client)


if __name__ == "__main__":
    trio.run(main)
