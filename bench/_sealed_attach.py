"""`loopsy attach` as a phone would have it: the same display and keys, sealed through the relay.

Run as a program, with the phone as JSON on the command line, and the session's id.
"""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_cli import following
from loopsy_cli.tty import open_terminal
from loopsy_core.home import Home
from tests.machine import Phone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.client import Client

MODULE: Final = "bench._sealed_attach"


async def main(phone: Phone, wanted: str) -> None:
    """Show a session until the terminal is gone."""

    @asynccontextmanager
    async def connect(_home: Home) -> AsyncGenerator[Client]:
        async with phone.connected() as client:
            yield client

    following.open_client = connect  # type: ignore[assignment] # instead of the node's socket
    async with phone.connected() as client:
        [session] = [each for each in await client.sessions() if each.id == wanted]
    with open_terminal("attach") as terminal, terminal.raw():
        await following.follow(Home.find(), session, terminal, view_only=False)


if __name__ == "__main__":
    relay, bearer, private, node = json.loads(sys.argv[1])
    trio.run(main, Phone(relay, bearer, bytes.fromhex(private), bytes.fromhex(node)), sys.argv[2])
