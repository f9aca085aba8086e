"""Restarts the daemon in the middle of a conversation, and nobody notices.

    python examples/survive_a_restart.py

Programs live in a process of their own, and a script's sessions find them again.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import trio

from loopsy_core import LoopsyError, open_client

COUNT = 'i=0; while read line; do i=$((i + 1)); echo "line $i: $line"; done'


async def converse() -> None:
    """Say something before, during and after a restart, and see it arrive once and in order."""
    async with open_client() as here, here.start_session(["sh", "-c", COUNT]) as session:
        await session.send_line("before")
        await session.expect_exact("line 1: before")
        async with trio.open_nursery() as nursery:
            restart = [sys.executable, "-m", "loopsy_cli", "restart"]
            nursery.start_soon(partial(trio.run_process, restart, stdout=subprocess.DEVNULL))
            for number in range(20):
                await session.send_line(f"during {number}")
                await trio.sleep(0.1)
        await session.send_line("after")
        await session.expect_exact("line 22: after")
        print(await session.history(lines=3))


if __name__ == "__main__":
    try:
        trio.run(converse)
    except LoopsyError as error:
        sys.exit(str(error))
