"""How long a key takes to come back: to a local viewer, and to a sealed one through the relay.

The floor is a bare loop that writes to a PTY and reads its echo, in the same run. Aims: p50 under
0.35 ms local, under 1.5 ms through the relay.
"""

from __future__ import annotations

import os
import termios
import time
import tty
from typing import TYPE_CHECKING

import trio

from bench._figures import echo, local_and_sealed, percentile, report

if TYPE_CHECKING:
    from loopsy_core.client import Client

KEYS = 1000
WARM_UP = 50


def floor() -> list[float]:
    """Measure the echo of a bare PTY."""
    near, far = os.openpty()
    tty.setraw(far)
    modes = termios.tcgetattr(far)
    modes[3] |= termios.ECHO
    termios.tcsetattr(far, termios.TCSANOW, modes)
    seconds = []
    for _ in range(KEYS):
        began = time.perf_counter()
        os.write(near, b"x")
        os.read(near, 100)
        seconds.append(time.perf_counter() - began)
    os.close(near)
    os.close(far)
    return seconds


async def measure(client: Client) -> list[float]:
    """Measure the echo of a session, seen by `client`."""
    # Raw, with the terminal's own echo: a line of 4096 keys would be full otherwise.
    session = await client.start(["sh", "-c", "stty raw echo; exec sleep 1000"])
    async with client.attach(session.id, cols=80, rows=24) as (attached, _):
        await trio.sleep(0.3)  # for stty
        for _ in range(WARM_UP):
            await echo(attached)
        return [await echo(attached) for _ in range(KEYS)]


async def main() -> None:
    """Measure the floor, then both viewers."""
    results = {"floor": floor()}
    async with local_and_sealed() as (local, sealed):
        results["local"] = await measure(local)
        results["sealed through the relay"] = await measure(sealed)
    aims = {"local": "< 0.35", "sealed through the relay": "< 1.5"}
    for case, seconds in results.items():
        for percent in (50, 95, 99):
            aim = {"aim": aims[case]} if percent == 50 and case in aims else {}
            report(f"{case} p{percent}", percentile(seconds, percent) * 1000, "ms", **aim)


if __name__ == "__main__":
    trio.run(main)
