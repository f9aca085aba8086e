"""How soon a session is there: attaching to one with 10 000 lines, and from start to first byte.

The floors are, for the first, drawing the picture alone; for the second, a program on a bare PTY.
Aim: attaching takes less than 15 ms, with all lines.
"""

from __future__ import annotations

import os
import subprocess
import time
from statistics import median

import trio

from bench._figures import local_and_sealed, report
from loopsy_core.client import Client, Drawn
from loopsy_core.screen import Screen
from loopsy_core.wire import Ended, ShowScreen

LINES = 10_000
KEPT = 9000  # of them the emulator has at least: it counts its scrollback in pages
RUNS = 15
LINE = "printf '\\033[32mok\\033[0m   %05d  tests/core/some/long/path/test_file.py\\n'"
SCRIPT = f"i=0; while [ $i -lt {LINES + 50} ]; do {LINE} $i; i=$((i+1)); done; exec cat"


def drawing() -> tuple[float, int]:
    """Return the seconds that drawing such a picture takes, and its bytes."""
    screen = Screen(120, 40, lambda _: None)
    for number in range(LINES + 50):
        path = b"tests/core/some/long/path/test_file.py"
        screen.feed(b"\x1b[32mok\x1b[0m   %05d  %s\r\n" % (number, path))
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        picture = screen.picture()
        seconds.append(time.perf_counter() - began)
    return median(seconds), len(picture)


async def attaching(client: Client, session: str) -> float:
    """Attach and leave again; return the median of the seconds until the screen was there."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        async with client.attach(session, cols=120, rows=40) as (_, drawn):
            seconds.append(time.perf_counter() - began)
            assert isinstance(drawn, Drawn)
            assert drawn.vt.count(b"\n") >= KEPT
    return median(seconds)


async def first_byte(client: Client) -> float:
    """Start a session and attach; return the median of the seconds until it shows something."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        session = await client.start(["printf", "x"])
        async with client.attach(session.id, cols=80, rows=24) as (attached, drawn):
            shown: object = drawn
            while not (isinstance(shown, bytes) or (isinstance(shown, Drawn) and b"x" in shown.vt)):
                shown = await attached.receive()
                assert not isinstance(shown, Ended)
            seconds.append(time.perf_counter() - began)
    return median(seconds)


def bare_first_byte() -> float:
    """Return the same for a program on a bare PTY."""
    seconds = []
    for _ in range(RUNS):
        near, far = os.openpty()
        began = time.perf_counter()
        with subprocess.Popen(["printf", "x"], stdin=far, stdout=far, stderr=far):
            os.read(near, 1)
            seconds.append(time.perf_counter() - began)
        os.close(near)
        os.close(far)
    return median(seconds)


async def main() -> None:
    """Measure floors, local and sealed."""
    floor, size = drawing()
    report("picture alone", floor * 1000, "ms", bytes=size)
    async with local_and_sealed() as (local, sealed):
        session = await local.start(["sh", "-c", SCRIPT], cols=120, rows=40)
        last = f"{LINES + 49:05}"
        while last not in " ".join((await local.ask(ShowScreen(session=session.id))).lines):  # noqa: ASYNC110
            await trio.sleep(0.1)
        for case, client in (("local", local), ("sealed through the relay", sealed)):
            seconds = await attaching(client, session.id)
            report(f"attach, {case}", seconds * 1000, "ms", of_picture=seconds / floor, aim="< 15")
        bare = bare_first_byte()
        report("first byte, bare PTY", bare * 1000, "ms")
        for case, client in (("local", local), ("sealed through the relay", sealed)):
            report(f"first byte, {case}", await first_byte(client) * 1000, "ms")


if __name__ == "__main__":
    trio.run(main)
