"""Asks a Python that runs on a terminal one thing after the other, and keeps it for the next time.

    python examples/use_a_repl.py 'x = 6' 'x * 7'
    python examples/use_a_repl.py 'x + 1'

The second run still knows `x`: the session lives on until `loopsy kill repl`.
"""

from __future__ import annotations

import sys

import trio

from loopsy_core import LoopsyError, open_client
from loopsy_core.client import Client, RemoteSession

PROMPT = ">>> "
PLAIN = {"TERM": "dumb", "PYTHON_BASIC_REPL": "1"}  # nothing coloured, nothing drawn twice


async def ask(repl: RemoteSession, line: str) -> str:
    """Type `line` and return what is said to it."""
    await repl.send_line(line)
    await repl.expect_exact(f"{line}\r\n")  # the echo
    await repl.expect_exact(PROMPT)
    return str(repl.before).strip()


async def start_if_need_be(here: Client) -> None:
    """See to it that there is a session `repl` that stands at its prompt."""
    if any(each.name == "repl" and each.alive for each in await here.sessions()):
        return
    python = [sys.executable, "-q"]
    async with here.start_session(python, name="repl", env=PLAIN, keep=True) as repl:
        await repl.expect_exact(PROMPT)


async def converse(lines: list[str]) -> None:
    """Ask each of `lines` and show the answers."""
    async with open_client() as here:
        await start_if_need_be(here)
        async with here.session("repl") as repl:
            for line in lines:
                print(PROMPT + line)
                if answer := await ask(repl, line):
                    print(answer)


if __name__ == "__main__":
    try:
        trio.run(converse, sys.argv[1:])
    except LoopsyError as error:
        sys.exit(str(error))
