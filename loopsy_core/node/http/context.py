"""Context by HTTP: values under keys, here or on another machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from loopsy_core.client import ContextEntry
from loopsy_core.errors import NotFound
from loopsy_core.wire import ContextCurrent, ContextDeleted
from loopsy_core.wire.operations.context import MAX_KEY, MAX_VALUE, Prefix, Revision, Ttl

from .camel import in_ms, shown, twin
from .route import JSON, Call, NoBody, OnPeer, Route
from .streaming import EVENTS, Shown, event_stream, json_list, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from loopsy_core.client import ContextChange

    from .route import Stream

__all__ = ["ROUTES"]


class Value(msgspec.Struct, frozen=True, rename="camel"):
    """What a key is to be set to; `ttl` is in seconds."""

    value: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)]
    ttl: Ttl | None = None
    if_revision: Revision | None = None
    """Set it only if it has this revision now; 0 if it is not there."""


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """A key and its value."""

    key: str
    value: str
    revision: int
    """Goes up with each change of any key."""
    size: int
    """Bytes of the value in UTF-8."""
    from_node_id: str
    """Who set it: a machine's or a phone's name, "http", or this machine's user."""
    updated_at: int
    expires_at: int | None


class EntrySet(Entry, frozen=True, rename="camel", tag_field="type", tag="set"):
    """A key was there when watching began, or was set."""


class Entries(msgspec.Struct, frozen=True):
    """Entries in the order of their keys."""

    entries: list[Entry]


class Deleted(msgspec.Struct, frozen=True):
    """A key is gone."""

    success: bool
    key: str


class WhichKeys(OnPeer, frozen=True, rename="camel"):
    """Which entries are listed, and whether with their values."""

    prefix: Prefix = ""


class WhichRevision(OnPeer, frozen=True, rename="camel"):
    """Delete it only if it has this revision now."""

    if_revision: Revision | None = None


async def put(call: Call[Value, OnPeer]) -> Entry:
    """Set a key."""
    body = call.body
    info = await call.client.context.set(
        call.name, body.value, ttl=body.ttl, if_revision=body.if_revision
    )
    return _entry(ContextEntry(info, body.value))


async def get(call: Call[NoBody, OnPeer]) -> Entry:
    """Read a key."""
    found = await call.client.context.get(call.name)
    if found is None:
        raise NotFound(f"there is no key {call.name[:MAX_KEY]!r}")
    return _entry(found)


async def delete(call: Call[NoBody, WhichRevision]) -> Deleted:
    """Delete a key."""
    found = await call.client.context.delete(call.name, if_revision=call.query.if_revision)
    if found is None:
        raise NotFound(f"there is no key {call.name[:MAX_KEY]!r}")
    return Deleted(success=True, key=call.name)


async def entries(call: Call[NoBody, WhichKeys]) -> Stream:
    """List the keys that begin with a prefix, with their values."""
    return await stream(JSON, json_list("entries", _read(call)))


async def watch(call: Call[NoBody, WhichKeys]) -> Stream:
    """Stream the keys that begin with a prefix with their values, and then each change."""
    return await event_stream(_watch(call), "context")


async def _read(call: Call[NoBody, WhichKeys]) -> AsyncGenerator[Entry]:
    """Read entries as they come: together they may be more than memory holds."""
    async with call.client.context.watch(call.query.prefix) as changes:
        while isinstance(change := await anext(changes), ContextEntry):
            yield _entry(change)


@asynccontextmanager
async def _watch(call: Call[NoBody, WhichKeys]) -> AsyncGenerator[AsyncIterator[object]]:
    async with call.client.context.watch(call.query.prefix) as changes:
        yield Shown(changes, _shown)


def _shown(change: ContextChange) -> msgspec.Struct:
    if not isinstance(change, ContextEntry):
        return shown(change)
    return EntrySet(*msgspec.structs.astuple(_entry(change)))


def _entry(entry: ContextEntry) -> Entry:
    info = entry.info
    return Entry(
        key=info.key,
        value=entry.value,
        revision=info.revision,
        size=info.size,
        from_node_id=info.updated_by,
        updated_at=in_ms(info.updated_at),
        expires_at=None if info.expires_at is None else in_ms(info.expires_at),
    )


CHANGE: Final = EntrySet | twin(ContextDeleted) | twin(ContextCurrent)
"""What `watch` streams."""

ROUTES: Final = (
    Route("GET", "/context", entries, "context", NoBody, WhichKeys, Entries),
    Route("PUT", "/context/{key}", put, "context", Value, OnPeer, Entry),
    Route("GET", "/context/{key}", get, "context", NoBody, OnPeer, Entry),
    Route("DELETE", "/context/{key}", delete, "context", NoBody, WhichRevision, Deleted),
    Route("GET", "/events/context", watch, "context", NoBody, WhichKeys, CHANGE, EVENTS),
)
