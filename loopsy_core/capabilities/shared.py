"""What machines and agents share: context, and the messages and tasks that lie in it."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.kit import open_database

from .context import Context
from .entries import CONTEXT_SIZES, CONTEXT_TABLE
from .inbox import INBOX_TABLES
from .mail_counts import MAIL_COUNTS
from .messages import Messages
from .outbox import OUTBOX_TABLE
from .task_table import TASK_TABLE
from .tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Container
    from pathlib import Path

    from loopsy_core.home import ContextConfig
    from loopsy_core.kit import Database

__all__ = ["SHARED_TABLES", "Shared", "open_shared", "share"]

SHARED_TABLES: Final = (
    CONTEXT_TABLE,
    OUTBOX_TABLE,
    INBOX_TABLES,
    TASK_TABLE,
    CONTEXT_SIZES,
    MAIL_COUNTS,
)


@attrs.frozen
class Shared:
    """The three of them, in one database."""

    context: Context
    messages: Messages
    tasks: Tasks


@asynccontextmanager
async def open_shared(
    path: Path, name: str, known: Container[str], limits: ContextConfig
) -> AsyncGenerator[Shared]:
    """Open what the machine `name` shares, kept in the database at `path` within `limits`.

    `known` are the machines that are paired with it. Raises `Misconfigured` when the file is
    damaged, and leaves it as it is.
    """
    async with (
        open_database(path, SHARED_TABLES) as database,
        share(database, name, known, limits=limits) as shared,
    ):
        yield shared


@asynccontextmanager
async def share(
    database: Database,
    name: str,
    known: Container[str] = (),
    clock: Callable[[], float] = time.time,
    limits: ContextConfig | None = None,
) -> AsyncGenerator[Shared]:
    """Share what lies in `database`, within `limits`; `clock` is in seconds since 1970."""
    context = Context(database, clock, limits)
    messages = Messages(context, name, clock)
    tasks = Tasks(context)
    await messages.begin(known)
    await tasks.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.keep_swept)
        nursery.start_soon(messages.keep_expired)
        nursery.start_soon(tasks.keep_returned)
        yield Shared(context, messages, tasks)
        context.close()
        nursery.cancel_scope.cancel()
