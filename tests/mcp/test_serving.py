"""A server and its agent, over real pipes: what it says of itself, with a node and without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio
from mcp.client import Client
from mcp.client.stdio import stdio_client

from loopsy_core.home import AGENT_TOOLS
from loopsy_mcp.tools import TOOLS
from tests.core.node.machines_world import home_of, open_machine
from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines, server_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

MOST_TOKENS = 5000
NAMES = (
    *("list_peers", "peer_status", "execute", "session_start", "session_list", "session_read"),
    *("session_write", "session_wait", "session_stop", "session_remove"),
    *("transfer_file", "list_remote_files"),
    *("context_set", "context_get", "context_list", "context_delete", "broadcast_context"),
    *("send_message", "check_inbox", "check_ack", "ack_message"),
    *("task_add", "task_claim", "task_complete", "task_list"),
)


async def test_an_agent_is_told_of_all_tools_and_machines(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            listed = await agent.session.list_tools()
            assert [tool.name for tool in listed.tools] == [f"loopsy_{name}" for name in NAMES]
            peers = await agent.data("list_peers")
            assert peers["here"] == "desk"
            assert [(peer["name"], peer["online"]) for peer in peers["peers"]] == [("kai", True)]
            status = await agent.data("peer_status", peer="KAI")
            assert (status["name"], status["online"]) == ("kai", True)


async def test_the_list_of_tools_is_worth_its_tokens(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_agent(home_of(tmp_path, "desk")) as agent:
            listed = await agent.session.list_tools()
            sent = [tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools]
            assert len(json.dumps(sent)) / 4 < MOST_TOKENS
            for tool in listed.tools:
                assert tool.description
                properties = tool.input_schema["properties"]
                for bounded in properties.values():
                    assert "null" not in json.dumps(bounded)
                    if bounded.get("type") in ("integer", "number"):
                        assert {"minimum", "exclusiveMinimum"} & set(bounded)


def test_the_settings_know_the_names_of_all_tools() -> None:
    groups = {kind.group for kind in TOOLS.values()}
    names = {name.removeprefix("loopsy_") for name in TOOLS}
    assert groups | names == set(AGENT_TOOLS)


async def test_without_a_node_a_tool_says_how_to_start_one_and_works_once_it_runs(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        home = home_of(tmp_path, "desk")
        async with open_agent(home) as agent:
            assert "`loopsy start`" in await agent.complaint("list_peers")
            assert (await agent.session.list_resources()).resources
            async with open_machine(tmp_path, "desk"):
                assert (await agent.data("list_peers"))["here"] == "desk"
            assert "then call this again" in await agent.complaint("execute", command="true")
            async with open_machine(tmp_path, "desk"):
                assert (await agent.data("execute", command="true"))["exit_code"] == 0


async def test_agents_of_the_newer_protocol_are_served_too(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "desk") as desk,
            Client(stdio_client(server_of(desk.home)), mode="auto") as client,
        ):
            assert client.protocol_version >= "2026"
            done = await client.call_tool("loopsy_execute", {"command": "echo hi"})
            assert text_of(done).startswith("hi\n")


async def test_calls_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_two_machines(tmp_path) as (desk, _),
            open_agent(desk.home) as agent,
            trio.open_nursery() as nursery,
        ):
            for _ in range(20):
                nursery.start_soon(lambda: agent.data("check_inbox", wait=600))
            assert (await agent.data("execute", command="echo hi"))["stdout"] == "hi\n"
            nursery.cancel_scope.cancel()
