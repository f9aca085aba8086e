"""A build farm: one machine hands out commands, any number of others run them.

    LOOPSY_HOME=~/.loopsy/fleet/fleet-2 python examples/build_farm.py work fleet-1
    LOOPSY_HOME=~/.loopsy/fleet/fleet-3 python examples/build_farm.py work fleet-1
    LOOPSY_HOME=~/.loopsy/fleet/fleet-1 python examples/build_farm.py build "make a" "make b"

Each command is run once, by whichever worker is free; one whose worker dies or is cut off is
given to another. The exit code is 1 when one of them has failed for good.
"""

from __future__ import annotations

import sys

import trio

from loopsy_core import LoopsyError, open_client
from loopsy_core.errors import Conflict

KIND = "build"
LEASE = 10.0
"""Seconds after which a worker that is not heard of has lost its task."""


async def build(commands: list[str]) -> int:
    """Hand `commands` out, and show how each has ended."""
    async with open_client() as here:
        tasks = [await here.tasks.add(command, kind=KIND) for command in commands]
        failed = 0
        for task in tasks:
            ended = await here.tasks.wait(task.id)
            how = (ended.result if ended.state == "done" else ended.error) or ended.state
            failed += ended.state != "done"
            sys.stdout.write(f"{ended.body}: {how.strip()} ({ended.worker})\n")
    return 1 if failed else 0


async def work(machine: str) -> None:
    """Run what `machine` hands out, on this machine, for ever."""
    async with open_client() as here:
        queue = here.peer(machine).tasks
        while True:
            try:
                async with queue.claim(KIND, lease=LEASE) as task:
                    if task is None:
                        continue
                    done = await here.run(["sh", "-c", task.task.body])
                    if done.exit_code == 0:
                        await task.finish(done.stdout.decode(errors="replace"))
                    else:
                        await task.fail(f"exit code {done.exit_code}", again=False)
            except Conflict as error:
                sys.stderr.write(f"{error}\n")  # too late: somebody else does it


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["work", machine]:
                trio.run(work, machine)
            case ["build", *commands] if commands:
                sys.exit(trio.run(build, commands))
            case _:
                sys.exit("usage: build_farm.py work MACHINE | build COMMAND...")
    except LoopsyError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
