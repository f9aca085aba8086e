"""The MCP server on standard input and output: one for each agent, as long as that runs."""

from __future__ import annotations

import gc
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core import __version__
from loopsy_core.errors import LoopsyError, NoDaemon, NotFound

# Half of the time that a start takes goes into these, and much of that into collecting garbage
# among objects that stay for good (measured: 100 of 620 ms).
gc.disable()
import mcp_types as types  # noqa: E402
from mcp.server.lowlevel import NotificationOptions, Server  # noqa: E402
from mcp.server.stdio import stdio_server  # noqa: E402

from .advice import INSTRUCTIONS  # noqa: E402
from .desk import Desk, open_desk  # noqa: E402
from .tool import Said, description_of, read_arguments, schema_of  # noqa: E402
from .tools import TOOLS  # noqa: E402

gc.freeze()
gc.enable()

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server import ServerRequestContext
    from mcp_types import (
        CallToolRequestParams,
        CallToolResult,
        ListToolsResult,
        PaginatedRequestParams,
    )

    from loopsy_core.home import Home

    Context = ServerRequestContext[Desk]

__all__ = ["make_server", "serve"]

_log: Final = logging.getLogger("loopsy.mcp")


def serve(home: Home) -> None:
    """Serve the agent at the other end of standard input and output until it leaves."""
    trio.run(_serve, home)


async def _serve(home: Home) -> None:
    server = make_server(home)
    options = server.create_initialization_options(NotificationOptions(resources_changed=True))
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, options)


def make_server(home: Home) -> Server[Desk]:
    """Return a server for the node of `home`."""

    @asynccontextmanager
    async def lifespan(_: Server[Desk]) -> AsyncGenerator[Desk]:
        async with open_desk(home) as desk:
            yield desk

    return Server(
        "loopsy",
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
    policy = context.lifespan_context.policy
    return types.ListToolsResult(
        tools=[
            types.Tool(
                name=name,
                description=description_of(kind),
                input_schema=schema_of(kind),
                annotations=types.ToolAnnotations(read_only_hint=True) if kind.reads_only else None,
            )
            for name, kind in TOOLS.items()
            if policy.allows(kind)
        ]
    )


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    """Run a tool; whatever goes wrong is a result that the model can read."""
    try:
        kind = TOOLS.get(params.name)
        if kind is None:
            raise NotFound(f"there is no tool {params.name!r}; there are: {', '.join(TOOLS)}")
        desk = context.lifespan_context
        desk.policy.check(kind)
        call = read_arguments(kind, params.arguments)
        return _result(await call.run(desk, partial(_tell, context)))
    except Exception as error:
        return _failed(error)


async def _tell(context: Context, done: float, total: float | None, message: str) -> None:
    await context.session.report_progress(done, total, message)


def _result(said: Said) -> CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(text=said.text)], structured_content=dict(said.data)
    )


def _failed(error: Exception) -> CallToolResult:
    while isinstance(error, ExceptionGroup):  # of tasks that failed together, the first tells
        error = error.exceptions[0]
    if isinstance(error, NoDaemon):
        text = f"{error.message} (in a shell on this machine); then call this again"
    elif isinstance(error, LoopsyError):
        text = error.message
    else:
        _log.exception("a tool failed", exc_info=error)
        text = f"this is a bug in Loopsy ({type(error).__name__}: {error}); other tools may work"
    code = error.code if isinstance(error, LoopsyError) else LoopsyError.code
    return types.CallToolResult(
        content=[types.TextContent(text=text)],
        structured_content={"error": {"code": code, "message": text}},
        is_error=True,
    )
