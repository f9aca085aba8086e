"""Gives an agent a task, and lets it do what is on the list; anything else is for its user.

    python examples/supervise_an_agent.py claude 'Make the tests pass'

The agent's session is kept: what it asks beyond the list waits there for whoever opens it, in
`loopsy attach agent` or on a phone.
"""

from __future__ import annotations

import re
import sys

import trio
from pexpect import EOF

from loopsy_core import LoopsyError, open_client

ALLOWED = re.compile(r"(pytest|ruff|git (diff|status|log))\b")
ASKS = r"Do you want to run `([^`]+)`\?"
DONE = r"Task done[^\r\n]*"


async def supervise(kind: str, task: str) -> str:
    """Start an agent of this kind on `task`; return how it went, in a sentence."""
    async with (
        open_client() as here,
        here.start_session([task], kind=kind, name="agent", keep=True) as agent,
    ):
        while True:
            found = await agent.expect([ASKS, DONE, EOF], timeout=3600)
            if found == 1:
                return str(agent.after)
            if found == 2:
                return f"It has left, with exit code {await agent.wait_ended()}."
            assert isinstance(agent.match, re.Match)
            command = agent.match[1]
            if not ALLOWED.match(command):
                return f"It waits for your word: may it run {command}?"
            print(f"allowed: {command}")
            await agent.send_line("y")


if __name__ == "__main__":
    try:
        print(trio.run(supervise, sys.argv[1], sys.argv[2]))
    except LoopsyError as error:
        sys.exit(str(error))
