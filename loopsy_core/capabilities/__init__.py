"""What a node does for others: keep context, deliver messages."""

from __future__ import annotations

from .context import Context, open_context
from .context_table import CONTEXT_TABLE
from .message_table import MESSAGE_TABLES
from .messages import Messages

__all__ = ["CONTEXT_TABLE", "MESSAGE_TABLES", "Context", "Messages", "open_context"]
