"""The table of tasks: an index over those in the context, by which one worker wins.

Every function is one step of a transaction: the index and the task in the context change together.
A task that was claimed carries the number of the claim; whoever comes with another is too late.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from loopsy_core.errors import Conflict, NotFound
from loopsy_core.wire import Task, decode_task

from . import context_table as context

if TYPE_CHECKING:
    import sqlite3

    from loopsy_core.wire import AddTask, ContextInfo

__all__ = [
    "TASK_TABLE",
    "Change",
    "add",
    "cancel",
    "claim",
    "extend",
    "fail",
    "finish",
    "listed",
    "next_lease",
    "return_overdue",
    "unclaim",
]

TASK_TABLE: Final = """
    CREATE TABLE tasks (
        id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        lease_until REAL,
        ttl REAL NOT NULL
    ) STRICT;
    CREATE INDEX tasks_pending ON tasks (seq) WHERE state = 'pending';
    CREATE INDEX tasks_of_kind ON tasks (kind, seq) WHERE state = 'pending';
    CREATE INDEX tasks_leased ON tasks (lease_until) WHERE state = 'running';
    """


class Change(NamedTuple):
    """A task as it is now, and its entry in the context."""

    task: Task
    info: ContextInfo


def add(connection: sqlite3.Connection, request: AddTask, *, by: str, now: float) -> Change:
    """Put a task into the queue."""
    row: tuple[int] = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM tasks").fetchone()
    # In the order of its making, and not to be guessed by whoever may not list them.
    task_id = f"{row[0]:08d}-{secrets.token_hex(4)}"
    connection.execute(
        "INSERT INTO tasks VALUES (?, ?, ?, 'pending', NULL, ?)",
        (task_id, row[0], request.kind, request.ttl),
    )
    task = Task(task_id, request.kind, request.body, "pending", now, by, now, request.max_attempts)
    return _put(connection, task, now)


def claim(
    connection: sqlite3.Connection, kind: str | None, *, worker: str, lease: float, now: float
) -> Change | None:
    """Give the oldest pending task to a worker, if there is one."""
    while True:
        row = connection.execute(
            "SELECT id FROM tasks WHERE state = 'pending' AND (? IS NULL OR kind = ?)"
            " ORDER BY seq LIMIT 1",
            (kind, kind),
        ).fetchone()
        if row is None:
            return None
        try:
            task = _get(connection, row[0], now)
        except NotFound:
            continue  # it has expired, or somebody has deleted it from the context: it is forgotten
        return _change(
            connection,
            task,
            now,
            state="running",
            worker=worker,
            attempts=task.attempts + 1,
            lease_until=now + lease,
            progress=None,
        )


def unclaim(connection: sqlite3.Connection, task_id: str, attempt: int, *, now: float) -> Change:
    """Put a task back as if it had never been claimed."""
    task = _claimed(connection, task_id, attempt, now)
    return _change(
        connection,
        task,
        now,
        state="pending",
        worker=None,
        attempts=attempt - 1,
        lease_until=None,
    )


def extend(
    connection: sqlite3.Connection,
    task_id: str,
    attempt: int,
    *,
    lease: float,
    progress: str | None,
    now: float,
) -> Change:
    """Let a worker have its task for longer."""
    task = _claimed(connection, task_id, attempt, now)
    told = task.progress if progress is None else progress
    return _change(connection, task, now, lease_until=now + lease, progress=told)


def finish(
    connection: sqlite3.Connection, task_id: str, attempt: int, *, result: str, now: float
) -> Change:
    """Note that a task is done."""
    task = _claimed(connection, task_id, attempt, now)
    return _change(connection, task, now, state="done", result=result, error=None, lease_until=None)


def fail(
    connection: sqlite3.Connection,
    task_id: str,
    attempt: int,
    *,
    error: str,
    again: bool,
    now: float,
) -> Change:
    """Note that an attempt has failed; the task goes back to the queue while any is left."""
    task = _claimed(connection, task_id, attempt, now)
    return _give_back(connection, task, error, now, again=again)


def cancel(connection: sqlite3.Connection, task_id: str, *, now: float) -> Change:
    """Take a task back; raises `Conflict` for one that is over."""
    task = _get(connection, task_id, now)
    if task.state not in ("pending", "running"):
        raise Conflict(f"task {task_id} is {task.state} already", state=task.state)
    return _change(connection, task, now, state="cancelled", lease_until=None)


def return_overdue(connection: sqlite3.Connection, now: float, limit: int) -> list[Change]:
    """Give back the tasks of workers that have not been heard of in time, a few at once."""
    rows = connection.execute(
        "SELECT id FROM tasks WHERE state = 'running' AND lease_until <= ?"
        " ORDER BY lease_until LIMIT ?",
        (now, limit),
    ).fetchall()
    changes: list[Change] = []
    for (task_id,) in rows:
        try:
            task = _get(connection, task_id, now)
        except NotFound:
            continue
        error = f"{task.worker or 'its worker'} was not heard of in time"
        changes.append(_give_back(connection, task, error, now, again=True))
    return changes


def next_lease(connection: sqlite3.Connection) -> float | None:
    """Return when the next lease ends."""
    row: tuple[float | None] = connection.execute(
        "SELECT min(lease_until) FROM tasks WHERE state = 'running'"
    ).fetchone()
    return row[0]


def listed(
    connection: sqlite3.Connection, state: str | None, after: str, limit: int, now: float
) -> list[Task]:
    """Return tasks in the order of their making."""
    rows = connection.execute(
        "SELECT id FROM tasks WHERE id > ? AND (? IS NULL OR state = ?) ORDER BY id LIMIT ?",
        (after, state, state, limit),
    ).fetchall()
    found: list[Task] = []
    for (task_id,) in rows:
        try:
            _, text = context.get(connection, _key(task_id), now)
        except NotFound:
            continue
        task = decode_task(text)
        if task is not None:
            found.append(task)
    return found


def _give_back(
    connection: sqlite3.Connection, task: Task, error: str, now: float, *, again: bool
) -> Change:
    left = again and task.attempts < task.max_attempts
    return _change(
        connection,
        task,
        now,
        state="pending" if left else "failed",
        error=error,
        lease_until=None,
    )


def _claimed(connection: sqlite3.Connection, task_id: str, attempt: int, now: float) -> Task:
    """Return a task that this very claim still holds."""
    task = _get(connection, task_id, now)
    if task.state != "running" or task.attempts != attempt:
        who = f", held by {task.worker}" if task.state == "running" else ""
        raise Conflict(
            f"task {task_id} is not yours any more: it is {task.state}{who}", state=task.state
        )
    return task


def _get(connection: sqlite3.Connection, task_id: str, now: float) -> Task:
    """Return a task; one that is no more in the context is forgotten here too."""
    try:
        _, text = context.get(connection, _key(task_id), now)
        task = decode_task(text)
    except NotFound:
        task = None
    if task is None or task.id != task_id:
        connection.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
        raise NotFound(f"there is no task {task_id!r}; `loopsy task list` shows them")
    return task


def _change(connection: sqlite3.Connection, task: Task, now: float, **fields: object) -> Change:
    changed = msgspec.structs.replace(task, updated_at=now, **fields)
    connection.execute(
        "UPDATE tasks SET state = ?, lease_until = ? WHERE id = ?",
        (changed.state, changed.lease_until, changed.id),
    )
    return _put(connection, changed, now)


def _put(connection: sqlite3.Connection, task: Task, now: float) -> Change:
    row: tuple[float] = connection.execute(
        "SELECT ttl FROM tasks WHERE id = ?", (task.id,)
    ).fetchone()
    text = msgspec.json.encode(task).decode()
    info = context.put(
        connection, _key(task.id), text, now=now, by=task.created_by, expires_at=now + row[0]
    )
    return Change(task, info)


def _key(task_id: str) -> str:
    return f"task:{task_id}"
