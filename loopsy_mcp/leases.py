"""Tasks that an agent has taken: they stay its own between its calls, for as long as it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from loopsy_core.errors import LoopsyError, NotFound

if TYPE_CHECKING:
    from loopsy_core.client import Work
    from loopsy_core.wire import Task

    from .desk import Place

__all__ = ["Leases"]


class Lease:
    """One task that was taken."""

    def __init__(self) -> None:
        """Begin without one."""
        self.work: Work | None = None
        self.error: LoopsyError | None = None
        """Why it is not ours any more."""
        self.settled = trio.Event()

    async def hold(
        self,
        place: Place,
        kind: str | None,
        worker: str,
        seconds: float,
        wait: float,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Take a task, and keep it until it is settled; started once there is one, or none."""
        claiming = place.client.tasks.claim(kind, worker=worker, lease=seconds, wait=wait)
        started = False
        try:
            async with claiming as self.work:
                started = True
                task_status.started()
                if self.work is not None:
                    await self.settled.wait()
        except LoopsyError as error:
            if not started:
                raise
            self.error = error


class Leases:
    """The tasks that one server holds; they go back to their queues when it ends."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """Keep them in `nursery`."""
        self._nursery = nursery
        self._held: dict[str, Lease] = {}

    async def take(
        self, place: Place, kind: str | None, worker: str, seconds: float, wait: float
    ) -> Task | None:
        """Take the oldest task there, waiting up to `wait` seconds for one."""
        lease = Lease()
        await self._nursery.start(lease.hold, place, kind, worker, seconds, wait)
        if lease.work is None:
            return None
        self._held[lease.work.task.id] = lease
        return lease.work.task

    def find(self, task_id: str) -> Work:
        """Return the work on a task; raises `NotFound` or why it is not ours any more."""
        lease = self._held.get(task_id)
        if lease is None or lease.work is None:
            there = ", ".join(self._held) or "none"
            raise NotFound(
                f"this conversation has not taken a task {task_id!r}; it has: {there}."
                " loopsy_task_claim takes one"
            )
        if lease.error is not None:
            del self._held[task_id]
            raise lease.error
        return lease.work

    def let_go(self, task_id: str) -> None:
        """Stop keeping a task of which it was said how it ended."""
        self._held.pop(task_id, Lease()).settled.set()
