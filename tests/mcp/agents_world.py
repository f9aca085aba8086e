"""An agent as the SDK makes one: a client that speaks with `loopsy mcp serve` over pipes."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mcp_types as types
import trio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.core.node.machines_world import open_machine, pair, reached

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp_types import CallToolResult

    from loopsy_core.home import Home
    from tests.core.node.machines_world import Machine

PATIENCE: Final = 60.0
"""Seconds for any test here, on a machine that has much else to do."""
ROOT: Final = Path(__file__).parents[2]


class Agent:
    """An AI agent, played from a script."""

    def __init__(self) -> None:
        self.session: ClientSession
        self.progress: list[str | None] = []
        self.changes: list[str] = []
        """URIs of resources that changed; "list" for the list of them."""
        self._news = trio.Event()

    async def call(self, tool: str, **arguments: object) -> CallToolResult:
        """Call `loopsy_<tool>`."""
        return await self.session.call_tool(
            f"loopsy_{tool}", arguments, progress_callback=self._note_progress
        )

    async def data(self, tool: str, **arguments: object) -> dict[str, object]:
        """Call a tool that works, and return its result as data."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text_of(result)
        assert result.structured_content is not None
        return result.structured_content

    async def complaint(self, tool: str, **arguments: object) -> str:
        """Call a tool that fails, and return what the model reads."""
        result = await self.call(tool, **arguments)
        assert result.is_error, text_of(result)
        return text_of(result)

    async def told_of(self, uri: str) -> None:
        """Wait until it was told that `uri` has changed."""
        while uri not in self.changes:
            await self._news.wait()

    async def note(self, message: object) -> None:
        """Note what the server says unasked."""
        if isinstance(message, types.ResourceUpdatedNotification):
            self.changes.append(str(message.params.uri))
        elif isinstance(message, types.ResourceListChangedNotification):
            self.changes.append("list")
        self._news.set()
        self._news = trio.Event()

    async def _note_progress(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        self.progress.append(message)


def text_of(result: CallToolResult) -> str:
    """Return what the model reads."""
    (content,) = result.content
    assert content.type == "text"
    return content.text


@asynccontextmanager
async def open_agent(home: Home) -> AsyncGenerator[Agent]:
    """Start an agent on the machine whose home that is; its server is a process."""
    agent = Agent()
    async with (
        stdio_client(server_of(home)) as streams,
        ClientSession(*streams, message_handler=agent.note) as agent.session,
    ):
        await agent.session.initialize()
        yield agent


def server_of(home: Home) -> StdioServerParameters:
    """Return how an agent on that machine starts our server."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "loopsy_cli", "mcp", "serve"],
        env={"LOOPSY_HOME": str(home.root), "PYTHONPATH": str(ROOT), **inherited},
    )


@asynccontextmanager
async def open_two_machines(root: Path) -> AsyncGenerator[tuple[Machine, Machine]]:
    """Run the machines `desk` and `kai`, which are paired and reach each other."""
    async with open_machine(root, "desk") as desk, open_machine(root, "kai") as kai:
        await pair(kai, desk)
        with trio.fail_after(PATIENCE):
            await desk.peer(reached)
            await kai.peer(reached)
        yield desk, kai
