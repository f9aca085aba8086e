"""What a node does for others: keep context, and run jobs."""

from __future__ import annotations

from .context import Context, open_context
from .context_table import CONTEXT_TABLE
from .jobs import Jobs, open_jobs

__all__ = ["CONTEXT_TABLE", "Context", "Jobs", "open_context", "open_jobs"]
