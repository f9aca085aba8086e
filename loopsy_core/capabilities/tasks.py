"""Tasks: a queue of work on this node, from which any number of workers take, each task once."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
import trio

from loopsy_core.kit import Watched, contained
from loopsy_core.wire import Claimed, Task, TaskList

from . import task_table as table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from loopsy_core.wire import (
        AddTask,
        CancelTask,
        ClaimTask,
        ExtendTask,
        FailTask,
        FinishTask,
        ListTasks,
    )

    from .context import Context
    from .task_table import Change

__all__ = ["Tasks"]

RETURNED: Final = 100
"""Tasks that are given back in one transaction."""
PAGE: Final = 100
SHOWN: Final = 2000
"""Characters of each text of a task in a list."""
LONGEST_SLEEP: Final = 60.0
"""Seconds between two looks for workers that are not heard of, for the clock may be set."""
SHORTEST_SLEEP: Final = 0.05

_log = logging.getLogger("loopsy.tasks")


class Tasks:
    """The queue of one node, kept in its context."""

    def __init__(self, context: Context, clock: Callable[[], float] = time.time) -> None:
        """Keep tasks in `context`; `clock` is in seconds since 1970."""
        self._context = context
        self._clock = clock
        self._changed = Watched(0)
        # Those who wait for a task ask one after the other: one task wakes no herd.
        self._claiming = trio.Lock()

    async def add(self, request: AddTask, by: str) -> Task:
        """Put a task into the queue."""
        return await self._transact(partial(table.add, request=request, by=by, now=self._clock()))

    async def claim(self, request: ClaimTask, by: str) -> Claimed:
        """Give a task to whoever asks, waiting for one as long as they wish."""
        worker = f"{by}: {request.worker}" if request.worker else by
        deadline = trio.current_time() + request.wait
        while True:
            seen = self._changed.value
            # Nothing may come between a claim and its answer, or nobody would have the task.
            with trio.CancelScope(shield=True):
                task = await self._claim(request, worker)
            if task is not None:
                return Claimed(await self._unless_left(task))
            with trio.move_on_at(deadline) as patience:
                await self._changed.wait(lambda value, seen=seen: value != seen)  # type: ignore[misc]
            if patience.cancelled_caught:
                return Claimed(None)

    async def _unless_left(self, task: Task) -> Task:
        """Return the task; but give it back first if the worker has left in the meantime."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                now = self._clock()
                await self._transact(
                    partial(table.unclaim, task_id=task.id, attempt=task.attempts, now=now)
                )
            raise
        return task

    async def _claim(self, request: ClaimTask, worker: str) -> Task | None:
        async with self._claiming:
            now = self._clock()
            change = await self._context.transact(
                lambda connection: table.claim(
                    connection, request.kind, worker=worker, lease=request.lease, now=now
                )
            )
        if change is None:
            return None
        self._context.was_set(change.info)
        self._changed.set(self._changed.value + 1)
        return change.task

    async def extend(self, request: ExtendTask) -> Task:
        """Let a worker have its task for longer; raises `Conflict` when it is not its any more."""
        return await self._transact(
            partial(
                table.extend,
                task_id=request.id,
                attempt=request.attempt,
                lease=request.lease,
                progress=request.progress,
                now=self._clock(),
            )
        )

    async def finish(self, request: FinishTask) -> Task:
        """Note that a task is done."""
        return await self._transact(
            partial(
                table.finish,
                task_id=request.id,
                attempt=request.attempt,
                result=request.result,
                now=self._clock(),
            )
        )

    async def fail(self, request: FailTask) -> Task:
        """Note that an attempt has failed."""
        return await self._transact(
            partial(
                table.fail,
                task_id=request.id,
                attempt=request.attempt,
                error=request.error,
                again=request.again,
                now=self._clock(),
            )
        )

    async def cancel(self, request: CancelTask) -> Task:
        """Take a task back."""
        return await self._transact(partial(table.cancel, task_id=request.id, now=self._clock()))

    async def list(self, request: ListTasks) -> TaskList:
        """Return a page of tasks, their texts cut to what a page holds."""
        found = await self._context.read(
            partial(
                table.listed,
                state=request.state,
                after=request.after,
                limit=PAGE + 1,
                now=self._clock(),
            )
        )
        page = found[:PAGE]
        return TaskList([_cut(task) for task in page], page[-1].id if found[PAGE:] else None)

    async def keep_returned(self) -> NoReturn:
        """Give back, for ever, the tasks of workers that are not heard of any more."""
        while True:
            seen = self._changed.value
            pause = LONGEST_SLEEP
            with contained(_log, "giving tasks back"):
                pause = await self._give_back()
            with trio.move_on_after(max(SHORTEST_SLEEP, min(pause, LONGEST_SLEEP))):
                await self._changed.wait(lambda value, seen=seen: value != seen)  # type: ignore[misc]

    async def _give_back(self) -> float:
        """Give back what is overdue; return the seconds until there is more."""
        while True:
            now = self._clock()
            due = await self._context.read(table.next_lease)
            if due is None:
                return LONGEST_SLEEP
            if due > now:
                return due - now
            changes = await self._context.transact(
                partial(table.return_overdue, now=now, limit=RETURNED)
            )
            for change in changes:
                self._context.was_set(change.info)
            self._changed.set(self._changed.value + 1)

    async def _transact(self, work: Callable[[sqlite3.Connection], Change]) -> Task:
        change = await self._context.transact(work)
        self._context.was_set(change.info)
        self._changed.set(self._changed.value + 1)
        return change.task


def _cut(task: Task) -> Task:
    texts = {
        name: text[: SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"
        for name in ("body", "progress", "result", "error")
        if len(text := getattr(task, name) or "") > SHOWN
    }
    return msgspec.structs.replace(task, **texts) if texts else task
