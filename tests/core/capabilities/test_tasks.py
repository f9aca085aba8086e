"""Tasks: against a simple model, and whatever workers, crashes and clocks do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.capabilities import SHARED_TABLES, Shared, share
from loopsy_core.errors import BadRequest, Conflict, LoopsyError, NotFound
from loopsy_core.wire import (
    AddTask,
    CancelTask,
    ClaimTask,
    DeleteContext,
    ExtendTask,
    FailTask,
    FinishTask,
    ListTasks,
    Task,
    decode,
    decode_task,
    encode,
)
from tests.core.capabilities.mail import Disk
from tests.world import InlineDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.kit import Database

LEASE = 10.0


class Clock:
    """The time of day, which somebody may set."""

    def __init__(self) -> None:
        self.skew = 0.0

    def __call__(self) -> float:
        return 1e9 + trio.current_time() + self.skew


@asynccontextmanager
async def open_queue(
    database: InlineDatabase | None = None, clock: Clock | None = None
) -> AsyncGenerator[Shared]:
    kept = cast("Database", database or InlineDatabase(SHARED_TABLES))
    async with share(kept, "kai", (), clock or Clock()) as shared:
        yield shared


async def claim(shared: Shared, kind: str | None = None, wait: float = 0.0) -> Task | None:
    request = ClaimTask(kind=kind, worker="w", lease=LEASE, wait=wait)
    return (await shared.tasks.claim(request, "kai")).task


async def task_of(shared: Shared, task_id: str) -> Task:
    task = decode_task((await shared.context.get(f"task:{task_id}")).value)
    assert task is not None
    return task


# Against a model.


class Model:
    """What a queue is: tasks in order, each with a state and the number of its claim."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, object]] = {}

    def pending(self, kind: str | None) -> list[str]:
        return [
            each
            for each, task in self.tasks.items()
            if task["state"] == "pending" and kind in (None, task["kind"])
        ]

    def give_back(self, task_id: str) -> None:
        task = self.tasks[task_id]
        left = cast("int", task["attempts"]) < cast("int", task["most"])
        task["state"] = "pending" if left else "failed"

    def restart(self, now: float, time: float) -> None:
        """Count anew by the time of day; nobody has a task for longer than was said."""
        for task in self.tasks.values():
            if task["state"] == "running":
                left = cast("float", task["until time"]) - time
                task["until"] = now + min(max(left, 0.0), LEASE)

    def hold(self, task_id: str, now: float, time: float) -> None:
        held = {"state": "running", "until": now + LEASE, "until time": time + LEASE}
        self.tasks[task_id].update(held)

    def pass_time(self, now: float) -> None:
        for task_id, task in self.tasks.items():
            if task["state"] == "running" and cast("float", task["until"]) <= now:
                self.give_back(task_id)


NUMBER = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["", "ios"]), st.integers(1, 3)),
        st.tuples(st.just("claim"), st.sampled_from([None, "", "ios", "none"])),
        st.tuples(st.just("finish"), NUMBER, st.integers(-1, 0)),
        st.tuples(st.just("fail"), NUMBER, st.integers(-1, 0), st.booleans()),
        st.tuples(st.just("extend"), NUMBER, st.integers(-1, 0)),
        st.tuples(st.just("cancel"), NUMBER),
        st.tuples(st.just("pass"), st.sampled_from([1.0, 9.0, 11.0])),
        st.tuples(st.just("jump"), st.sampled_from([-3600.0, 3600.0])),
        st.tuples(st.just("crash")),
    ),
    min_size=5,
    max_size=40,
)


