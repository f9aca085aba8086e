"""Tasks from the command line: add, list, claim, extend, done, fail, cancel and watch."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from msgspec.structs import asdict

from loopsy_core.errors import NotFound
from loopsy_core.home import parse_duration
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

from .ask import ask
from .options import Json, Option, Peer
from .show import age, clean, fit, flush, print_json, say, table

if TYPE_CHECKING:
    from loopsy_core.client import ContextChange

__all__ = ["add", "cancel", "claim", "done", "extend", "fail", "list_tasks", "watch"]

STANDARD_INPUT: Final = "-"
DAY: Final = 86_400.0
"""Seconds: the longest that a worker has a task without another word, or waits for one."""
OPEN: Final = ("pending", "running")
NOTHING: Final = 1
"""The exit code of a claim that found nothing to do."""

Text = Annotated[str, Parameter(allow_leading_hyphen=True)]


def add(
    peer: str,
    body: Text,
    /,
    *,
    kind: Annotated[str, Option("What sort of work it is; workers may choose by it.")] = "",
    attempts: Annotated[int, Option("How often it is tried at most.")] = 3,
    json: Json = False,
) -> None:
    """Hand work to a machine's queue; BODY may be - for what comes on standard input.

    PEER may be this machine: local.
    """
    task = ask(AddTask(body=_text(body), kind=kind, max_attempts=attempts), to=peer)
    _tell(task, f"is in the queue of {peer}", json=json)


def list_tasks(
    *,
    state: Annotated[TaskState | None, Option("Only those that are so.")] = None,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """List the tasks in a queue, the oldest first."""
    tasks: list[Task] = []
    after: str | None = ""
    while after is not None:
        page = ask(ListTasks(state=state, after=after), to=peer)
        tasks += page.tasks
        after = page.next
    if json:
        print_json([asdict(task) for task in tasks])
    elif not tasks:
        say("there is no task")
    else:
        table(
            ("ID", "KIND", "STATE", "AGE", "WORKER", "TASK"),
            [_row(task) for task in tasks],
            faint=[task.state not in ("pending", "running") for task in tasks],
        )


def claim(
    *,
    kind: Annotated[str | None, Option("Only work of this sort.")] = None,
    worker: Annotated[str, Option("Who works on it.", "NAME")] = "",
    lease: Annotated[str, Option("How long it is yours without another word.", "TIME")] = "5m",
    wait: Annotated[str | None, Option("How long to wait for work.", "TIME")] = None,
    peer: Peer = None,
    json: Json = False,
) -> int:
    """Take the oldest task. Say task done, fail or extend, with its id and attempt, in time.

    The exit code is 1 when there is nothing to do.
    """
    request = ClaimTask(
        kind=kind,
        worker=worker,
        lease=parse_duration(lease, DAY),
        wait=0.0 if wait is None else parse_duration(wait, DAY),
    )
    task = ask(request, to=peer).task
    if json:
        print_json(task and asdict(task))
    elif task is None:
        say("there is nothing to do")
    else:
        say(f"task {clean(task.id)}, attempt {task.attempts}")
        for line in task.body.splitlines():
            say(clean(line))
    return NOTHING if task is None else 0


def done(
    task: str,
    attempt: int,
    result: Text = "",
    /,
    *,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """Say that a claimed task is done; RESULT may be - for what comes on standard input."""
    request = FinishTask(id=task, attempt=attempt, result=_text(result))
    _tell(ask(request, to=peer), "is done", json=json)


def fail(
    task: str,
    attempt: int,
    error: Text = "",
    /,
    *,
    never: Annotated[bool, Option("It is not to be tried again.")] = False,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """Say that a claimed task could not be done; it is tried again while attempts are left."""
    request = FailTask(id=task, attempt=attempt, error=_text(error), again=not never)
    failed = ask(request, to=peer)
    _tell(failed, f"is {failed.state} after {failed.attempts} attempts", json=json)


def extend(
    task: str,
    attempt: int,
    /,
    *,
    lease: Annotated[str, Option("For how long from now.", "TIME")] = "5m",
    progress: Annotated[str | None, Option("How far it is.", "TEXT")] = None,
    peer: Peer = None,
    json: Json = False,
) -> None:
    """Say that a claimed task is still being worked on."""
    request = ExtendTask(
        id=task, attempt=attempt, lease=parse_duration(lease, DAY), progress=progress
    )
    _tell(ask(request, to=peer), "is yours for longer", json=json)


def cancel(task: str, /, *, peer: Peer = None, json: Json = False) -> None:
    """Take a task back."""
    _tell(ask(CancelTask(id=task), to=peer), "is cancelled", json=json)


def watch(task: str = "", /, *, peer: Peer = None, json: Json = False) -> int:
    """Show tasks as they change. With the id of one, end with it: 0 done, 1 failed or cancelled.

    With --json each change is a document of its own, on one line.
    """
    from .looping import run

    return run(lambda: _watch(task, peer, as_json=json))


async def _watch(task_id: str, peer: str | None, *, as_json: bool) -> int:
    from loopsy_core.client import ContextEntry, open_client

    from .watching import watch_on

    prefix = f"task:{task_id}"
    seen = False

    def tell(change: ContextChange) -> int | None:
        nonlocal seen
        if isinstance(change, ContextEntry):
            task = decode_task(change.value)
            if task is None or task_id not in ("", task.id):
                return None
            seen = True
            _show(task, as_json=as_json)
            return int(task.state != "done") if task_id and task.state not in OPEN else None
        gone = change.key == prefix if isinstance(change, ContextDeleted) else not seen
        if task_id and gone:
            raise NotFound(f"there is no task {task_id!r}")
        return None

    async with open_client() as here:
        return await watch_on(here if peer is None else here.peer(peer), prefix, tell)


def _show(task: Task, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(task))
    else:
        more = task.progress if task.state == "running" else task.result or task.error
        told = f": {fit(clean(more), 200)}" if more else ""
        say(f"{clean(task.id)} {task.state}{told}")
    flush()


def _text(text: str) -> str:
    return sys.stdin.read() if text == STANDARD_INPUT else text


def _tell(task: Task, what: str, *, json: bool) -> None:
    if json:
        print_json(asdict(task))
    else:
        say(f"task {clean(task.id)} {clean(what)}")


def _row(task: Task) -> tuple[str, ...]:
    state: str = task.state
    if task.state == "running" and task.lease_until is not None:
        left = max(0, int(task.lease_until - time.time()))
        state += f" {left}s"
    return (
        task.id,
        task.kind,
        state,
        age(task.created_at),
        fit(task.worker or "", 24),
        fit(" ".join(task.body.split()), 50),
    )
