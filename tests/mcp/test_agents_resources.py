"""What agents can look at and be told of, and the prompts they are offered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import mcp_types as types
import pytest
import trio
from mcp.client import Client
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from tests.core.node.machines_world import open_machine
from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines, server_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mcp.agents_world import Agent


async def read(agent: Agent, uri: str) -> str:
    (content,) = (await agent.session.read_resource(uri)).contents
    text: str = content.text
    return text


async def test_machines_state_and_context_are_resources(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await desk.client.context.set("build:ios/1 é", "ok")
            listed = (await agent.session.list_resources()).resources
            assert [resource.name for resource in listed] == [
                "peers",
                "status",
                "context",
                "build:ios/1 é",
            ]
            assert await read(agent, listed[3].uri) == "ok"
            assert json.loads(await read(agent, "loopsy://peers"))["peers"][0]["name"] == "kai"
            assert json.loads(await read(agent, "loopsy://status"))["name"] == "desk"
            assert len(json.loads(await read(agent, "loopsy://context"))["entries"]) == 1
            templates = (await agent.session.list_resource_templates()).resource_templates
            assert templates[0].uri_template == "loopsy://context/{key}"
            for wrong in ("loopsy://nothing", "loopsy://context/none", "loopsy://context/", "x"):
                with pytest.raises(MCPError, match="there are loopsy://peers"):
                    await read(agent, wrong)


async def test_hundreds_of_keys_are_listed_page_by_page(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            for number in range(250):
                await desk.client.context.set(f"k{number:03}", "v")
            names, cursor = [], None
            while True:
                params = types.PaginatedRequestParams(cursor=cursor)
                page = await agent.session.list_resources(params=params)
                names += [resource.name for resource in page.resources]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert names[3:] == [f"k{number:03}" for number in range(250)]


@pytest.mark.filterwarnings("ignore:resources/:mcp.MCPDeprecationWarning")
async def test_whoever_subscribes_is_told_of_changes(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await desk.client.context.set("old", "1")
            for uri in ("loopsy://peers", "loopsy://context/old", "loopsy://context"):
                await agent.session.subscribe_resource(uri)
            await agent.told_of("loopsy://peers")  # what it was meanwhile is not known
            await desk.client.context.set("old", "2")
            await agent.told_of("loopsy://context/old")
            await agent.told_of("loopsy://context")
            await desk.client.context.set("new", "3")
            await agent.told_of("list")
            await agent.session.unsubscribe_resource("loopsy://context/old")
            agent.changes.clear()
            await desk.client.context.delete("old")
            await agent.told_of("list")
            assert "loopsy://context/old" not in agent.changes
            await agent.session.subscribe_resource("loopsy://status")
            await desk.client.start(["sleep", "1000"])
            await agent.told_of("loopsy://peers")
            await agent.told_of("loopsy://status")


async def test_agents_of_the_newer_protocol_listen_to_changes(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "desk") as desk,
            Client(stdio_client(server_of(desk.home)), mode="auto") as client,
            client.listen(
                resources_list_changed=True, resource_subscriptions=["loopsy://context/k"]
            ) as events,
        ):
            kinds = set()
            while len(kinds) < 2:
                await desk.client.context.set("k", "v")
                with trio.move_on_after(0.5):
                    async for event in events:
                        kinds.add(type(event).__name__)
                        break
                await desk.client.context.delete("k")
            assert kinds == {"ResourceUpdated", "ResourcesListChanged"}


async def test_prompts_explain_and_coordinate(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            prompts = (await agent.session.list_prompts()).prompts
            assert [prompt.name for prompt in prompts] == ["loopsy_help", "loopsy_coordinate"]
            (help_text,) = (await agent.session.get_prompt("loopsy_help")).messages
            assert "loopsy_session_wait" in help_text.content.text
            plan = await agent.session.get_prompt("loopsy_coordinate", {"goal": "ship {it}"})
            assert "ship {it}" in plan.messages[0].content.text
            for name, arguments in (("loopsy_coordinate", {}), ("nothing", {})):
                with pytest.raises(MCPError, match=r"goal|there are"):
                    await agent.session.get_prompt(name, arguments)
