"""What frontends and scripts use to talk to a node."""

from __future__ import annotations

from loopsy_core.links import Call

from .attached import Attached, Drawn, Shown
from .client import Client, open_client, open_client_over, open_host_client
from .context import ContextChange, ContextEntry, SharedContext
from .daemon import start_daemon
from .files import Pulling, Sending
from .jobs import Completed, Output, RunningJob
from .messages import Inbox, Mailbox
from .moving import Moved, Moving, Progress, keep_moving
from .output import BEGINNING, SessionOutput
from .session import RemoteSession
from .tasks import TaskQueue, Work
from .unread import OutputLost
from .viewing import Viewing

__all__ = [
    "BEGINNING",
    "Attached",
    "Call",
    "Client",
    "Completed",
    "ContextChange",
    "ContextEntry",
    "Drawn",
    "Inbox",
    "Mailbox",
    "Moved",
    "Moving",
    "Output",
    "OutputLost",
    "Progress",
    "Pulling",
    "RemoteSession",
    "RunningJob",
    "Sending",
    "SessionOutput",
    "SharedContext",
    "Shown",
    "TaskQueue",
    "Viewing",
    "Work",
    "keep_moving",
    "open_client",
    "open_client_over",
    "open_host_client",
    "start_daemon",
]
