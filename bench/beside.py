"""`loopsy attach` beside what people use today: ssh to this machine, and tmux, in one run.

Everybody runs the same programs and is used the same way, on a terminal of its own: how soon a
key is echoed, how fast a flood passes (and which part of it is shown), how soon a session with
10 000 lines is there, and how soon a new one shows its first byte. `of_floor` compares with the
same program on a bare PTY. Times of the last two contain the start of each command.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs
import pexpect
import trio

from bench._figures import percentile, report
from bench._rivals import Missing, running_sshd, running_tmux
from bench._sealed_attach import MODULE
from tests.machine import pair_phone, running_node, running_relay, temporary_home, use_relay

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopsy_core.client import Client
    from tests.machine import Phone

KEYS: Final = 300
WARM_UP: Final = 20
RUNS: Final = 3
PATIENCE: Final = 20.0
AT_MOST: Final = 55.0
"""Seconds for all runs: none is begun that would take longer. One of each there always is."""

READY: Final = b"ready!"
END: Final = b"the end!"  # which base64 never prints
ECHOES: Final = f"stty raw echo; printf '{READY.decode()}'; exec sleep 1000"
FLOOD_BYTES: Final = 10_000_000
FLOOD: Final = (
    f"stty -echo; printf '{READY.decode()}'; read go; head -c {FLOOD_BYTES} /dev/zero | base64;"
    f" printf '{END.decode()}'; exec sleep 1000"
)
PRINTED: Final = FLOOD_BYTES * 4 / 3 * 78 / 76  # each line of 76 letters ends with two bytes
LINES: Final = f"seq 10000; printf '{END.decode()}'; exec sleep 1000"
FIRST: Final = "printf 'x%s' first; exec sleep 1000"


class Seat:
    """A command on a terminal, used by whoever has the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def type(self, data: bytes) -> None:
        os.write(self._descriptor, data)

    def until(self, text: bytes) -> int:
        """Read until `text` comes; return how many bytes that were."""
        count, tail = 0, b""
        deadline = time.monotonic() + PATIENCE
        while text not in tail:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._descriptor], [], [], left)[0]:
                raise TimeoutError(f"no {text!r} came, but {tail[-200:]!r}")
            data = os.read(self._descriptor, 65_536)
            count += len(data)
            tail = tail[-len(text) :] + data
        return count


@contextmanager
def on_terminal(command: Sequence[str]) -> Generator[Seat]:
    """Run a command on a terminal of its own, until the block ends."""
    environment = {**os.environ, "TERM": "xterm-256color", "SHELL": "/bin/sh"}
    environment.pop("TMUX", None)
    child = pexpect.spawn(
        command[0],
        list(command[1:]),
        dimensions=(24, 80),
        env=environment,  # type: ignore[arg-type] # which pexpect hands to os.execvpe
    )
    try:
        yield Seat(child.child_fd)
    finally:
        child.close(force=True)


@attrs.frozen
class Way:
    """A way to run a program and to look at it."""

    name: str
    start: Callable[[str], Sequence[str]]
    """Has a program run, and returns the command that shows it."""
    keeps: bool = True
    """Whether the program runs before somebody looks."""
    opens: Callable[[str], Sequence[str]] | None = None
    """Returns the command that starts a program and shows it; None where `start` is no less."""


def echo(way: Way) -> list[float]:
    """Return the seconds that each of some keys took to come back."""
    seconds = []
    with on_terminal(way.start(ECHOES)) as seat:
        seat.until(READY)
        for _ in range(WARM_UP + KEYS):
            began = time.perf_counter()
            seat.type(b"x")
            seat.until(b"x")
            seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP:]


def flood(way: Way) -> tuple[float, float]:
    """Return the seconds until the end of a flood was shown, and which part of it was."""
    with on_terminal(way.start(FLOOD)) as seat:
        seat.until(READY)
        time.sleep(0.2)  # what a terminal is told at first is no flood
        began = time.perf_counter()
        seat.type(b"\r")
        shown = seat.until(END)
        return time.perf_counter() - began, shown / PRINTED


def attach(way: Way) -> float:
    """Return the seconds until a session that has printed 10 000 lines is shown to its end."""
    command = way.start(LINES)
    time.sleep(1.0)  # for it to print them
    began = time.perf_counter()
    with on_terminal(command) as seat:
        seat.until(END)
        return time.perf_counter() - began


def first_byte(way: Way) -> float:
    """Return the seconds from a command's start until the first byte of its program is shown."""
    began = time.perf_counter()
    with on_terminal((way.opens or way.start)(FIRST)) as seat:
        seat.until(b"xfirst")
        return time.perf_counter() - began


