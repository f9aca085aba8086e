"""Context: small values under keys, that all machines and agents share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

import msgspec
import trio

from loopsy_core.client import ContextEntry
from loopsy_core.errors import BadRequest, LoopsyError, NotFound
from loopsy_core.wire import ListContext
from loopsy_mcp.desk import telling
from loopsy_mcp.tool import Group, MachineName, MostText, Said, Seconds, Tool

if TYPE_CHECKING:
    from loopsy_core.wire import ContextInfo
    from loopsy_mcp.desk import Desk, Place
    from loopsy_mcp.tool import Json, Tell

__all__ = ["BroadcastContext", "ContextDelete", "ContextGet", "ContextList", "ContextSet"]

MOST_TEXT: Final = 20_000
"""Characters of a value that one call returns unless it is told otherwise."""

Key: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Value: TypeAlias = Annotated[str, msgspec.Meta(max_length=1 << 20)]
Ttl: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400, description="Seconds")]
Revision: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class ContextSet(Tool, frozen=True, kw_only=True):
    """Set a key to a text (up to 1 MiB). It lies on one machine; agents elsewhere read it by that
    machine's name as `peer`. With `if_revision` only if the key has that revision (0: is not
    there), so that of two agents one wins.
    """

    tool: ClassVar[str] = "loopsy_context_set"
    group: ClassVar[Group] = "context"

    key: Key
    value: Value
    ttl: Ttl | None = None
    if_revision: Revision | None = None
    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Set it."""
        place = await desk.reach(self.peer)
        info = await place.client.context.set(
            self.key, self.value, ttl=self.ttl, if_revision=self.if_revision
        )
        return Said(f"{info.key} is set, revision {info.revision}", _data(info, place))


class ContextGet(Tool, frozen=True, kw_only=True):
    """Get a key's value from a machine. With `wait`, and `newer_than` (a revision, 0 for none yet),
    it waits for a newer one. `offset` reads on in a long value.
    """

    tool: ClassVar[str] = "loopsy_context_get"
    group: ClassVar[Group] = "context"
    reads_only: ClassVar[bool] = True

    key: Key
    peer: MachineName | None = None
    wait: Seconds = 0
    newer_than: Revision = 0
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_chars: MostText = MOST_TEXT

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Get it, or wait for it."""
        place = await desk.reach(self.peer)
        entry: ContextEntry | None = None
        if self.wait:
            with trio.move_on_after(self.wait):
                async with telling(tell, self.wait, f"waiting for {self.key[:60]}"):
                    entry = await self._next(place)
        else:
            entry = await place.client.context.get(self.key)
        if entry is None:
            new = f" newer than revision {self.newer_than}" if self.newer_than else ""
            raise NotFound(f"there is no value{new} under {self.key!r} on {place.name}")
        value = entry.value[self.offset : self.offset + self.max_chars]
        following = self.offset + len(value)
        more = len(entry.value) - following
        data = _data(entry.info, place) | {"value": value}
        if more <= 0:
            return Said(value, data)
        text = f"{value}\n[{more} characters follow: offset={following}]"
        return Said(text, data | {"next_offset": following})

    async def _next(self, place: Place) -> ContextEntry | None:
        async with place.client.context.watch(self.key) as changes:
            async for change in changes:
                if not isinstance(change, ContextEntry) or change.key != self.key:
                    continue
                if change.info.revision > self.newer_than:
                    return change
        return None


class ContextList(Tool, frozen=True, kw_only=True):
    """List keys that begin with `prefix`, without values. Messages (inbox:, outbox:) and tasks
    (task:) lie there too, but have tools of their own.
    """

    tool: ClassVar[str] = "loopsy_context_list"
    group: ClassVar[Group] = "context"
    reads_only: ClassVar[bool] = True

    prefix: Annotated[str, msgspec.Meta(max_length=512)] = ""
    after: Annotated[str, msgspec.Meta(max_length=512, description="`next` of a former call")] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """List one page of them."""
        place = await desk.reach(self.peer)
        page = await place.client.ask(
            ListContext(prefix=self.prefix, after=self.after, limit=self.limit)
        )
        lines = [
            f"{info.key}  ({info.size} bytes, revision {info.revision}, by {info.updated_by})"
            for info in page.entries
        ]
        if page.next is not None:
            lines.append(f"[more follow: after={page.next}]")
        entries: Json = [_data(info, place) for info in page.entries]
        nothing = f"no key on {place.name} begins with {self.prefix!r}"
        return Said("\n".join(lines) or nothing, {"entries": entries, "next": page.next})


class ContextDelete(Tool, frozen=True, kw_only=True):
    """Delete a key; `if_revision` as in loopsy_context_set."""

    tool: ClassVar[str] = "loopsy_context_delete"
    group: ClassVar[Group] = "context"

    key: Key
    if_revision: Revision | None = None
    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Delete it; one that is not there is no error."""
        place = await desk.reach(self.peer)
        info = await place.client.context.delete(self.key, if_revision=self.if_revision)
        if info is None:
            return Said(f"there was no key {self.key!r}", {"key": self.key, "deleted": False})
        return Said(f"{info.key} is deleted", {"key": info.key, "deleted": True})


class BroadcastContext(Tool, frozen=True, kw_only=True):
    """Set a key on every machine that is online, this one too; tells of each whether it has it."""

    tool: ClassVar[str] = "loopsy_broadcast_context"
    group: ClassVar[Group] = "context"

    key: Key
    value: Value
    ttl: Ttl | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Set it everywhere at once."""
        places = await desk.reach_all()
        problems: dict[str, str | None] = {}

        async def put(place: Place) -> None:
            try:
                await place.client.context.set(self.key, self.value, ttl=self.ttl)
            except BadRequest:
                raise  # it is wrong everywhere
            except LoopsyError as error:
                problems[place.name] = error.message
            else:
                problems[place.name] = None

        async with trio.open_nursery() as nursery:
            for place in places:
                nursery.start_soon(put, place)
        lines = [f"{name}: {problem or 'has it'}" for name, problem in sorted(problems.items())]
        results: Json = [
            {"machine": name, "ok": problem is None, "problem": problem}
            for name, problem in sorted(problems.items())
        ]
        return Said("\n".join(lines), {"key": self.key, "machines": results})


def _data(info: ContextInfo, place: Place) -> dict[str, Json]:
    return {"machine": place.name, **msgspec.to_builtins(info)}
