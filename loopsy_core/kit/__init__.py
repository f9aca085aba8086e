"""Tools on trio that know nothing of Loopsy."""

from __future__ import annotations

from .bell import Bell
from .broadcast import Broadcast, Missed, Subscription
from .byte_log import ByteLog, Lagged
from .database import Database, open_database
from .descriptors import inheritable, limit_as_at_first, raise_limit
from .detached import Detached, open_detached
from .group_commit import GroupCommit
from .groups import signal_group, wait_group_empty
from .keep import Backoff, contained, keep_running, one_error
from .pace import Buckets, TokenBucket, Window, WindowSize
from .programs import (
    brief,
    cannot_start,
    check_words,
    clip,
    find_directory,
    find_executable,
    in_words,
)
from .streams import receive_into, receive_ready
from .watched import Changes, Watched

__all__ = [
    "Backoff",
    "Bell",
    "Broadcast",
    "Buckets",
    "ByteLog",
    "Changes",
    "Database",
    "Detached",
    "GroupCommit",
    "Lagged",
    "Missed",
    "Subscription",
    "TokenBucket",
    "Watched",
    "Window",
    "WindowSize",
    "brief",
    "cannot_start",
    "check_words",
    "clip",
    "contained",
    "find_directory",
    "find_executable",
    "in_words",
    "inheritable",
    "keep_running",
    "limit_as_at_first",
    "one_error",
    "open_database",
    "open_detached",
    "raise_limit",
    "receive_into",
    "receive_ready",
    "signal_group",
    "wait_group_empty",
]
