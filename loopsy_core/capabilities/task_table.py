"""The table of tasks: an index over those in the context, by which one worker wins.

Every function is one step of a transaction: the index and the task in the context change together.
A task that was claimed carries the number of the claim; whoever comes with another is too late.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from loopsy_core.errors import BadRequest, Conflict, NotFound
from loopsy_core.wire import Task, decode_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopsy_core.wire import AddTask

    from .entries import Entries

__all__ = [
    "TASK_TABLE",
    "Lease",
    "add",
    "cancel",
    "claim",
    "extend",
    "fail",
    "finish",
    "leases",
    "listed",
    "return_overdue",
    "unclaim",
]

TASK_TABLE: Final = """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE
            REFERENCES context (key) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        lease REAL,
        lease_until REAL,
        ttl REAL NOT NULL
    ) STRICT;
    CREATE INDEX tasks_in_state ON tasks (state, seq);
    CREATE INDEX tasks_of_kind ON tasks (state, kind, seq);
    """

OPEN: Final = ("pending", "running")
NO_TASK: Final = "; `loopsy task list` shows them"


class Lease(NamedTuple):
    """How long a claim holds a task without another word."""

    task_id: str
    attempt: int
    seconds: float


def add(entries: Entries, request: AddTask, *, by: str, owner: str) -> Task:
    """Put a task into the queue; raises `Full` when there is no room for one of `owner`."""
    cursor = entries.connection.execute(
        "INSERT INTO tasks (key, kind, state, ttl) VALUES (?, ?, 'pending', ?)",
        (f"new {secrets.token_hex(8)}", request.kind, request.ttl),
    )
    # In the order of its making, and not to be guessed by whoever may not list them.
    task_id = f"{cursor.lastrowid:08d}-{secrets.token_hex(4)}"
    entries.connection.execute(
        "UPDATE tasks SET key = ? WHERE seq = ?", (_key(task_id), cursor.lastrowid)
    )
    now = entries.now
    task = Task(task_id, request.kind, request.body, "pending", now, by, now, request.max_attempts)
    return _put(entries, task, owner)


def claim(entries: Entries, kind: str | None, *, worker: str, lease: float) -> Task | None:
    """Give the oldest pending task to a worker, if there is one."""
    for task in _tasks(entries, "pending", 0, kind):
        return _change(
            entries,
            task,
            lease=lease,
            state="running",
            worker=worker,
            attempts=task.attempts + 1,
            progress=None,
        )
    return None


def unclaim(entries: Entries, task_id: str, attempt: int) -> Task:
    """Put a task back as if it had never been claimed."""
    task = _claimed(entries, task_id, attempt)
    return _change(entries, task, state="pending", worker=None, attempts=attempt - 1)


def extend(
    entries: Entries, task_id: str, attempt: int, *, lease: float, progress: str | None
) -> Task:
    """Let a worker have its task for longer."""
    task = _claimed(entries, task_id, attempt)
    told = task.progress if progress is None else progress
    return _change(entries, task, lease=lease, progress=told)


def finish(entries: Entries, task_id: str, attempt: int, *, result: str) -> Task:
    """Note that a task is done; whoever has lost the answer may say so again."""
    task = _get(entries, task_id)
    if (task.state, task.attempts, task.result) == ("done", attempt, result):
        return task
    task = _claimed(entries, task_id, attempt)
    return _change(entries, task, state="done", result=result, error=None)


def fail(entries: Entries, task_id: str, attempt: int, *, error: str, again: bool) -> Task:
    """Note that an attempt has failed; the task goes back to the queue while any is left."""
    return _give_back(entries, _claimed(entries, task_id, attempt), error, again=again)


def cancel(entries: Entries, task_id: str) -> Task:
    """Take a task back; raises `Conflict` for one that is over."""
    task = _get(entries, task_id)
    if task.state not in OPEN:
        raise Conflict(f"task {task_id} is {task.state} already", state=task.state)
    return _change(entries, task, state="cancelled")


def return_overdue(entries: Entries, task_id: str, attempt: int) -> Task | None:
    """Give back the task of a worker that was not heard of in time; None if it has it no more."""
    task = _find(entries, task_id)
    if task is None or task.state != "running" or task.attempts != attempt:
        return None
    error = f"{task.worker or 'its worker'} was not heard of in time"
    return _give_back(entries, task, error, again=True)


def leases(entries: Entries) -> list[Lease]:
    """Return how long each running task is still its worker's, as far as the clock can be trusted.

    It may have been set while nobody looked, so that is never longer than the worker was given.
    """
    rows = entries.connection.execute(
        "SELECT key, lease, lease_until FROM tasks WHERE state = 'running'"
    ).fetchall()
    found: list[Lease] = []
    for key, lease, lease_until in rows:
        task = _find(entries, key.removeprefix(_key("")))
        if task is not None and task.state == "running":
            left = min(max(lease_until - entries.now, 0.0), lease)
            found.append(Lease(task.id, task.attempts, left))
    return found


def listed(
    entries: Entries, state: str | None, after: str, most: int, most_bytes: int, longest: int
) -> tuple[list[Task], str | None]:
    """Return tasks in the order of their making, and where to go on, None behind the last.

    Texts are cut to `longest` characters, and a page ends before it has more than `most_bytes`.
    """
    page: list[Task] = []
    size = 0
    for task in _tasks(entries, state, _number(after), None):
        short = _cut(task, longest)
        size += len(msgspec.json.encode(short))
        if page and (len(page) >= most or size > most_bytes):
            return page, page[-1].id
        page.append(short)
    return page, None


def _tasks(entries: Entries, state: str | None, after: int, kind: str | None) -> Iterator[Task]:
    """Iterate over tasks in the order of their making."""
    where: list[str] = ["seq > ?"]
    values: list[int | str] = [after]
    if state is not None:
        where.append("state = ?")
        values.append(state)
    if kind is not None:
        where.append("kind = ?")
        values.append(kind)
    rows = entries.connection.execute(
        f"SELECT key FROM tasks WHERE {' AND '.join(where)} ORDER BY seq", values
    )
    for (key,) in rows:
        # Anybody may write to the context: what is no such task any more is left alone.
        task = _find(entries, key.removeprefix(_key("")))
        if task is not None and state in (None, task.state):
            yield task


def _give_back(entries: Entries, task: Task, error: str, *, again: bool) -> Task:
    left = again and task.attempts < task.max_attempts
    return _change(entries, task, state="pending" if left else "failed", error=error)


def _claimed(entries: Entries, task_id: str, attempt: int) -> Task:
    """Return a task that this very claim still holds."""
    task = _get(entries, task_id)
    if task.state != "running" or task.attempts != attempt:
        who = f", held by {task.worker}" if task.state == "running" else ""
        raise Conflict(
            f"task {task_id} is not yours any more: it is {task.state}{who}", state=task.state
        )
    return task


def _get(entries: Entries, task_id: str) -> Task:
    task = _find(entries, task_id)
    if task is None:
        raise NotFound(f"there is no task {task_id!r}{NO_TASK}")
    return task


def _find(entries: Entries, task_id: str) -> Task | None:
    """Return a task, None for one that is not there, or was made something else by somebody."""
    entry = entries.find(_key(task_id))
    task = None if entry is None else decode_task(entry.value)
    return task if task is not None and task.id == task_id else None


def _change(entries: Entries, task: Task, lease: float | None = None, **fields: object) -> Task:
    """Change a task; without a `lease` nobody holds it."""
    lease_until = None if lease is None else entries.now + lease
    changed = msgspec.structs.replace(
        task, updated_at=entries.now, lease_until=lease_until, **fields
    )
    entries.connection.execute(
        "UPDATE tasks SET state = ?, lease = ?, lease_until = ? WHERE key = ?",
        (changed.state, lease, lease_until, _key(changed.id)),
    )
    return _put(entries, changed)


def _put(entries: Entries, task: Task, owner: str | None = None) -> Task:
    """Write a task; with an `owner` it is a new one, which has to find room."""
    row = entries.connection.execute(
        "SELECT ttl FROM tasks WHERE key = ?", (_key(task.id),)
    ).fetchone()
    if row is None:
        raise NotFound(f"task {task.id} was put there by hand, and is in no queue")
    # Work that is not done does not vanish, however long nobody comes for it.
    expires_at = None if task.state in OPEN else entries.now + row[0]
    text = msgspec.json.encode(task).decode()
    if owner is None:
        entries.put(_key(task.id), text, by=task.created_by, expires_at=expires_at)
    else:
        entries.take_in(_key(task.id), text, by=task.created_by, owner=owner, expires_at=expires_at)
    return task


def _cut(task: Task, longest: int) -> Task:
    texts = {
        name: text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
        for name in ("body", "progress", "result", "error")
        if len(text := getattr(task, name) or "") > longest
    }
    return msgspec.structs.replace(task, **texts) if texts else task


def _number(task_id: str) -> int:
    """Return the place of a task in the order of their making."""
    number = task_id.partition("-")[0]
    if not task_id:
        return 0
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest(f"{task_id!r} is no id of a task")
    return int(number)


def _key(task_id: str) -> str:
    return f"task:{task_id}"
