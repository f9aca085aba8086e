"""Starting a node in the background and seeing that it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import LoopsyError, error_from_code
from loopsy_core.kit import open_detached

if TYPE_CHECKING:
    from loopsy_core.home import Home

__all__ = ["start_daemon"]

READY: Final = b"ready\n"
STARTING: Final = 20.0
"""Seconds that a node may take to become ready."""


async def start_daemon(home: Home, *, lan: bool = False, loopback: bool = False) -> int:
    """Start the node of `home` as a process of its own and return its pid once it answers.

    With `lan` it listens for other machines, with `loopback` for other nodes on this one. The home
    must exist. Raises `Busy` when a node runs there already, and whatever else kept the node from
    starting, in its own words.
    """
    home.check()
    home.create()
    said = b""
    # -P: whatever lies in the folder in which somebody starts a node is not to be imported.
    flags = ["--lan"] * lan + ["--loopback"] * loopback
    arguments = ["-P", "-m", "loopsy_core.node", str(home.root), *flags]
    async with open_detached(arguments, home.node_log) as node:
        with trio.move_on_after(STARTING):
            said = await node.first_line()
    if said == READY:
        return node.pid
    code, colon, reason = said.decode("utf-8", "replace").strip().partition(": ")
    if colon:
        raise error_from_code(code, reason)
    raise LoopsyError(f"the node did not become ready; {home.node_log} says why")
