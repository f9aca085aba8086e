"""What a node does for others: keep context, deliver messages, hand out tasks."""

from __future__ import annotations

from .context import Context, open_context
from .context_table import CONTEXT_TABLE
from .message_table import MESSAGE_TABLES
from .messages import Messages
from .task_table import TASK_TABLE
from .tasks import Tasks

__all__ = ["SHARED_TABLES", "Context", "Messages", "Tasks", "open_context"]

SHARED_TABLES = (CONTEXT_TABLE, MESSAGE_TABLES, TASK_TABLE)
"""The tables of what machines and agents share."""
