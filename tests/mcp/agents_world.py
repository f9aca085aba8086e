"""An agent as the SDK makes one: a client that speaks with `loopsy mcp serve` over pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mcp_types as types
import trio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from loopsy_core.wire import JobInfo, ListJobs
from tests.core.node.machines_world import open_machine, pair, reached

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

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


class Line:
    """An agent that writes its lines by itself."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.errors = b""
        """What the server wrote to standard error."""
        self._rest = b""
        self.id = 0

    async def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line + b"\n")

    async def hear(self) -> dict[str, object]:
        """Return the next line, a message; none when the server has left."""
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            received = await self.process.stdout.receive_some()
            if not received:
                assert not self._rest
                return {}
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        message: dict[str, object] = json.loads(line)
        return message

    async def hear_the_end(self) -> None:
        """Hear what is left until the server leaves; all of it are messages."""
        while await self.hear():
            pass
        await self.process.wait()

    async def begin(self, method: str, **params: object) -> None:
        """Ask, and do not wait for the answer."""
        self.id += 1
        message = {"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}
        await self.say(json.dumps(message).encode())

    async def begin_call(self, tool: str, **arguments: object) -> None:
        """Call `loopsy_<tool>`, and do not wait for the answer."""
        await self.begin("tools/call", name=f"loopsy_{tool}", arguments=arguments)

    async def ask(self, method: str, **params: object) -> dict[str, object]:
        """Ask, and return the answer, which is the next line."""
        await self.begin(method, **params)
        answer = await self.hear()
        assert answer["id"] == self.id, answer
        return answer

    async def call(self, tool: str, **arguments: object) -> str:
        """Call a tool, and return its answer as it stands on the wire."""
        answer = await self.ask("tools/call", name=f"loopsy_{tool}", arguments=arguments)
        return json.dumps(answer)

    async def read_errors(self) -> None:
        """Keep what the server writes to standard error."""
        assert self.process.stderr is not None
        async for piece in self.process.stderr:
            self.errors += piece

    async def leave(self) -> None:
        """Close the server's standard input."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()


@asynccontextmanager
async def open_line(home: Home) -> AsyncGenerator[Line]:
    """Start our server as an agent does that speaks by itself, and shake hands."""
    server = server_of(home)
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [server.command, *server.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
            env=server.env,
        )
        process: trio.Process = await nursery.start(start)
        line = Line(process)
        nursery.start_soon(line.read_errors)
        client = {"name": "by hand", "version": "1"}
        await line.ask(
            "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client
        )
        await line.say(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')
        yield line
        await line.leave()
        await line.hear_the_end()
    assert b"Traceback" not in line.errors, line.errors


@asynccontextmanager
async def open_two_machines(root: Path) -> AsyncGenerator[tuple[Machine, Machine]]:
    """Run the machines `desk` and `kai`, which are paired and reach each other."""
    async with open_machine(root, "desk") as desk, open_machine(root, "kai") as kai:
        await pair(kai, desk)
        with trio.fail_after(PATIENCE):
            await desk.peer(reached)
            await kai.peer(reached)
        yield desk, kai


async def wait_jobs(machine: Machine, holds: Callable[[list[JobInfo]], bool]) -> None:
    """Wait until the commands that run there are as wanted."""
    while True:
        jobs = (await machine.client.ask(ListJobs())).jobs
        if holds([job for job in jobs if job.ended_at is None]):
            return
        await trio.sleep(0.02)
