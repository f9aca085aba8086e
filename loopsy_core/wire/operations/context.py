"""What is asked about context: small values under keys, shared between machines and agents.

A value is text of at most 1 MiB in UTF-8; it travels as Data in the call's stream, for a message
may be no longer than that in all.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from ..codec import decode_as
from ..operation import Operation
from .node import Nothing

__all__ = [
    "MAX_CONTEXT_TTL",
    "MAX_KEY",
    "MAX_VALUE",
    "ContextCurrent",
    "ContextDeleted",
    "ContextInfo",
    "ContextItem",
    "ContextList",
    "ContextSet",
    "DeleteContext",
    "GetContext",
    "ListContext",
    "SetContext",
    "WatchContext",
    "decode_context_item",
]

MAX_KEY: Final = 512
"""Characters."""
MAX_VALUE: Final = 1 << 20
"""Bytes in UTF-8."""
MAX_CONTEXT_TTL: Final = 366 * 86_400.0
"""Seconds."""
MAX_PAGE: Final = 500

Key: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
Prefix: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_KEY)]
Revision: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ttl: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=MAX_CONTEXT_TTL)]


class ContextInfo(msgspec.Struct, frozen=True):
    """An entry without its value."""

    key: str
    revision: int
    """Goes up with each change of any key."""
    size: int
    """Bytes of the value."""
    updated_at: float
    updated_by: str
    """The name of whoever set it."""
    expires_at: float | None = None


class SetContext(Operation[ContextInfo], frozen=True, kw_only=True):
    """Set a key to the value that the asker sends as Data; on disk when it is answered.

    With `if_revision` only if the key has that revision now, 0 for a key that is not there; a
    Fault `conflict` says which it has. `ttl` is in seconds; without it the entry stays.
    """

    op = "context.set"
    grant = "context"
    reply = ContextInfo
    limited_as = "context"
    about = "key"

    key: Key
    ttl: Ttl | None = None
    if_revision: Revision | None = None


class GetContext(Operation[ContextInfo], frozen=True, kw_only=True):
    """Ask for a key's value, which comes as Data before the answer."""

    op = "context.get"
    grant = "context"
    reply = ContextInfo
    limited_as = "context"
    about = "key"

    key: Key


class DeleteContext(Operation[ContextInfo], frozen=True, kw_only=True):
    """Delete a key, if it has that revision; answers what there was."""

    op = "context.delete"
    grant = "context"
    reply = ContextInfo
    limited_as = "context"
    about = "key"

    key: Key
    if_revision: Revision | None = None


class ContextList(msgspec.Struct, frozen=True):
    """One page of entries, in the order of their keys."""

    entries: list[ContextInfo]
    next: str | None
    """Where the next page begins (`after`), None when this is the last."""


class ListContext(Operation[ContextList], frozen=True, kw_only=True):
    """List the keys that begin with `prefix`, those behind `after`, a page at a time."""

    op = "context.list"
    grant = "context"
    reply = ContextList
    limited_as = "context"
    about = "prefix"

    prefix: Prefix = ""
    after: Prefix = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE


class ContextSet(msgspec.Struct, frozen=True, tag_field="type", tag="set"):
    """An entry as it is now; its value follows as `info.size` bytes of Data."""

    info: ContextInfo


class ContextDeleted(msgspec.Struct, frozen=True, tag_field="type", tag="deleted"):
    """An entry is gone."""

    key: str
    revision: int
    why: Literal["deleted", "expired"]


class ContextCurrent(msgspec.Struct, frozen=True, tag_field="type", tag="current"):
    """All that there was has been told; from here on come changes."""

    revision: int


ContextItem: TypeAlias = ContextSet | ContextDeleted | ContextCurrent

_items: msgspec.msgpack.Decoder[ContextItem] = msgspec.msgpack.Decoder(ContextItem)


def decode_context_item(data: bytes) -> ContextItem:
    """Return what a watcher is told, or raise `BadRequest`."""
    return decode_as(data, _items)


class WatchContext(Operation[Nothing], frozen=True, kw_only=True):
    """Stream what there is under `prefix`, then each change, until dropped.

    Items: `ContextSet` (with Data behind it) for each entry, `ContextCurrent`, then `ContextSet`
    and `ContextDeleted` as it changes. Nothing is missed between; several changes of one key may
    come as the last of them. Who falls too far behind gets a Fault `busy` and watches anew.
    """

    op = "context.watch"
    grant = "context"
    reply = Nothing
    limited_as = "context"
    about = "prefix"

    prefix: Prefix = ""
