"""Runs a command in a session of its own and shows its output here.

    python examples/watch_a_command.py build make -j8

Interrupt it, and the session lives on: `loopsy attach build` shows it. A node must run
(`loopsy start` or `loopsy up`).
"""

from __future__ import annotations

import sys

import trio

from loopsy_core import LoopsyError, open_client
from loopsy_core.client import Drawn
from loopsy_core.wire import Ended


async def watch(name: str, command: list[str]) -> int:
    """Run `command` as the session `name` and return its exit code, 128 + N after signal N."""
    async with open_client() as here:
        session = await here.start(command, name=name, cols=120, rows=40)
        async with here.attach(session.id, cols=120, rows=40) as (attached, screen):
            show(screen)
            while not isinstance(shown := await attached.receive(), Ended):
                show(shown)
    code = shown.exit_code or 0
    return code if code >= 0 else 128 - code


def show(shown: object) -> None:
    """Write output as it is; a whole screen comes first, and again if we fell far behind."""
    if isinstance(shown, Drawn):
        shown = shown.vt
    if isinstance(shown, bytes):
        sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: watch_a_command.py NAME COMMAND...")
    try:
        sys.exit(trio.run(watch, sys.argv[1], sys.argv[2:]))
    except LoopsyError as error:
        sys.exit(str(error))
