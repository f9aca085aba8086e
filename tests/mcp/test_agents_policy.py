"""What the section `mcp` of the settings keeps from agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from mcp.shared.exceptions import MCPError

from tests.core.node.machines_world import home_of
from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.home import Home


def settle(home: Home, section: str) -> int:
    """Append a section to the settings; return the number of its last line."""
    text = home.config.read_text(encoding="utf-8") + section
    home.config.write_text(text, encoding="utf-8")
    return len(text.splitlines())


async def test_denied_tools_are_neither_listed_nor_run_and_the_line_is_named(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        home = home_of(tmp_path, "desk")
        line = settle(home, "mcp:\n  deny:\n    - loopsy_session_write\n    - context\n")
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            names = {tool.name for tool in (await agent.session.list_tools()).tools}
            assert {"loopsy_execute", "loopsy_session_read"} <= names
            assert not names & {"loopsy_session_write", "loopsy_context_get"}
            refused = await agent.complaint("context_get", key="k")
            assert f"{home.config}, line {line}" in refused
            refused = await agent.complaint("session_write", session="s", keys="x")
            assert f"line {line - 1} (mcp.deny: loopsy_session_write)" in refused
            uris = {resource.uri for resource in (await agent.session.list_resources()).resources}
            assert uris == {"loopsy://peers", "loopsy://status", "loopsy://context"}
            for uri in ("loopsy://context", "loopsy://context/k"):
                with pytest.raises(MCPError, match=f"line {line} "):
                    await agent.session.read_resource(uri)
            assert (await agent.data("execute", command="true"))["exit_code"] == 0


async def test_agents_work_only_on_machines_that_they_may(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        home = home_of(tmp_path, "desk")
        line = settle(home, "mcp: {peers: [tower]}\n")
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            assert (await agent.data("list_peers"))["peers"] == []
            for tool, arguments in (
                ("execute", {"command": "true", "peer": "kai"}),
                ("session_list", {"peer": "kai"}),
                ("send_message", {"to": "kai", "body": "x"}),
                ("task_add", {"body": "x", "peer": "kai"}),
            ):
                refused = await agent.complaint(tool, **arguments)
                assert f"{home.config}, line {line}" in refused
            done = await agent.data("broadcast_context", key="k", value="v")
            assert [one["machine"] for one in done["machines"]] == ["desk"]


async def test_a_change_of_the_settings_counts_at_once(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await agent.data("execute", command="true")
            settle(desk.home, "mcp: {deny: [execute]}\n")
            assert "mcp.deny: execute" in await agent.complaint("execute", command="true")
            settle(desk.home, "\n  broken: [\n")
            assert "config.yaml line" in await agent.complaint("execute", command="true")
