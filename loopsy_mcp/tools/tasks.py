"""Tasks: work that is handed to another machine's agent, and taken by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
import trio

from loopsy_core.client import ContextEntry
from loopsy_core.errors import BadRequest, NotFound
from loopsy_core.wire import TaskState, decode_task
from loopsy_mcp.desk import telling
from loopsy_mcp.plain import cut
from loopsy_mcp.tool import Group, MachineName, Said, Seconds, Tool

if TYPE_CHECKING:
    from loopsy_core.wire import Task
    from loopsy_mcp.desk import Desk, Place
    from loopsy_mcp.tool import Json, Tell

__all__ = ["TaskAdd", "TaskClaim", "TaskComplete", "TaskList"]

LEASE: Final = 60.0
"""Seconds after which a task goes back when its agent is not heard of any more."""
MOST_LISTED: Final = 200
MOST_RESULT: Final = 20_000

TaskId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Kind: TypeAlias = Annotated[str, msgspec.Meta(max_length=64, description="What sort of work")]


class TaskAdd(Tool, frozen=True, kw_only=True):
    """Put work into a machine's queue, for an agent that takes it by loopsy_task_claim there.
    With `wait` it waits for the result; else ask later by loopsy_task_list with `id`.
    """

    tool: ClassVar[str] = "loopsy_task_add"
    group: ClassVar[Group] = "tasks"

    body: Annotated[str, msgspec.Meta(min_length=1, max_length=131_072, description="What to do")]
    peer: MachineName | None = None
    kind: Kind = ""
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    wait: Seconds = 0

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Add it, and maybe wait."""
        place = await desk.reach(self.peer)
        task = await place.client.tasks.add(
            self.body, kind=self.kind, max_attempts=self.max_attempts
        )
        if self.wait:
            task = await _wait(place, task, self.wait, tell)
        return _said(task, place)


class TaskClaim(Tool, frozen=True, kw_only=True):
    """Take the oldest waiting task of a queue (default: this machine's) to work on it; one taker
    wins. With `wait` it waits for one. It is yours until loopsy_task_complete; if this conversation
    ends before, it goes back.
    """

    tool: ClassVar[str] = "loopsy_task_claim"
    group: ClassVar[Group] = "tasks"

    peer: MachineName | None = None
    kind: Annotated[str, msgspec.Meta(max_length=64, description="Only this sort")] | None = None
    wait: Seconds = 0

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Take one."""
        place = await desk.reach(self.peer)
        worker = f"agent@{(await desk.reach(None)).name}"[:64]
        async with telling(tell, self.wait, "waiting for a task"):
            task = await desk.leases.take(place, self.kind, worker, LEASE, self.wait)
        if task is None:
            return Said(f"there is no task to take on {place.name}", {"task": None})
        text = (
            f"task {task.id} from {task.created_by} is yours (attempt {task.attempts} of"
            f" {task.max_attempts}):\n{task.body}"
        )
        return Said(text, {"task": _data(task)})


class TaskComplete(Tool, frozen=True, kw_only=True):
    """Say how a task that you took is: "done" with its `result`, "failed" with the reason as
    `result` (it is tried again unless `again` is false), or "progress" with how far it is.
    """

    tool: ClassVar[str] = "loopsy_task_complete"
    group: ClassVar[Group] = "tasks"

    id: TaskId
    state: Literal["done", "failed", "progress"] = "done"
    result: Annotated[str, msgspec.Meta(max_length=131_072)] = ""
    again: bool = True

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Say it."""
        work = desk.leases.find(self.id)
        if self.state == "progress":
            await work.progress(self.result[:4096])
        elif self.state == "done":
            await work.finish(self.result)
            desk.leases.let_go(self.id)
        else:
            await work.fail(self.result, again=self.again)
            desk.leases.let_go(self.id)
        return Said(f"task {self.id}: {self.state}", {"id": self.id, "state": self.state})


class TaskList(Tool, frozen=True, kw_only=True):
    """List a machine's tasks with their states; with `id` one of them with its whole result, and
    with `wait` it waits until that one is over.
    """

    tool: ClassVar[str] = "loopsy_task_list"
    group: ClassVar[Group] = "tasks"
    reads_only: ClassVar[bool] = True

    peer: MachineName | None = None
    state: TaskState | None = None
    id: TaskId | None = None
    wait: Seconds = 0

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """List them, or wait for one."""
        place = await desk.reach(self.peer)
        if self.id is not None:
            task = await _find(place, self.id)
            if self.wait and task.state in ("pending", "running"):
                task = await _wait(place, task, self.wait, tell)
            return _said(task, place)
        if self.wait:
            raise BadRequest("`wait` needs the `id` of the task to wait for")
        tasks = await place.client.tasks.list(self.state)
        shown = tasks[-MOST_LISTED:]
        lines = [f"{task.id} {_how_it_is(task)}: {cut(task.body, 200, 'see id')}" for task in shown]
        if len(shown) < len(tasks):
            lines.insert(0, f"[{len(tasks) - len(shown)} older ones are not shown]")
        data: Json = [_data(task, 200) for task in shown]
        return Said("\n".join(lines) or f"there are no tasks on {place.name}", {"tasks": data})


async def _find(place: Place, task_id: str) -> Task:
    entry = await place.client.context.get(f"task:{task_id}")
    task = None if entry is None else decode_task(entry.value)
    if task is None:
        raise NotFound(f"there is no task {task_id!r} on {place.name}; name its machine as `peer`")
    return task


async def _wait(place: Place, task: Task, seconds: float, tell: Tell) -> Task:
    """Wait until a task is over; return how it is then, or when the time is over."""
    key = f"task:{task.id}"

    async def watch() -> None:
        nonlocal task
        async with place.client.context.watch(key) as changes:
            async for change in changes:
                if isinstance(change, ContextEntry) and change.key == key:
                    task = decode_task(change.value) or task
                    if task.state not in ("pending", "running"):
                        return

    with trio.move_on_after(seconds):
        async with telling(tell, seconds, f"waiting for task {task.id} on {place.name}"):
            await watch()
    return task


def _how_it_is(task: Task) -> str:
    by = f" by {task.worker}" if task.worker and task.state != "pending" else ""
    progress = f" ({task.progress})" if task.progress and task.state == "running" else ""
    return f"{task.state}{by}{progress}"


def _said(task: Task, place: Place) -> Said:
    said = task.result if task.state == "done" else task.error
    text = f"task {task.id} on {place.name}: {_how_it_is(task)}"
    if said:
        where = f"loopsy_context_get with key=task:{task.id}"
        text += f"\n{cut(said, MOST_RESULT, where)}"
    return Said(text, {"machine": place.name, **_data(task)})


def _data(task: Task, most: int = MOST_RESULT) -> dict[str, Json]:
    data: dict[str, Json] = msgspec.to_builtins(task)
    for name in ("body", "result", "error"):
        if isinstance(text := data.get(name), str):
            data[name] = cut(text, most, f"loopsy_context_get with key=task:{task.id}")
    return data
