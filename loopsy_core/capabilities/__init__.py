"""What a node does for others: run jobs, move files, share context, messages and tasks."""

from __future__ import annotations

from .context import Context, open_context
from .context_table import CONTEXT_TABLE
from .files import Files
from .jobs import Jobs, open_jobs
from .message_table import MESSAGE_TABLES
from .messages import Messages
from .task_table import TASK_TABLE
from .tasks import Tasks

__all__ = [
    "SHARED_TABLES",
    "Context",
    "Files",
    "Jobs",
    "Messages",
    "Tasks",
    "open_context",
    "open_jobs",
]

SHARED_TABLES = (CONTEXT_TABLE, MESSAGE_TABLES, TASK_TABLE)
"""The tables of what machines and agents share."""
