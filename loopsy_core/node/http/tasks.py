"""Tasks by HTTP: handing work out, taking it, and saying what became of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec

from loopsy_core.wire import (
    ClaimTask,
    ExtendTask,
    FailTask,
    FinishTask,
    Task,
    TaskState,
)
from loopsy_core.wire.operations.tasks import Attempt, Body, Kind, TaskId, Worker

from .camel import shown, twin
from .route import Call, NoBody, OnPeer, Route
from .streaming import EVENTS, event_stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from .route import Stream

__all__ = ["ROUTES"]

DAY: Final = 86_400_000
"""Milliseconds."""
MOST_PROGRESS: Final = 4096

Lease: TypeAlias = Annotated[int, msgspec.Meta(ge=1000, le=DAY)]
"""Milliseconds."""
ATask = twin(Task)


class NewTask(msgspec.Struct, frozen=True, rename="camel"):
    """Work for whoever takes it first."""

    body: Body
    """What is to be done."""
    kind: Kind = ""
    """What sort of work it is; workers may choose by it."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3


class Claim(msgspec.Struct, frozen=True):
    """What a worker wants to do."""

    kind: Kind | None = None
    """Only work of this sort."""
    worker: Worker = ""
    lease: Lease = 60_000
    """Milliseconds for which it is this worker's without another word."""
    wait: Annotated[int, msgspec.Meta(ge=0, le=DAY)] = 0
    """Milliseconds to wait for work."""


class Claimed(msgspec.Struct, frozen=True):
    """What a worker got: null when there was nothing to do in time."""

    task: ATask | None  # type: ignore[valid-type]


class Extension(msgspec.Struct, frozen=True):
    """A claimed task is still being worked on."""

    id: TaskId
    attempt: Attempt
    """The `attempts` of the task as it was claimed: which proves whose it is."""
    lease: Lease = 60_000
    """Milliseconds from now on."""
    progress: Annotated[str, msgspec.Meta(max_length=MOST_PROGRESS)] | None = None


class Done(msgspec.Struct, frozen=True):
    """A claimed task is done."""

    id: TaskId
    attempt: Attempt
    result: Body = ""


class Failed(msgspec.Struct, frozen=True):
    """A claimed task could not be done."""

    id: TaskId
    attempt: Attempt
    error: Body = ""
    again: bool = True
    """Whether another attempt makes sense."""


class TaskList(msgspec.Struct, frozen=True):
    """Tasks, the oldest first; texts of more than 2000 characters are cut."""

    tasks: list[ATask]  # type: ignore[valid-type]


class WhichTasks(OnPeer, frozen=True):
    """Which tasks are listed."""

    state: TaskState | None = None


class WhichTask(OnPeer, frozen=True):
    """Which task is watched, until it is over; all of them without."""

    id: TaskId | None = None


async def add(call: Call[NewTask, OnPeer]) -> msgspec.Struct:
    """Put a task into the queue; it is on disk there when this is answered."""
    new = call.body
    task = await call.client.tasks.add(new.body, kind=new.kind, max_attempts=new.max_attempts)
    return shown(task)


async def tasks(call: Call[NoBody, WhichTasks]) -> TaskList:
    """List the tasks in a queue."""
    found = await call.client.tasks.list(call.query.state)
    return TaskList([shown(task) for task in found])


async def get(call: Call[NoBody, OnPeer]) -> msgspec.Struct:
    """Read one task, with the whole of its texts."""
    return shown(await call.client.tasks.get(call.name))


async def cancel(call: Call[NoBody, OnPeer]) -> msgspec.Struct:
    """Take a task back."""
    return shown(await call.client.tasks.cancel(call.name))


async def claim(call: Call[Claim, OnPeer]) -> Claimed:
    """Take the oldest task. Say done, fail or extend in time, or it goes back to the queue."""
    wish = call.body
    request = ClaimTask(
        kind=wish.kind, worker=wish.worker, lease=wish.lease / 1000, wait=wish.wait / 1000
    )
    task = (await call.client.ask(request)).task
    return Claimed(None if task is None else shown(task))


async def extend(call: Call[Extension, OnPeer]) -> msgspec.Struct:
    """Say that a claimed task is still being worked on."""
    body = call.body
    request = ExtendTask(
        id=body.id, attempt=body.attempt, lease=body.lease / 1000, progress=body.progress
    )
    task = await call.client.ask(request)
    return shown(task)


async def done(call: Call[Done, OnPeer]) -> msgspec.Struct:
    """Say that a claimed task is done."""
    body = call.body
    request = FinishTask(id=body.id, attempt=body.attempt, result=body.result)
    task = await call.client.ask(request)
    return shown(task)


async def fail(call: Call[Failed, OnPeer]) -> msgspec.Struct:
    """Say that a claimed task could not be done; it is tried again while attempts are left."""
    body = call.body
    request = FailTask(id=body.id, attempt=body.attempt, error=body.error, again=body.again)
    task = await call.client.ask(request)
    return shown(task)


async def watch(call: Call[NoBody, WhichTask]) -> Stream:
    """Stream tasks as they are, and then as they change."""
    return await event_stream(_watch(call), "tasks")


@asynccontextmanager
async def _watch(call: Call[NoBody, WhichTask]) -> AsyncGenerator[AsyncIterator[object]]:
    if call.query.id is not None:
        await call.client.tasks.get(call.query.id)
    async with call.client.tasks.watch(call.query.id) as found:
        yield _Shown(found, until_over=call.query.id is not None)


class _Shown:
    """Shows tasks as this API does. No generator, which would end when it is cancelled."""

    def __init__(self, found: AsyncIterator[Task], *, until_over: bool) -> None:
        self._found = found
        self._until_over = until_over
        self._over = False

    def __aiter__(self) -> _Shown:
        return self

    async def __anext__(self) -> object:
        if self._over:
            raise StopAsyncIteration
        task = await anext(self._found)
        self._over = self._until_over and task.state not in ("pending", "running")
        return shown(task)


ROUTES: Final = (
    Route("GET", "/tasks", tasks, "tasks", NoBody, WhichTasks, TaskList),
    Route("POST", "/tasks", add, "tasks", NewTask, OnPeer, ATask),
    Route("POST", "/tasks/claim", claim, "tasks", Claim, OnPeer, Claimed),
    Route("POST", "/tasks/extend", extend, "tasks", Extension, OnPeer, ATask),
    Route("POST", "/tasks/done", done, "tasks", Done, OnPeer, ATask),
    Route("POST", "/tasks/fail", fail, "tasks", Failed, OnPeer, ATask),
    Route("GET", "/tasks/{id}", get, "tasks", NoBody, OnPeer, ATask),
    Route("DELETE", "/tasks/{id}", cancel, "tasks", NoBody, OnPeer, ATask),
    Route("GET", "/events/tasks", watch, "tasks", NoBody, WhichTask, ATask, EVENTS),
)
