"""Messages and tasks as a script has them: against a node in memory, with its real database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import Conflict, NotFound
from tests.world import PATIENCE, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.client import Client

LOCAL = "this machine's user"


@asynccontextmanager
async def open_local(root: Path) -> AsyncGenerator[Client]:
    with trio.fail_after(PATIENCE):
        async with open_world(root) as world, world.local(await world.node()) as client:
            yield client


async def test_a_block_that_ends_well_has_done_its_task(tmp_path: Path) -> None:
    async with open_local(tmp_path) as client:
        first = await client.tasks.add("one", kind="k")
        second = await client.tasks.add("two")
        async with client.tasks.claim("k", worker="w") as work:
            assert work is not None
            await work.progress("half")
            assert (await client.tasks.list("running"))[0].progress == "half"
            await work.finish("result")
        async with client.tasks.claim() as work:
            assert work is not None
            assert work.task.id == second.id
        async with client.tasks.claim(wait=0.0) as work:
            assert work is None
        done = await client.tasks.wait(first.id)
        assert (done.state, done.result, done.worker) == ("done", "result", f"{LOCAL}: w")
        assert (await client.tasks.wait(second.id)).result == ""


@pytest.mark.parametrize("error", [ValueError("it is broken"), Conflict("of something else")])
async def test_a_block_that_fails_gives_its_task_back(tmp_path: Path, error: Exception) -> None:
    async with open_local(tmp_path) as client:
        task = await client.tasks.add("b", max_attempts=2)
        for state in ("pending", "failed"):
            with pytest.raises(type(error), match=str(error)):
                async with client.tasks.claim():
                    raise error
            [now] = await client.tasks.list()
            assert (now.state, now.error) == (state, f"{type(error).__name__}: {error}")
        assert (await client.tasks.wait(task.id)).attempts == 2


async def test_a_worker_that_is_stopped_gives_its_task_back_at_once(tmp_path: Path) -> None:
    async with open_local(tmp_path) as client:
        await client.tasks.add("b")
        with trio.CancelScope() as scope:
            async with client.tasks.claim(lease=3600.0):
                scope.cancel()
                await trio.sleep_forever()
        [task] = await client.tasks.list()
        assert (task.state, task.error) == ("pending", "the worker was stopped")


async def test_work_on_a_task_that_was_taken_back_is_ended(tmp_path: Path) -> None:
    async with open_local(tmp_path) as client:
        task = await client.tasks.add("b")

        async def work() -> None:
            async with client.tasks.claim(lease=1.0):
                await client.tasks.cancel(task.id)
                await trio.sleep_forever()

        with pytest.raises(Conflict, match="it is cancelled"):
            await work()
        assert (await client.tasks.wait(task.id)).state == "cancelled"


async def test_a_task_is_kept_for_as_long_as_it_is_worked_on(tmp_path: Path) -> None:
    async with open_local(tmp_path) as client:
        await client.tasks.add("b")
        async with client.tasks.claim(lease=1.0) as work, client.tasks.watch() as tasks:
            assert work is not None
            began = trio.current_time()
            async for task in tasks:
                assert task.attempts == 1
                if trio.current_time() > began + 1.5:
                    break


async def test_nobody_waits_for_a_task_that_is_not_there(tmp_path: Path) -> None:
    async with open_local(tmp_path) as client:
        with pytest.raises(NotFound, match="there is no task"):
            await client.tasks.wait("00000001-aaaa")


async def test_an_inbox_is_read_in_the_order_of_coming_and_answered(tmp_path: Path) -> None:
    async with open_local(tmp_path) as client:
        assert await client.messages.inbox() == []
        sent = [await client.messages.send("local", str(number)) for number in range(30)]
        inbox = await client.messages.inbox()
        assert [each.id for each in inbox] == [each.id for each in sent]
        answer = await client.messages.reply(inbox[3], "yes")
        async with client.messages.watch() as watched:
            async for envelope in watched:
                if envelope.reply_to == sent[3].id:
                    break
        assert envelope.id == answer.id
        await client.messages.ack(answer.id)
        outbox = {each.id: each.state for each in await client.messages.outbox()}
        assert (outbox[answer.id], outbox[sent[3].id]) == ("read", "delivered")
        assert await client.messages.broadcast("to nobody") == {}
