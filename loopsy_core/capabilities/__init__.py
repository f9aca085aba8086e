"""What a node does for others: run jobs, move files, share context, messages and tasks."""

from __future__ import annotations

from .context import Context
from .files import Files
from .jobs import Jobs, open_jobs
from .messages import Messages
from .shared import SHARED_TABLES, Shared, open_shared, share
from .tasks import Tasks

__all__ = [
    "SHARED_TABLES",
    "Context",
    "Files",
    "Jobs",
    "Messages",
    "Shared",
    "Tasks",
    "open_jobs",
    "open_shared",
    "share",
]