def shell(script: str) -> list[str]:
    """Return the command that runs a script with nothing between: the floor."""
    return ["sh", "-c", script]


def tmux_way(tmux: Sequence[str]) -> Way:
    """Return the way of tmux."""
    number = iter(range(1000))

    def start(script: str) -> list[str]:
        name = f"s{next(number)}"
        size = ("-x", "80", "-y", "24")
        subprocess.run([*tmux, "new-session", "-d", *size, "-s", name, script], check=True)
        return [*tmux, "attach", "-t", name]

    return Way("tmux attach", start, opens=lambda script: [*tmux, "new-session", script])


def loopsy_ways(local: Client, phone: Phone) -> list[Way]:
    """Return our own ways; called from a thread of trio's."""
    loopsy = [sys.executable, "-m", "loopsy_cli"]
    # What a phone knows, for a process of its own.
    known = json.dumps(phone.known)

    def session(script: str) -> str:
        started = trio.from_thread.run(local.start, shell(script))
        return started.id

    return [
        Way(
            "loopsy attach, local",
            lambda script: [*loopsy, "attach", session(script)],
            opens=lambda script: [*loopsy, "shell", "--", *shell(script)],
        ),
        Way(
            "loopsy attach, sealed through the relay",
            lambda script: [sys.executable, "-m", MODULE, known, session(script)],
        ),
    ]


def measure(ways: Sequence[Way]) -> None:
    """Measure all ways in turn, so that a slow moment meets them all; the floor comes first."""
    floor = ways[0].name
    keys: dict[str, list[float]] = {way.name: [] for way in ways}
    floods: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    attaching: dict[str, list[float]] = {way.name: [] for way in ways if way.keeps}
    first: dict[str, list[float]] = {way.name: [] for way in ways}
    began = time.monotonic()
    for run in range(RUNS):
        if (time.monotonic() - began) * (run + 1) > AT_MOST * run > 0:
            break
        for way in ways:
            keys[way.name] += echo(way)
            floods[way.name].append(flood(way))
            first[way.name].append(first_byte(way))
            if way.keeps:
                attaching[way.name].append(attach(way))
    base = percentile(keys[floor], 50)
    for name, seconds in keys.items():
        for percent in (50, 95):
            value = percentile(seconds, percent)
            report(f"echo, {name} p{percent}", value * 1000, "ms", of_floor=value / base)
    base = median(seconds for seconds, _ in floods[floor])
    for name, results in floods.items():
        value = median(seconds for seconds, _ in results)
        shown = median(part for _, part in results)
        speed = PRINTED / value / 1e6
        more = {"of_floor": base / value, "shown": shown, "runs": len(results)}
        report(f"flood, {name}", speed, "MB/s", **more)
    for name, seconds in attaching.items():
        report(f"10 000 lines, {name}", median(seconds) * 1000, "ms", runs=len(seconds))
    base = median(first[floor])
    for name, seconds in first.items():
        value = median(seconds)
        report(f"first byte, {name}", value * 1000, "ms", of_floor=value / base)


async def main() -> None:
    """Measure whatever is to be had here, and say what is not."""
    with ExitStack() as stack:
        ways = [Way("bare PTY", shell, keeps=False)]
        try:
            ssh = stack.enter_context(running_sshd())
            ways.append(Way("ssh", lambda script: ssh(f"sh -c {shlex.quote(script)}"), keeps=False))
        except Missing as missing:
            report("ssh", 0, "runs", skipped=str(missing))
        try:
            ways.append(tmux_way(stack.enter_context(running_tmux())))
        except Missing as missing:
            report("tmux attach", 0, "runs", skipped=str(missing))
        home = stack.enter_context(temporary_home())
        stack.enter_context(_home_of_commands(str(home.root)))
        relay, _ = stack.enter_context(running_relay(home.root))
        async with running_node(home) as local:
            await use_relay(local, relay)
            ways += loopsy_ways(local, await pair_phone(local))
            await trio.to_thread.run_sync(measure, ways)


@contextmanager
def _home_of_commands(root: str) -> Generator[None]:
    """Have the commands that are started within the block use this home."""
    before = os.environ.get("LOOPSY_HOME")
    os.environ["LOOPSY_HOME"] = root
    os.environ.pop("LOOPSY_SESSION", None)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LOOPSY_HOME"]
        else:
            os.environ["LOOPSY_HOME"] = before


if __name__ == "__main__":
    trio.run(main)
