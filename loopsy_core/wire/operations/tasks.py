"""What is asked about tasks: work that one machine hands out and any one worker takes.

A task lies in the context of the node that keeps the queue, under `task:<id>`, as a `Task` in JSON;
so it can be read and watched like anything there. It is changed by these requests only.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from ..operation import Operation

__all__ = [
    "MAX_TASK_BODY",
    "AddTask",
    "CancelTask",
    "ClaimTask",
    "Claimed",
    "ExtendTask",
    "FailTask",
    "FinishTask",
    "ListTasks",
    "Task",
    "TaskList",
    "TaskState",
    "decode_task",
]

MAX_TASK_BODY: Final = 131_072
"""Characters of what is to be done, of a result and of an error."""

TaskState: TypeAlias = Literal["pending", "running", "done", "failed", "cancelled"]
TaskId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Kind: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
Worker: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
Body: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_TASK_BODY)]
Lease: TypeAlias = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
Attempt: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of work; times are seconds since 1970."""

    id: str
    kind: str
    """What sort of work it is; workers may choose by it."""
    body: str
    """What is to be done, for whoever does it."""
    state: TaskState
    created_at: float
    created_by: str
    updated_at: float
    max_attempts: int
    attempts: int = 0
    """How often it was claimed; the number of the last claim is its claimer's proof."""
    worker: str | None = None
    """Who has it, or had it last."""
    lease_until: float | None = None
    """Until when the worker has it without another word."""
    progress: str | None = None
    result: str | None = None
    error: str | None = None
    """Why it failed, or the last attempt did."""


_tasks: msgspec.json.Decoder[Task] = msgspec.json.Decoder(Task)


def decode_task(text: str | bytes) -> Task | None:
    """Return the task in `text`, None if it is none."""
    try:
        return _tasks.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class AddTask(Operation[Task], frozen=True, kw_only=True):
    """Put a task into the queue of this node; on disk when it is answered."""

    op = "tasks.add"
    grant = "task"
    reply = Task
    limited_as = "context"
    about = "kind"

    body: Body
    kind: Kind = ""
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    ttl: Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)] = 7 * 86_400.0
    """Seconds for which it is kept after its end."""


class Claimed(msgspec.Struct, frozen=True):
    """What a worker got."""

    task: Task | None
    """None when there was nothing to do in time."""


class ClaimTask(Operation[Claimed], frozen=True, kw_only=True):
    """Take the oldest pending task, waiting for one if there is none.

    It is the asker's for `lease` seconds, and longer with `tasks.extend`; then it goes back to
    the queue. Of any number of workers one gets it. Cancelled while it waits, it takes none.
    """

    op = "tasks.claim"
    grant = "task"
    reply = Claimed
    about = "kind"

    kind: Kind | None = None
    """Only tasks of this kind; None for any."""
    worker: Worker = ""
    lease: Lease = 60.0
    """Seconds."""
    wait: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    """Seconds to wait for a task."""


class ExtendTask(Operation[Task], frozen=True, kw_only=True):
    """Say that a claimed task is still being worked on, and how far it is.

    `attempt` is the claimed task's `attempts`. A Fault `conflict` says that somebody else has it by
    now, or nobody: the work is in vain.
    """

    op = "tasks.extend"
    grant = "task"
    reply = Task
    about = "id"

    id: TaskId
    attempt: Attempt
    lease: Lease = 60.0
    progress: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


class FinishTask(Operation[Task], frozen=True, kw_only=True):
    """Say that a claimed task is done; said again by the same claim, it stays as it is."""

    op = "tasks.finish"
    grant = "task"
    reply = Task
    about = "id"

    id: TaskId
    attempt: Attempt
    result: Body = ""


class FailTask(Operation[Task], frozen=True, kw_only=True):
    """Say that a claimed task could not be done; it is tried again while attempts are left."""

    op = "tasks.fail"
    grant = "task"
    reply = Task
    about = "id"

    id: TaskId
    attempt: Attempt
    error: Body = ""
    again: bool = True
    """Whether another attempt makes sense."""


class CancelTask(Operation[Task], frozen=True, kw_only=True):
    """Take a task back; a worker that has it hears of it when it next says something."""

    op = "tasks.cancel"
    grant = "task"
    reply = Task
    about = "id"

    id: TaskId


class TaskList(msgspec.Struct, frozen=True):
    """Tasks, the oldest first."""

    tasks: list[Task]
    next: str | None
    """Where the next page begins (`after`), None when this is the last."""


class ListTasks(Operation[TaskList], frozen=True, kw_only=True):
    """List the tasks of this node, a page at a time.

    Long texts are cut there, for a page has to fit one answer; the context has them whole.
    """

    op = "tasks.list"
    grant = "task"
    reply = TaskList
    limited_as = "context"

    state: TaskState | None = None
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
