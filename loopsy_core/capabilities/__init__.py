"""What a node does for others: keep context."""

from __future__ import annotations

from .context import Context, open_context
from .context_table import CONTEXT_TABLE

__all__ = ["CONTEXT_TABLE", "Context", "open_context"]
