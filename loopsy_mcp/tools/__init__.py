"""All tools, in the order in which models see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .context import BroadcastContext, ContextDelete, ContextGet, ContextList, ContextSet
from .execute import Execute
from .files import ListRemoteFiles, TransferFile
from .messages import AckMessage, CheckAck, CheckInbox, SendMessage
from .peers import ListPeers, PeerStatus
from .screens import SessionRead, SessionWait, SessionWrite
from .sessions import SessionList, SessionRemove, SessionStart, SessionStop
from .tasks import TaskAdd, TaskClaim, TaskComplete, TaskList

if TYPE_CHECKING:
    from loopsy_mcp.tool import Tool

__all__ = ["TOOLS"]

TOOLS: Final[dict[str, type[Tool]]] = {
    kind.tool: kind
    for kind in (
        *(ListPeers, PeerStatus, Execute),
        *(SessionStart, SessionList, SessionRead, SessionWrite, SessionWait),
        *(SessionStop, SessionRemove),
        *(TransferFile, ListRemoteFiles),
        *(ContextSet, ContextGet, ContextList, ContextDelete, BroadcastContext),
        *(SendMessage, CheckInbox, CheckAck, AckMessage),
        *(TaskAdd, TaskClaim, TaskComplete, TaskList),
    )
}
