"""A roll call: asks every paired machine how it is, all at once, and shows who answers.

    loopsy fleet start --count 3
    LOOPSY_HOME=~/.loopsy/fleet/fleet-1 python examples/roll_call.py

What is answered is kept in the context here, under `roll:<machine>` for an hour, where
`loopsy context list --prefix roll:` and `loopsy context watch --prefix roll:` show it to everybody.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import trio

from loopsy_core import LoopsyError, open_client
from loopsy_core.wire import ListPeers

if TYPE_CHECKING:
    from loopsy_core.client import Client

PATIENCE = 5.0
"""Seconds for each machine."""


async def call() -> int:
    """Ask all machines; return 1 if one does not answer."""
    async with open_client() as here, trio.open_nursery() as nursery:
        peers = (await here.ask(ListPeers())).peers
        for peer in peers:
            nursery.start_soon(ask, here, peer.id, peer.name)
    async with open_client() as here:
        answers = [await here.context.get(f"roll:{peer.name}") for peer in peers]
    for peer, answer in zip(peers, answers, strict=True):
        sys.stdout.write(f"{peer.name}: {answer.value if answer else 'nothing was kept'}\n")
    return 0 if all(answer and "problem" not in answer.value for answer in answers) else 1


async def ask(here: Client, peer: str, name: str) -> None:
    """Ask one machine, and keep its answer, or why there is none."""
    answer: dict[str, object]
    try:
        with trio.fail_after(PATIENCE):
            status = await here.peer(peer).status()
    except LoopsyError as error:
        answer = {"problem": str(error)}
    except trio.TooSlowError:
        answer = {"problem": f"no answer in {PATIENCE:.0f} s"}
    else:
        answer = {"version": status.version, "sessions": status.sessions}
    await here.context.set(f"roll:{name}", json.dumps(answer), ttl=3600)


if __name__ == "__main__":
    try:
        sys.exit(trio.run(call))
    except LoopsyError as error:
        sys.exit(str(error))
