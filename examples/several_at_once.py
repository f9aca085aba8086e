"""Runs several commands at once, each in a session of its own; the first that fails ends them all.

python examples/several_at_once.py 'make lint' 'make test' 'make docs'
"""

from __future__ import annotations

import shlex
import sys

import trio

from loopsy_core import LoopsyError, open_client
from loopsy_core.client import Client


class Failed(Exception):
    """A command has failed; the message says which, and what it showed last."""


async def run(here: Client, command: str) -> None:
    """Run `command` to its end; raises `Failed` unless that is a good one."""
    async with here.start_session(shlex.split(command)) as session:
        code = await session.wait_ended()
        if code != 0:
            raise Failed(f"{command}: exit code {code}\n{await session.history(lines=10)}")
    print(f"{command}: done")


async def run_all(commands: list[str]) -> None:
    """Run all `commands` at once; what still runs when one fails is ended with it."""
    async with open_client() as here, trio.open_nursery() as nursery:
        for command in commands:
            nursery.start_soon(run, here, command)


if __name__ == "__main__":
    try:
        trio.run(run_all, sys.argv[1:])
    except* (Failed, LoopsyError) as failures:
        sys.exit("\n".join(str(failure) for failure in failures.exceptions))