class Story:
    """A queue and its model, side by side."""

    def __init__(self, shared: Shared, model: Model, clock: Clock) -> None:
        self.shared = shared
        self.model = model
        self.clock = clock

    async def take(self, step: tuple[object, ...]) -> None:
        tasks, model, now = self.shared.tasks, self.model, trio.current_time()
        match step:
            case "add", str(kind), int(most):
                request = AddTask(body="b", kind=kind, max_attempts=most)
                task = await tasks.add(request, "me")
                model.tasks[task.id] = {
                    "state": "pending", "kind": kind, "attempts": 0, "most": most
                }  # fmt: skip
            case "claim", kind:
                got = await claim(self.shared, cast("str | None", kind))
                waiting = model.pending(cast("str | None", kind))
                assert (got and got.id) == (waiting[0] if waiting else None)
                if got is not None:
                    known = model.tasks[got.id]
                    known["attempts"] = cast("int", known["attempts"]) + 1
                    assert got.attempts == known["attempts"]
                    model.hold(got.id, now, self.clock())
            case "finish", int(number), int(off):
                if found := self._find(number):
                    request_ = FinishTask(id=found, attempt=self._attempt(found, off), result="r")
                    if await self._may(tasks.finish(request_), found, off):
                        model.tasks[found]["state"] = "done"
            case "fail", int(number), int(off), bool(again):
                if found := self._find(number):
                    failing = FailTask(id=found, attempt=self._attempt(found, off), again=again)
                    if await self._may(tasks.fail(failing), found, off):
                        model.give_back(found)
                        if not again:
                            model.tasks[found]["state"] = "failed"
            case "extend", int(number), int(off):
                if found := self._find(number):
                    more = ExtendTask(id=found, attempt=self._attempt(found, off), lease=LEASE)
                    if await self._may(tasks.extend(more), found, off):
                        model.hold(found, now, self.clock())
            case "jump", float(seconds):
                self.clock.skew += seconds  # nobody loses or keeps a task by it
            case "pass", float(seconds):
                await trio.sleep(seconds)
            case "cancel", int(number):
                if found := self._find(number):
                    task = model.tasks[found]
                    if task["state"] in ("pending", "running"):
                        await tasks.cancel(CancelTask(id=found))
                        task["state"] = "cancelled"
                    else:
                        with pytest.raises(Conflict):
                            await tasks.cancel(CancelTask(id=found))

    async def check(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        self.model.pass_time(trio.current_time())
        listed = (await self.shared.tasks.list(ListTasks())).tasks
        assert [(each.id, each.state, each.attempts) for each in listed] == [
            (task_id, task["state"], task["attempts"]) for task_id, task in self.model.tasks.items()
        ]
        for task in listed:
            assert await task_of(self.shared, task.id) == task

    async def _may(self, asking: object, task_id: str, off: int) -> bool:
        """Ask, and return whether it was this claim's to say so."""
        task = self.model.tasks[task_id]
        mine = task["state"] == "running" and not off
        again = task["state"] == "done" and not off and "finish" in str(asking)
        error: Conflict | None = None
        try:
            await asking  # type: ignore[misc]
        except Conflict as conflict:
            error = conflict
        if error is None:
            assert mine or again
            return mine
        assert not mine
        assert error.details["state"] == task["state"]
        return False

    def _find(self, number: int) -> str | None:
        return list(self.model.tasks)[number] if number < len(self.model.tasks) else None

    def _attempt(self, task_id: str, off: int) -> int:
        last = cast("int", self.model.tasks[task_id]["attempts"])
        return max(1, last) if not off else last - 1 or last + 1


@given(steps=STEPS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_queue_does_what_the_model_does(steps: list[tuple[object, ...]]) -> None:
    async def play() -> None:
        database, clock, model = InlineDatabase(SHARED_TABLES), Clock(), Model()
        left = list(steps)
        while left:
            async with open_queue(database, clock) as shared:
                story = Story(shared, model, clock)
                while left and (step := left.pop(0)) != ("crash",):
                    await story.take(step)
                    await story.check()
            model.restart(trio.current_time(), clock())

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


# Case by case.


async def test_of_many_workers_one_gets_each_task(autojump_clock: object) -> None:
    async with open_queue() as shared, trio.open_nursery() as nursery:
        got: list[str] = []

        async def work() -> None:
            while (task := await claim(shared, wait=5.0)) is not None:
                got.append(task.id)
                await trio.sleep(0.1)
                done = FinishTask(id=task.id, attempt=task.attempts, result="ok")
                await shared.tasks.finish(done)

        for _ in range(20):
            nursery.start_soon(work)
        added = [(await shared.tasks.add(AddTask(body=str(n)), "me")).id for n in range(100)]
        await trio.sleep(30)
        assert sorted(got) == added


async def test_who_waits_for_a_kind_is_not_woken_into_anothers_work(
    autojump_clock: object,
) -> None:
    async with open_queue() as shared, trio.open_nursery() as nursery:
        got: list[Task | None] = []

        async def work() -> None:
            got.append(await claim(shared, "ios", wait=60.0))

        nursery.start_soon(work)
        await trio.sleep(1)
        await shared.tasks.add(AddTask(body="b", kind="web"), "me")
        await trio.sleep(1)
        assert got == []
        wanted = await shared.tasks.add(AddTask(body="b", kind="ios"), "me")
        await trio.testing.wait_all_tasks_blocked()
        assert [task and task.id for task in got] == [wanted.id]


async def test_a_worker_that_leaves_in_the_very_moment_leaves_the_task_behind(
    autojump_clock: object,
) -> None:
    """Wherever it is cancelled, no task stays with somebody who does not know of it."""
    for tenths in range(12):
        disk = Disk()
        async with open_queue(disk) as shared, trio.open_nursery() as nursery:
            task = await shared.tasks.add(AddTask(body="b"), "me")
            disk.slowness = 0.3
            got: list[Task | None] = []
            scope = trio.CancelScope()

            async def work(scope: trio.CancelScope, shared: Shared, got: list[Task | None]) -> None:
                with scope:
                    task = await claim(shared, wait=5)
                    if not scope.cancel_called:  # else nobody hears the answer
                        got.append(task)

            nursery.start_soon(work, scope, shared, got)
            await trio.sleep(tenths / 10)
            scope.cancel()
            await trio.sleep(5)
            now = await task_of(shared, task.id)
            assert (now.state, now.attempts) == (("running", 1) if got else ("pending", 0))


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_clock_that_is_set_while_nobody_looks_keeps_no_task_from_the_others(
    autojump_clock: object, jump: float
) -> None:
    database, clock = InlineDatabase(SHARED_TABLES), Clock()
    async with open_queue(database, clock) as shared:
        await shared.tasks.add(AddTask(body="b"), "me")
        assert await claim(shared) is not None
    clock.skew += jump
    async with open_queue(database, clock) as shared:
        await trio.sleep(LEASE + 0.1)
        assert await claim(shared) is not None


async def test_a_task_whose_worker_is_silent_goes_to_another_and_the_first_is_told(
    autojump_clock: object,
) -> None:
    async with open_queue() as shared:
        await shared.tasks.add(AddTask(body="b"), "me")
        first = await claim(shared)
        assert first is not None
        await trio.sleep(LEASE + 1)
        second = await claim(shared)
        assert second is not None
        assert (second.id, second.attempts) == (first.id, 2)
        assert second.error == "kai: w was not heard of in time"
        for late in (
            shared.tasks.finish(FinishTask(id=first.id, attempt=1, result="late")),
            shared.tasks.extend(ExtendTask(id=first.id, attempt=1)),
            shared.tasks.fail(FailTask(id=first.id, attempt=1)),
        ):
            with pytest.raises(Conflict, match="is not yours any more"):
                await late
        done = await shared.tasks.finish(FinishTask(id=first.id, attempt=2, result="r"))
        assert (done.state, done.result, done.error) == ("done", "r", None)


async def test_who_lost_the_answer_may_say_again_that_it_is_done(autojump_clock: object) -> None:
    async with open_queue() as shared:
        task = await shared.tasks.add(AddTask(body="b"), "me")
        await claim(shared)
        said = FinishTask(id=task.id, attempt=1, result="r")
        assert await shared.tasks.finish(said) == await shared.tasks.finish(said)
        with pytest.raises(Conflict):
            await shared.tasks.finish(FinishTask(id=task.id, attempt=1, result="another"))


async def test_work_that_nobody_does_stays_and_work_that_is_done_goes_in_time(
    autojump_clock: object,
) -> None:
    async with open_queue() as shared:
        waiting = await shared.tasks.add(AddTask(body="b", ttl=100), "me")
        done = await shared.tasks.add(AddTask(body="b", ttl=100), "me")
        await shared.tasks.cancel(CancelTask(id=done.id))
        await trio.sleep(8 * 86_400)
        assert [task.id for task in (await shared.tasks.list(ListTasks())).tasks] == [waiting.id]
        rows = await shared.context.read(
            lambda entries: entries.connection.execute("SELECT count(*) FROM tasks").fetchone()
        )
        assert rows == (1,)


async def test_a_task_deleted_by_hand_is_in_no_ones_way(autojump_clock: object) -> None:
    async with open_queue() as shared:
        tasks = [await shared.tasks.add(AddTask(body="b"), "me") for _ in range(4)]
        await claim(shared)
        await shared.context.delete(DeleteContext(key=f"task:{tasks[0].id}"))
        await shared.context.delete(DeleteContext(key=f"task:{tasks[1].id}"))
        await shared.context.set(f"task:{tasks[2].id}", "scribble", by="somebody")
        with pytest.raises(NotFound):
            await shared.tasks.finish(FinishTask(id=tasks[0].id, attempt=1))
        got = await claim(shared)
        assert got is not None
        assert got.id == tasks[3].id
        assert [task.id for task in (await shared.tasks.list(ListTasks())).tasks] == [tasks[3].id]
        await trio.sleep(LEASE + 1)


async def test_a_task_written_by_hand_is_in_no_queue(autojump_clock: object) -> None:
    async with open_queue() as shared:
        task = await shared.tasks.add(AddTask(body="b"), "me")
        text = (await shared.context.get(f"task:{task.id}")).value.replace(task.id, "mine")
        await shared.context.set("task:mine", text, by="somebody")
        with pytest.raises(NotFound, match="in no queue"):
            await shared.tasks.cancel(CancelTask(id="mine"))


async def test_lists_come_in_pages_however_long_the_texts_are(autojump_clock: object) -> None:
    async with open_queue() as shared:
        body = "\N{SNOWMAN}" * 131_072
        ids = [(await shared.tasks.add(AddTask(body=body), "me")).id for _ in range(230)]
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await shared.tasks.list(ListTasks(after=after))
            assert len(encode(page)) < 1 << 20
            assert all(len(task.body) == 2000 for task in page.tasks)
            found += [task.id for task in page.tasks]
            after = page.next
        assert found == ids
        with pytest.raises(BadRequest, match="no id of a task"):
            await shared.tasks.list(ListTasks(after="x"))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AddTask, {"body": "b" * 131_073}),
        (AddTask, {"body": "b", "max_attempts": 0}),
        (AddTask, {"body": "b", "ttl": -5}),
        (AddTask, {"body": "b", "kind": "k" * 65}),
        (ClaimTask, {"lease": 0}),
        (ClaimTask, {"lease": "abc"}),
        (ClaimTask, {"wait": -1}),
        (FinishTask, {"id": "i", "attempt": 0}),
        (ListTasks, {"state": "lost"}),
    ],
)
def test_requests_out_of_bounds_are_refused(kind: type[object], fields: dict[str, object]) -> None:
    with pytest.raises(LoopsyError):
        decode(encode(fields), kind)
