"""A server and its agent, over real pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_agent_is_told_of_all_tools_and_machines(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            listed = await agent.session.list_tools()
            assert "loopsy_list_peers" in {tool.name for tool in listed.tools}
            peers = await agent.data("list_peers")
            assert peers["here"] == "desk"
            assert [(peer["name"], peer["online"]) for peer in peers["peers"]] == [("kai", True)]
