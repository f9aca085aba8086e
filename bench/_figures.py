"""What the benchmarks share: figures as JSON lines, the floor, and two viewers of one node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.machine import pair_phone, running_node, running_relay, temporary_home, use_relay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from loopsy_core.client import Attached, Client


def report(case: str, value: float, unit: str, **more: object) -> None:
    """Print one figure as a JSON line."""
    sys.stdout.write(json.dumps({"case": case, "value": value, "unit": unit, **more}) + "\n")
    sys.stdout.flush()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def local_and_sealed() -> AsyncGenerator[tuple[Client, Client]]:
    """A node with two clients: one on its socket, one sealed through a relay."""
    async with AsyncExitStack() as stack:
        home = stack.enter_context(temporary_home())
        relay, _ = stack.enter_context(running_relay(home.root))
        local = await stack.enter_async_context(running_node(home))
        await use_relay(local, relay)
        phone = await pair_phone(local)
        sealed = await stack.enter_async_context(phone.connected())
        await sealed.status()  # who says nothing at first is not kept
        yield local, sealed


def bare_read(command: Sequence[str]) -> float:
    """Return the seconds a bare loop takes to read what `command` prints on a PTY: the floor."""
    near, far = os.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, start_new_session=True)
    os.close(far)
    try:
        while os.read(near, 65_536):
            pass
    except OSError:
        pass  # Linux: the other side is closed
    seconds = time.perf_counter() - began
    process.wait()
    os.close(near)
    return seconds


async def echo(attached: Attached) -> float:
    """Type one key and wait until it is shown."""
    began = time.perf_counter()
    await attached.type(b"x")
    while not isinstance(await attached.receive(), bytes):
        pass
    return time.perf_counter() - began
