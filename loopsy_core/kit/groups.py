"""Process groups: signalling all that is in one, and seeing when nobody is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import trio

__all__ = ["signal_group", "wait_group_empty"]

GLANCE: Final = 0.01
"""Seconds before the second look at a group; the kernel tells nobody when one is empty."""
LONGEST_GLANCE: Final = 0.16


def signal_group(group: int, number: int) -> bool:
    """Send a signal to all in a process group; False when there is nobody that it can reach.

    With number 0 it only looks. While anybody is in a group its number is given to nobody else,
    also when its leader is gone.
    """
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # Not permitted: what macOS says of zombies, or all of them run as another user.
        return False
    return True


async def wait_group_empty(group: int) -> None:
    """Wait until all in a process group have ended, whether somebody reaps them or not."""
    pause = GLANCE
    while signal_group(group, 0) and not _only_zombies(group):
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_GLANCE)


def _only_zombies(group: int) -> bool:
    """Whether nothing in a group can run any more; False where the system does not tell.

    In containers without an init nobody reaps what our children leave behind.
    """
    looked = False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc(5): "pid (name) state parent group ..."; the name may hold anything.
            state, _, of = stat.read_bytes().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it has ended just now
        looked = True
        if int(of) == group and state not in (b"Z", b"X"):
            return False
    return looked
