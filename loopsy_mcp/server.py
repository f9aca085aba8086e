"""The MCP server on standard input and output: one for each agent, as long as that runs."""

from __future__ import annotations

import logging
import signal
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

from loopsy_core import __version__
from loopsy_core.errors import LoopsyError, NoDaemon, NotFound

from .sdk import load_sdk

load_sdk()  # before whatever imports it

import mcp_types as types  # noqa: E402
from mcp.server.lowlevel import NotificationOptions, Server  # noqa: E402
from mcp.server.stdio import stdio_server  # noqa: E402

from . import prompts, resources  # noqa: E402
from .advice import INSTRUCTIONS  # noqa: E402
from .changes import Changes  # noqa: E402
from .desk import Desk, open_desk  # noqa: E402
from .hearing import Heard  # noqa: E402
from .tool import Said, description_of, read_arguments, schema_of  # noqa: E402
from .tools import TOOLS  # noqa: E402

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

    Context: TypeAlias = "ServerRequestContext[Served]"

__all__ = ["make_server", "serve"]

GOODBYE: Final = 2.0
"""Seconds in which what runs for an agent is taken back when a signal ends us; it takes 0.01."""

_log: Final = logging.getLogger("loopsy.mcp")


@attrs.frozen
class Served:
    """What the handlers of one connection share."""

    desk: Desk
    changes: Changes


def serve(home: Home) -> None:
    """Serve the agent at the other end of standard input and output until it leaves.

    SIGTERM, SIGINT and SIGHUP end the process as they do by default, once what the agent left
    running has been taken back.
    """
    trio.run(_serve, home)


async def _serve(home: Home) -> None:
    server = make_server(home)
    options = server.create_initialization_options(NotificationOptions(resources_changed=True))
    async with stdio_server() as (reading, writing), trio.open_nursery() as nursery:
        heard, over = Heard(reading, writing), trio.Event()
        nursery.start_soon(_end_when_told, heard, over)
        await server.run(heard, writing, options)
        over.set()
        if not heard.hung_up:
            nursery.cancel_scope.cancel()


async def _end_when_told(heard: Heard, over: trio.Event) -> None:
    """End by a signal as everybody does, but take back first what runs for the agent.

    Leaving our blocks would not do: the thread that reads standard input cannot be interrupted.
    """
    hung_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # nohup wants us to go on
    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hung_up else [])]
    with trio.open_signal_receiver(*numbers) as signals:
        number = await anext(aiter(signals))
        heard.hang_up()
        with trio.move_on_after(GOODBYE):
            await over.wait()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def make_server(home: Home) -> Server[Served]:
    """Return a server for the node of `home`."""

    @asynccontextmanager
    async def lifespan(_: Server[Served]) -> AsyncGenerator[Served]:
        async with open_desk(home) as desk:
            yield Served(desk, Changes(desk))

    return Server(
        "loopsy",
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
        on_subscribe_resource=_subscribe,
        on_unsubscribe_resource=_unsubscribe,
        on_subscriptions_listen=_listen,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
    )


async def _list_tools(context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
    policy = context.lifespan_context.desk.policy
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
        desk = context.lifespan_context.desk
        desk.policy.check(kind)
        call = read_arguments(kind, params.arguments)
        return _result(await call.run(desk, partial(_tell, context)))
    except Exception as error:
        return _failed(error)


async def _list_resources(
    context: Context, params: PaginatedRequestParams | None
) -> types.ListResourcesResult:
    desk = context.lifespan_context.desk
    return await resources.list_resources(desk, None if params is None else params.cursor)


async def _list_templates(
    _: Context, __: PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    await trio.lowlevel.checkpoint()
    return resources.templates()


async def _read_resource(
    context: Context, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    return await resources.read(context.lifespan_context.desk, str(params.uri))


async def _subscribe(context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
    context.lifespan_context.changes.subscribe(str(params.uri), context.session)
    await trio.lowlevel.checkpoint()
    return types.EmptyResult()


async def _unsubscribe(
    context: Context, params: types.UnsubscribeRequestParams
) -> types.EmptyResult:
    context.lifespan_context.changes.unsubscribe(str(params.uri))
    await trio.lowlevel.checkpoint()
    return types.EmptyResult()


async def _listen(
    context: Context, params: types.SubscriptionsListenRequestParams
) -> types.SubscriptionsListenResult:
    changes = context.lifespan_context.changes
    changes.watch()
    return await changes.listen(context, params)


async def _list_prompts(_: Context, __: PaginatedRequestParams | None) -> types.ListPromptsResult:
    await trio.lowlevel.checkpoint()
    return prompts.list_prompts()


async def _get_prompt(_: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    await trio.lowlevel.checkpoint()
    return prompts.get_prompt(params.name, params.arguments)


async def _tell(context: Context, done: float, total: float | None, message: str) -> None:
    await context.session.report_progress(done, total, message)


def _result(said: Said) -> CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(text=said.text)],
        structured_content=dict(said.data),
        is_error=said.failed,
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
