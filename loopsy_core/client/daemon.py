"""Starting a node in the background and seeing that it is ready."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import LoopsyError, error_from_code

if TYPE_CHECKING:
    from loopsy_core.home import Home

__all__ = ["start_daemon"]

READY: Final = b"ready\n"
STARTING: Final = 20.0
"""Seconds that a node may take to become ready."""
MAX_REASON: Final = 4096


async def start_daemon(home: Home) -> int:
    """Start the node of `home` as a process of its own and return its pid once it answers.

    The home must exist. Raises `Busy` when a node runs there already, and whatever else kept
    the node from starting, in its own words.
    """
    home.check()
    home.create()
    with home.node_log.open("ab") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "loopsy_core.node", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(STARTING):
        while b"\n" not in said and len(said) < MAX_REASON:
            data = await process.stdout.receive_some(MAX_REASON)
            if not data:
                break
            said += data
    if said == READY:
        return process.pid
    code, colon, reason = said.decode("utf-8", "replace").strip().partition(": ")
    if colon:
        raise error_from_code(code, reason)
    raise LoopsyError(f"the node did not become ready; {home.node_log} says why")
