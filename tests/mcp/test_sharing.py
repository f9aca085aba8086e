"""Agents share values, send each other messages, and hand over work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.core.node.machines_world import away, open_machine, pair, reached
from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines

if TYPE_CHECKING:
    from pathlib import Path


async def test_values_are_shared_between_machines(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai), open_agent(desk.home) as agent:
            first = await agent.data("context_set", key="a", value="1", peer="kai", if_revision=0)
            late = await agent.complaint(
                "context_set", key="a", value="2", peer="kai", if_revision=0
            )
            assert str(first["revision"]) in late
            assert (await agent.data("context_get", key="a", peer="kai"))["value"] == "1"
            assert "no value" in await agent.complaint("context_get", key="a")
            listed = await agent.data("context_list", peer="kai")
            assert [entry["key"] for entry in listed["entries"]] == ["a"]
            assert (await agent.data("context_delete", key="a", peer="kai"))["deleted"]
            assert not (await agent.data("context_delete", key="a", peer="kai"))["deleted"]

            async with trio.open_nursery() as nursery:

                async def wait() -> None:
                    found = await agent.data("context_get", key="late", peer="kai", wait=30)
                    assert found["value"] == "here"

                nursery.start_soon(wait)
                await kai.client.context.set("latecomer", "not this one")
                await kai.client.context.set("late", "here")


async def test_a_long_value_is_read_page_by_page(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            value = "".join(map(str, range(9000)))
            await agent.data("context_set", key="long", value=value)
            read, offset = "", 0
            while offset is not None:
                page = await agent.data("context_get", key="long", offset=offset, max_chars=9000)
                read += page["value"]
                offset = page.get("next_offset")
            assert read == value


async def test_a_broadcast_tells_of_each_machine_whether_it_has_it(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai), open_agent(desk.home) as agent:
            done = await agent.data("broadcast_context", key="k", value="v")
            assert [(one["machine"], one["ok"]) for one in done["machines"]] == [
                ("desk", True),
                ("kai", True),
            ]
            entry = await kai.client.context.get("k")
            assert entry is not None
            assert entry.value == "v"


async def test_messages_are_waited_for_acknowledged_and_answered(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_two_machines(tmp_path) as (desk, kai),
            open_agent(desk.home) as asker,
            open_agent(kai.home) as answerer,
        ):

            async def answer() -> None:
                inbox = await answerer.data("check_inbox", wait=30)
                (message,) = inbox["messages"]
                assert (message["from"], message["type"]) == ("desk", "request")
                await answerer.data(
                    "send_message",
                    to=message["from"],
                    body=f"{message['body']} is 42",
                    type="response",
                    reply_to=message["id"],
                )
                await answerer.data("ack_message", id=message["id"])
                assert (await answerer.data("check_inbox"))["messages"] == []

            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                sent = await asker.data("send_message", to="kai", body="it", type="request")
                replies = await asker.data("check_inbox", wait=30, reply_to=sent["id"])
                assert [reply["body"] for reply in replies["messages"]] == ["it is 42"]
                state = await asker.data("check_ack", id=sent["id"], wait=30)
                assert state["state"] == "read"


async def test_a_message_waits_for_a_machine_that_is_away(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "desk") as desk, open_agent(desk.home) as agent:
            async with open_machine(tmp_path, "kai") as kai:
                await pair(kai, desk)
                await desk.peer(reached)
            await desk.peer(away)
            sent = await agent.data("send_message", to="kai", body="later")
            assert sent["state"] == "waiting"
            still = await agent.data("check_ack", id=sent["id"], wait=0.2)
            assert still["state"] == "waiting"
            everybody = await agent.call("send_message", to="all", body="later")
            assert "kai (offline, it waits)" in str(everybody.content)
            late = await agent.data("send_message", to="kai", body="too late", ttl=0.1)
            over = await agent.data("check_ack", id=late["id"], wait=30)
            assert over["state"] == "expired"
            told = await agent.data("broadcast_context", key="k", value="v")
            assert [(one["machine"], one["ok"]) for one in told["machines"]] == [
                ("desk", True),
                ("kai", False),
            ]
            for tool, arguments in (
                ("session_start", {"command": "true"}),
                ("task_add", {"body": "x"}),
                ("context_get", {"key": "k"}),
                ("transfer_file", {"direction": "pull", "paths": ["x"], "dest": "y"}),
            ):
                assert "kai is offline" in await agent.complaint(tool, peer="kai", **arguments)
            assert "kai is offline" in await agent.complaint("execute", command="true", peer="kai")


async def test_work_is_handed_over_and_its_result_waited_for(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_two_machines(tmp_path) as (desk, kai),
            open_agent(desk.home) as giver,
            open_agent(kai.home) as worker,
        ):

            async def work() -> None:
                claimed = await worker.data("task_claim", wait=30, kind="test")
                task = claimed["task"]
                assert task["body"] == "run the tests"
                await worker.data("task_complete", id=task["id"], state="progress", result="half")
                await worker.data("task_complete", id=task["id"], result="all green")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(work)
                done = await giver.data(
                    "task_add", body="run the tests", kind="test", peer="kai", wait=30
                )
            assert (done["state"], done["result"], done["worker"]) == (
                "done",
                "all green",
                "this machine's user: agent@kai",
            )
            assert (await worker.data("task_claim"))["task"] is None
            gone = await worker.complaint("task_complete", id=done["id"])
            assert "has not taken" in gone


async def test_a_task_that_failed_or_lost_its_agent_is_tried_again(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            added = await agent.data("task_add", body="hard", max_attempts=3)
            first = await agent.data("task_claim")
            await agent.data(
                "task_complete", id=first["task"]["id"], state="failed", result="no disk"
            )
            again = await agent.data("task_list", id=added["id"])
            assert (again["state"], again["error"]) == ("pending", "no disk")
            async with open_agent(desk.home) as dying:
                second = await dying.data("task_claim")
                assert second["task"]["attempts"] == 2
            third = await agent.data("task_claim", wait=30)
            assert third["task"]["attempts"] == 3
            await agent.data("task_complete", id=added["id"], state="failed", again=False)
            over = await agent.data("task_list", id=added["id"], wait=30)
            assert over["state"] == "failed"
            (listed,) = (await agent.data("task_list", state="failed"))["tasks"]
            assert listed["id"] == added["id"]
