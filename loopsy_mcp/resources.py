"""What agents can look at without calling a tool: machines, this machine's state, the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

import mcp_types as types
import msgspec
from mcp.shared.exceptions import MCPError

from loopsy_core.errors import LoopsyError
from loopsy_core.wire import ListContext

from .tools.context import ContextGet, ContextList
from .tools.peers import ListPeers, PeerStatus

if TYPE_CHECKING:
    from loopsy_core.wire import ContextInfo

    from .desk import Desk

__all__ = ["CONTEXT", "PEERS", "STATUS", "context_uri", "list_resources", "read", "templates"]

PEERS: Final = "loopsy://peers"
STATUS: Final = "loopsy://status"
CONTEXT: Final = "loopsy://context"

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_FIXED: Final = (
    types.Resource(uri=PEERS, name="peers", description="The user's machines", mime_type=_JSON),
    types.Resource(uri=STATUS, name="status", description="This machine's node", mime_type=_JSON),
    types.Resource(uri=CONTEXT, name="context", description="Shared keys", mime_type=_JSON),
)
_PAGE: Final = 200


def context_uri(key: str) -> str:
    """Return the URI of a key's value."""
    return f"{CONTEXT}/{quote(key, safe='')}"


def templates() -> types.ListResourceTemplatesResult:
    """Return how the URI of a key is made."""
    return types.ListResourceTemplatesResult(
        resource_templates=[
            types.ResourceTemplate(
                uri_template=f"{CONTEXT}/{{key}}",
                name="context value",
                description="The value of a key, percent-encoded here",
            )
        ]
    )


async def list_resources(desk: Desk, cursor: str | None) -> types.ListResourcesResult:
    """Return one page: what is always there, and the keys of the context.

    Without a node there is only what is always there, rather than an error at every start.
    """
    if not desk.policy.allows(ContextList):
        return types.ListResourcesResult(resources=list(_FIXED))
    try:
        page = await desk.client.ask(ListContext(after=cursor or "", limit=_PAGE))
    except LoopsyError:
        return types.ListResourcesResult(resources=list(_FIXED))
    return types.ListResourcesResult(
        resources=[*(() if cursor else _FIXED), *map(_resource, page.entries)],
        next_cursor=page.next,
    )


async def read(desk: Desk, uri: str) -> types.ReadResourceResult:
    """Return what stands at `uri`; raises `MCPError` with words that a model can act on."""
    try:
        text, kind = await _read(desk, uri)
    except LoopsyError as error:
        raise MCPError(types.INTERNAL_ERROR, error.message) from None
    return types.ReadResourceResult(
        contents=[types.TextResourceContents(uri=uri, mime_type=kind, text=text)]
    )


async def _read(desk: Desk, uri: str) -> tuple[str, str]:
    if uri == PEERS:
        desk.policy.check(ListPeers)
        return _json((await ListPeers().run(desk, _tell_nobody)).data), _JSON
    if uri == STATUS:
        desk.policy.check(PeerStatus)
        return _json(await desk.client.status()), _JSON
    if uri == CONTEXT:
        desk.policy.check(ContextList)
        page = await desk.client.ask(ListContext())
        return _json(page), _JSON
    if uri.startswith(f"{CONTEXT}/") and (key := unquote(uri.removeprefix(f"{CONTEXT}/"))):
        desk.policy.check(ContextGet)
        entry = await desk.client.context.get(key)
        if entry is not None:
            return entry.value, _TEXT
    known = f"{PEERS}, {STATUS}, {CONTEXT} and {CONTEXT}/<key>"
    raise MCPError(types.INVALID_PARAMS, f"there is nothing at {uri}; there are {known}")


async def _tell_nobody(done: float, total: float | None, message: str) -> None:
    """Say nothing: who reads a resource gets no progress."""


def _resource(info: ContextInfo) -> types.Resource:
    return types.Resource(uri=context_uri(info.key), name=info.key, mime_type=_TEXT, size=info.size)


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode()
