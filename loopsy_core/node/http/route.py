"""What can be asked by HTTP: a route says all of it, for whoever answers and for openapi.json."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

import attrs
import msgspec

from loopsy_core.client import Client
from loopsy_core.errors import BadRequest
from loopsy_core.home import Home
from loopsy_core.wire.operation import Reference

from .problems import Family
from .reading import read_json, read_query

__all__ = ["JSON", "AnyRoute", "Call", "Incoming", "NoBody", "NoQuery", "OnPeer", "Route", "Stream"]

B = TypeVar("B")
Q = TypeVar("Q")

JSON: Final = "application/json"
LONGEST_JSON: Final = 8 << 20
"""Bytes of a body in JSON: a value of context is at most 1 MiB, which escapes make six."""
NOTHING: Final = b"{}"


class NoBody(msgspec.Struct, frozen=True):
    """A request without a body."""


class NoQuery(msgspec.Struct, frozen=True):
    """A request without a query."""


class OnPeer(msgspec.Struct, frozen=True):
    """The machine that is meant, where it is not this one: a name, an id, or its beginning."""

    peer: Reference | None = None


@attrs.frozen
class Incoming:
    """A request as it came."""

    client: Client
    home: Home
    query: bytes
    name: str
    """What stands in the path in place of `{...}`, or ""."""
    content_type: str
    body: AsyncIterator[bytes]


@attrs.frozen
class Call(Generic[B, Q]):
    """A request, read and checked."""

    incoming: Incoming
    body: B
    query: Q

    @property
    def name(self) -> str:
        """What stands in the path in place of `{...}`."""
        return self.incoming.name

    @property
    def here(self) -> Client:
        """Asks this machine's node."""
        return self.incoming.client

    @property
    def client(self) -> Client:
        """Asks the machine that is meant."""
        peer = self.query.peer if isinstance(self.query, OnPeer) else None
        return self.here if peer is None else self.here.peer(peer)


@attrs.frozen
class Stream:
    """An answer that is sent as it is made: `pieces` are bytes of `media_type`.

    `pieces` has begun already, so that closing it lets go of all that it holds.
    """

    media_type: str
    pieces: AsyncGenerator[bytes]
    headers: dict[str, str] = attrs.field(factory=dict)


Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]


class AnyRoute(Protocol):
    """A route whatever its body and query are."""

    @property
    def method(self) -> Method: ...  # noqa: D102
    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def family(self) -> Family: ...  # noqa: D102
    @property
    def summary(self) -> str: ...  # noqa: D102
    @property
    def body(self) -> type[object]: ...  # noqa: D102
    @property
    def query(self) -> type[object]: ...  # noqa: D102
    @property
    def reply(self) -> object: ...  # noqa: D102
    @property
    def media_type(self) -> str: ...  # noqa: D102
    @property
    def downloads(self) -> str | None: ...  # noqa: D102
    @property
    def uploads(self) -> tuple[str, ...]: ...  # noqa: D102

    async def answer(self, incoming: Incoming) -> object:
        """Return a reply or a `Stream`. Raises `LoopsyError`."""


@attrs.frozen
class Route(Generic[B, Q]):
    """One method on one path."""

    method: Method
    path: str
    """Below /api/v1; `{name}` stands for anything, slashes too."""
    act: Callable[[Call[B, Q]], Awaitable[object]]
    """Answers with a `reply`, or a `Stream`; its docstring says what this is for."""
    family: Family
    body: type[B]
    query: type[Q]
    reply: object
    """The type of what the answer's JSON holds; of a stream of events, of each of them."""
    media_type: str = JSON
    downloads: str | None = None
    """The media type of an answer that is no JSON, where there may be one."""
    uploads: tuple[str, ...] = ()
    """Media types of bodies that are not JSON; `act` reads those itself."""

    @property
    def summary(self) -> str:
        """What it is for, in one line."""
        return (self.act.__doc__ or "").partition("\n")[0].rstrip(".")

    async def answer(self, incoming: Incoming) -> object:
        """Read the request and act on it."""
        query = read_query(incoming.query, self.query)
        kind = incoming.content_type.partition(";")[0].strip().lower()
        data = b""
        if kind not in self.uploads:
            # Also where none is meant to come: a client is heard to leave once all was read.
            data = await read_all(incoming.body, LONGEST_JSON)
        body = read_json(NOTHING if self.body is NoBody else data or NOTHING, self.body)
        return await self.act(Call(incoming, body, query))


async def read_all(body: AsyncIterator[bytes], longest: int) -> bytes:
    """Return all of a body. Raises `BadRequest` when it is longer than `longest` bytes."""
    data = bytearray()
    async for piece in body:
        data += piece
        if len(data) > longest:
            raise BadRequest(f"the body may be {longest} bytes at most")
    return bytes(data)
