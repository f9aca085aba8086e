"""The first words between a node and a session host, either of which may be the older one.

A host outlives its node, and so the node's upgrades. It goes on serving what it knows; a node
knows from these words what that is, and does not ask for more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loopsy_core import __version__
from loopsy_core.errors import BadRequest, Misconfigured
from loopsy_core.wire import (
    AttachSession,
    EndSession,
    HostHello,
    HostInfo,
    ListSessions,
    RemoveSession,
    RenameSession,
    ResizeSession,
    ShowHistory,
    ShowScreen,
    StartSession,
    StopNode,
    WatchSessions,
)

if TYPE_CHECKING:
    from loopsy_core.links import Conversation

__all__ = ["check_protocol", "greet", "host_info", "not_known"]

KNOWN: Final = (
    HostHello.op,
    ListSessions.op,
    WatchSessions.op,
    StartSession.op,
    AttachSession.op,
    ShowScreen.op,
    ShowHistory.op,
    ResizeSession.op,
    RenameSession.op,
    EndSession.op,
    RemoveSession.op,
    StopNode.op,
)
"""What a host of this version can be asked."""


def host_info(sessions: int) -> HostInfo:
    """Return what this process, as a host in which so many sessions run, says of itself."""
    return HostInfo(HostHello.protocol, __version__, os.getpid(), sessions, _memory(), list(KNOWN))


async def greet(conversation: Conversation) -> HostInfo:
    """Ask a host what it is.

    One that is too old to know the question is asked what runs there instead.
    """
    try:
        return await conversation.ask(HostHello())
    except BadRequest:
        sessions = (await conversation.ask(ListSessions())).sessions
        return HostInfo(1, "", None, sum(each.alive for each in sessions), None, [])


def check_protocol(host: HostInfo) -> None:
    """Raise `Misconfigured` for a host that we could not make sense of."""
    if host.protocol > HostHello.protocol:
        raise Misconfigured(
            f"the sessions of this home are held by Loopsy {host.version} (process {host.pid}),"
            f" which is newer than this daemon ({__version__}) and cannot be spoken with;"
            " they live on: start the daemon with that version, or a newer one"
        )


def not_known(version: str, op: str) -> BadRequest:
    """Return what to say when a host of `version` is asked for something that it does not know."""
    which = f"version {version}" if version else "of an older version"
    return BadRequest(
        f"the session host that runs here is {which} and does not know {op!r};"
        " `loopsy stop --sessions` ends it and all its sessions, and the next one is new"
    )


def _memory() -> int | None:
    """Return the bytes of memory that this process takes, where the system tells (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
