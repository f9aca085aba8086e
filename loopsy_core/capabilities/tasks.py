"""Tasks: a queue of work on this node, from which any number of workers take, each task once."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from loopsy_core.kit import Bell, contained
from loopsy_core.wire import Claimed, Task, TaskList

from . import task_table as table
from .due import keep_due

if TYPE_CHECKING:
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
    from .entries import Entries

__all__ = ["Tasks"]

PAGE: Final = 100
PAGE_BYTES: Final = 524_288
"""A page has to fit one message."""
SHOWN: Final = 2000
"""Characters of each text of a task in a list."""

_log = logging.getLogger("loopsy.tasks")


class Tasks:
    """The queue of one node, kept in its context."""

    def __init__(self, context: Context) -> None:
        """Keep tasks in `context`."""
        self._context = context
        # By id: the attempt that holds a task, and when that ends, on the clock that nobody sets.
        self._leases: dict[str, tuple[int, float]] = {}
        self._leased = Bell()
        self._pending = Bell()

    async def begin(self) -> None:
        """Begin to watch over the tasks that were claimed before this node started."""
        for lease in await self._context.read(table.leases):
            self._hold(lease.task_id, lease.attempt, lease.seconds)

    async def add(self, request: AddTask, by: str, owner: str = "") -> Task:
        """Put a task into the queue; on disk when this returns.

        Raises `Full` when there is no room; it takes that of the contact `owner`, if it is one.
        """
        return await self._transact(partial(table.add, request=request, by=by, owner=owner))

    async def claim(self, request: ClaimTask, by: str) -> Claimed:
        """Give a task to whoever asks, waiting for one as long as they wish.

        Cancelled, nobody has it.
        """
        worker = f"{by}: {request.worker}" if request.worker else by
        work = partial(table.claim, kind=request.kind, worker=worker, lease=request.lease)
        deadline = trio.current_time() + request.wait
        while True:
            added = self._pending.listen()
            # All who wait look at the same time, and share one transaction for it.
            task = await self._context.transact(work, self._note)
            if task is not None:
                await self._keep_unless_left(task)
                return Claimed(task)
            with trio.move_on_at(deadline) as patience:
                await added.wait()
            if patience.cancelled_caught:
                return Claimed(None)

    async def _keep_unless_left(self, task: Task) -> None:
        """Give a task back if whoever claimed it has left in the meantime."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            # Where even that fails, it goes back when its time is over.
            with trio.CancelScope(shield=True), contained(_log, f"giving {task.id} back"):
                await self._transact(partial(table.unclaim, task_id=task.id, attempt=task.attempts))
            raise

    async def extend(self, request: ExtendTask) -> Task:
        """Let a worker have its task for longer; raises `Conflict` when it is not its any more."""
        return await self._transact(
            partial(
                table.extend,
                task_id=request.id,
                attempt=request.attempt,
                lease=request.lease,
                progress=request.progress,
            )
        )

    async def finish(self, request: FinishTask) -> Task:
        """Note that a task is done; raises `Conflict` as `extend` does."""
        return await self._transact(
            partial(
                table.finish, task_id=request.id, attempt=request.attempt, result=request.result
            )
        )

    async def fail(self, request: FailTask) -> Task:
        """Note that an attempt has failed; raises `Conflict` as `extend` does."""
        return await self._transact(
            partial(
                table.fail,
                task_id=request.id,
                attempt=request.attempt,
                error=request.error,
                again=request.again,
            )
        )

    async def cancel(self, request: CancelTask) -> Task:
        """Take a task back; raises `Conflict` when it is over."""
        return await self._transact(partial(table.cancel, task_id=request.id))

    async def list(self, request: ListTasks) -> TaskList:
        """Return a page of tasks, their texts cut to what a page holds."""
        work = partial(
            table.listed,
            state=request.state,
            after=request.after,
            most=PAGE,
            most_bytes=PAGE_BYTES,
            longest=SHOWN,
        )
        return TaskList(*await self._context.read(work))

    async def keep_returned(self) -> NoReturn:
        """Give back, for ever, the tasks of workers that are not heard of any more."""
        await keep_due(self.return_overdue, self._leased, _log, "giving tasks back")

    async def return_overdue(self) -> float | None:
        """Give back what is overdue; return the seconds until there is more."""
        now = trio.current_time()
        overdue = [(each, held[0]) for each, held in self._leases.items() if held[1] <= now]
        for task_id, attempt in overdue:
            work = partial(table.return_overdue, task_id=task_id, attempt=attempt)
            if await self._context.transact(work, self._note) is None:
                self._let_go(task_id, attempt)  # somebody has deleted it, say
        return min((held[1] - now for held in self._leases.values()), default=None)

    async def _transact(self, work: Callable[[Entries], Task]) -> Task:
        return await self._context.transact(work, self._note)

    def _note(self, task: Task | None) -> None:
        """Note what a task has become; called in the order in which that happened."""
        if task is None:
            return
        if task.state == "running" and task.lease_until is not None:
            self._hold(task.id, task.attempts, task.lease_until - task.updated_at)
        else:
            self._leases.pop(task.id, None)
        if task.state == "pending":
            self._pending.ring()

    def _hold(self, task_id: str, attempt: int, seconds: float) -> None:
        self._leases[task_id] = attempt, trio.current_time() + seconds
        self._leased.ring()

    def _let_go(self, task_id: str, attempt: int) -> None:
        if self._leases.get(task_id, (0, 0.0))[0] == attempt:
            del self._leases[task_id]
