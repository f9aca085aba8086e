"""Tasks seen from a program: handing work out, and taking it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Conflict, LoopsyError, NotFound
from loopsy_core.kit import one_error
from loopsy_core.wire import (
    AddTask,
    CancelTask,
    ClaimTask,
    ContextDeleted,
    ExtendTask,
    FailTask,
    FinishTask,
    ListTasks,
    Task,
    TaskState,
    decode_task,
)

from .context import ContextEntry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from .client import Client
    from .context import ContextChange

__all__ = ["TaskQueue", "Work"]

GOODBYE: Final = 5.0
"""Seconds for saying that an attempt has failed; without that word the task goes back later."""


class TaskQueue:
    """The tasks of one node; `client.tasks` is it."""

    def __init__(self, client: Client) -> None:
        """Ask by `client`."""
        self._client = client

    async def add(self, body: str, *, kind: str = "", max_attempts: int = 3) -> Task:
        """Put a task into the queue; on disk there when this returns.

        `body` (up to 128 Ki characters) says what is to be done; workers may choose by `kind`.
        """
        return await self._client.ask(AddTask(body=body, kind=kind, max_attempts=max_attempts))

    async def list(self, state: TaskState | None = None) -> list[Task]:
        """Return all tasks, the oldest first; texts longer than 2000 characters are cut."""
        found: list[Task] = []
        after: str | None = ""
        while after is not None:
            page = await self._client.ask(ListTasks(state=state, after=after))
            found += page.tasks
            after = page.next
        return found

    async def get(self, task_id: str) -> Task:
        """Return one task, with the whole of its texts; raises `NotFound`."""
        entry = await self._client.context.get(f"task:{task_id}")
        task = None if entry is None else decode_task(entry.value)
        if task is None:
            raise NotFound(f"there is no task {task_id!r}")
        return task

    async def cancel(self, task_id: str) -> Task:
        """Take a task back; `Conflict` when it is over already."""
        return await self._client.ask(CancelTask(id=task_id))

    async def wait(self, task_id: str) -> Task:
        """Wait until a task is done, failed or cancelled, and return it.

        Nothing is polled. Raises `NotFound` for one that is not kept (any more).
        """
        async with self.watch(task_id) as tasks:
            async for task in tasks:
                if task.state not in ("pending", "running"):
                    return task
        raise NotFound(f"there is no task {task_id!r}")

    @asynccontextmanager
    async def watch(self, task_id: str | None = None) -> AsyncGenerator[AsyncIterator[Task]]:
        """Watch all tasks, or one: iterate over them as they are, and then as they change.

        Where one is watched the iteration ends when it is not kept (any more).
        """
        async with self._client.context.watch(f"task:{task_id or ''}") as changes:
            yield _Tasks(changes, task_id)

    @asynccontextmanager
    async def claim(
        self,
        kind: str | None = None,
        *,
        worker: str = "",
        lease: float = 60.0,
        wait: float = 86_400.0,
    ) -> AsyncGenerator[Work | None]:
        """Take a task, waiting up to `wait` seconds for one, and work on it within the block.

        Yields None when there was none in time. While the block runs the task is kept (it has
        `lease` seconds, extended again and again). Left normally, the task is done, with the
        result given to `Work.finish`, if any; left by an exception it has failed, and goes back to
        the queue while attempts are left. When the task is not ours any more, because the node was
        not reached in time or somebody took it back, the block is cancelled and `Conflict` raised.
        """
        request = ClaimTask(kind=kind, worker=worker, lease=lease, wait=wait)
        task = (await self._client.ask(request)).task
        if task is None:
            yield None
            return
        work = Work(self._client, task, lease)
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(work.keep)
                    yield work
                    nursery.cancel_scope.cancel()
        except BaseException as error:
            if not work.lost:
                with trio.move_on_after(GOODBYE, shield=True):
                    await work.fail(_why(error))
            raise
        if not work.settled:
            await work.finish("")


class _Tasks:
    """Iterates over tasks as they change."""

    def __init__(self, changes: AsyncIterator[ContextChange], task_id: str | None) -> None:
        self._changes = changes
        self._key = None if task_id is None else f"task:{task_id}"
        self._found = False

    def __aiter__(self) -> _Tasks:
        return self

    async def __anext__(self) -> Task:
        async for change in self._changes:
            if isinstance(change, ContextEntry):
                if self._key in (None, change.key):
                    self._found = True
                    task = decode_task(change.value)
                    if task is not None:
                        return task
            elif self._key is not None and (
                change.key == self._key if isinstance(change, ContextDeleted) else not self._found
            ):
                break
        raise StopAsyncIteration


class Work:
    """A task that was taken, and what is said of it; `TaskQueue.claim` makes it."""

    def __init__(self, client: Client, task: Task, lease: float) -> None:
        """Speak for the claim of `task`."""
        self._client = client
        self._lease = lease
        self.task = task
        self.settled = False
        """Whether it was said how it ended."""
        self.lost = False
        """Whether it turned out not to be ours any more."""
        self._kept_until = trio.current_time() + lease

    async def progress(self, text: str) -> None:
        """Say how far it is (up to 4096 characters), for whoever watches."""
        await self._extend(text)

    async def finish(self, result: str) -> None:
        """Say that it is done, with a result of up to 128 Ki characters."""
        await self._client.ask(
            FinishTask(id=self.task.id, attempt=self.task.attempts, result=result)
        )
        self.settled = True

    async def fail(self, error: str, *, again: bool = True) -> None:
        """Say that it could not be done; `again` says whether another attempt makes sense."""
        if self.settled:
            return
        self.settled = True
        try:
            await self._client.ask(
                FailTask(
                    id=self.task.id, attempt=self.task.attempts, error=error[:4096], again=again
                )
            )
        except LoopsyError:
            return  # it goes back by itself when its time is over

    async def keep(self) -> None:
        """Keep the task while this runs; raises `Conflict` when it is not ours any more."""
        while not self.settled:
            await trio.sleep(self._lease / 3)
            try:
                if not self.settled:
                    await self._extend(None)
            except Conflict:
                if self.settled:  # which has crossed with it
                    return
                self.lost = True
                raise
            except LoopsyError as error:
                # The node may be back before the time is over; then somebody else may have it.
                if trio.current_time() >= self._kept_until:
                    self.lost = True
                    raise Conflict(f"task {self.task.id} could not be kept: {error}") from error

    async def _extend(self, progress: str | None) -> None:
        asked = trio.current_time()
        await self._client.ask(
            ExtendTask(
                id=self.task.id,
                attempt=self.task.attempts,
                lease=self._lease,
                progress=progress,
            )
        )
        self._kept_until = asked + self._lease


def _why(error: BaseException) -> str:
    """Say why an attempt has failed."""
    stops = (trio.Cancelled, KeyboardInterrupt)
    if isinstance(error, BaseExceptionGroup):
        rest = error.split(stops)[1]  # which were cancelled because of it, or all of them
        return "the worker was stopped" if rest is None else _why(rest.exceptions[0])
    if isinstance(error, stops):
        return "the worker was stopped"
    return f"{type(error).__name__}: {error}".removesuffix(": ")
