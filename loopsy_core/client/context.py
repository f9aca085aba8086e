"""Context seen from a program: values under keys, read, set and watched on a node."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import attrs

from loopsy_core.errors import NotFound, ProtocolViolation
from loopsy_core.wire import (
    MAX_VALUE,
    ContextCurrent,
    ContextDeleted,
    ContextInfo,
    ContextSet,
    DeleteContext,
    GetContext,
    ListContext,
    SetContext,
    WatchContext,
    decode_context_item,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from loopsy_core.links import Call

    from .client import Client

__all__ = ["ContextChange", "ContextEntry", "SharedContext"]


@attrs.frozen
class ContextEntry:
    """A key and its value, as they are now."""

    info: ContextInfo
    value: str

    @property
    def key(self) -> str:
        """The key."""
        return self.info.key


ContextChange: TypeAlias = ContextEntry | ContextDeleted | ContextCurrent
"""An entry that is there or was set; a key that is gone; or the word that all has been told."""


class SharedContext:
    """The context of one node; `client.context` is it."""

    def __init__(self, client: Client) -> None:
        """Ask by `client`."""
        self._client = client

    async def set(
        self, key: str, value: str, *, ttl: float | None = None, if_revision: int | None = None
    ) -> ContextInfo:
        """Set `key` (1 to 512 characters) to `value` (up to 1 MiB of UTF-8).

        It is on disk there when this returns, and survives whatever happens to the node. `ttl` is
        in seconds. With `if_revision` it is set only if the key has that revision (0: if it is not
        there); otherwise `Conflict` is raised, whose `details["revision"]` says which it has.
        """
        request = SetContext(key=key, ttl=ttl, if_revision=if_revision)
        return await self._client.ask(request, body=value.encode())

    async def get(self, key: str) -> ContextEntry | None:
        """Return what stands under `key`, None if nothing does."""
        try:
            value, info = await self._client.fetch(GetContext(key=key), MAX_VALUE, "a value")
        except NotFound:
            return None
        return ContextEntry(info, value.decode())

    async def delete(self, key: str, *, if_revision: int | None = None) -> ContextInfo | None:
        """Delete `key` and return what it was, None if nothing was; `Conflict` as for `set`."""
        try:
            return await self._client.ask(DeleteContext(key=key, if_revision=if_revision))
        except NotFound:
            return None

    async def list(self, prefix: str = "") -> list[ContextInfo]:
        """Return all entries whose keys begin with `prefix`, without values, in order."""
        found: list[ContextInfo] = []
        after: str | None = ""
        while after is not None:
            page = await self._client.ask(ListContext(prefix=prefix, after=after))
            found += page.entries
            after = page.next
        return found

    @asynccontextmanager
    async def watch(self, prefix: str = "") -> AsyncGenerator[AsyncIterator[ContextChange]]:
        """Watch the keys under `prefix`: iterate over what there is, then over what changes.

        First comes each entry, then `ContextCurrent`, then every change; nothing between is
        missed, though several changes of one key may come as the last of them. Raises `Busy` when
        this program falls more than a thousand changes behind: watch anew.
        """
        async with self._client.open_call(WatchContext(prefix=prefix)) as call:
            yield _Changes(call)


class _Changes:
    """Iterates over what a watcher is told."""

    def __init__(self, call: Call) -> None:
        self._call = call
        # Kept here, so that a cancelled wait loses no part of a value.
        self._info: ContextInfo | None = None
        self._value = bytearray()

    def __aiter__(self) -> _Changes:
        return self

    async def __anext__(self) -> ContextChange:
        while True:
            if self._info is not None and len(self._value) == self._info.size:
                entry = ContextEntry(self._info, self._value.decode())
                self._info, self._value = None, bytearray()
                return entry
            piece = await self._call.receive()
            if piece is None:
                raise StopAsyncIteration
            if isinstance(piece, bytes):
                self._value += piece
                if self._info is None or len(self._value) > self._info.size:
                    raise ProtocolViolation("a value is longer than it was announced to be")
                continue
            item = decode_context_item(piece.value)
            if not isinstance(item, ContextSet):
                return item
            self._info = item.info
