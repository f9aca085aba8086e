"""Request bodies of any size in Quart, which by itself takes in all as fast as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers.request import TrioBody, TrioRequest

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable
    from quart.wrappers import Request

__all__ = ["PacedConnection", "PacedRequest"]


class _PacedBody(TrioBody):
    """A body whose next piece is received when somebody asks for it."""

    def __init__(self, expected_length: int | None, most: int | None) -> None:
        super().__init__(expected_length, most)
        self.wanted = trio.Event()

    async def __anext__(self) -> bytes:
        self.wanted.set()
        return await super().__anext__()

    def append(self, data: bytes) -> None:
        if data:
            self.wanted = trio.Event()
        super().append(data)


class PacedRequest(TrioRequest):
    """A request whose body is iterated over, and never awaited: nothing would ask for it."""

    body_class = cast("type[TrioBody]", _PacedBody)


class PacedConnection(TrioASGIHTTPConnection):
    """Receives as `_PacedBody` wishes, and then waits for the client to leave."""

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        """Take in the body; cancel whoever answers when the client is gone."""
        body = cast("_PacedBody", request.body)
        more = True
        while more:
            await body.wanted.wait()
            message = await receive()
            if message["type"] != "http.request":
                break
            body.append(message["body"])
            more = message["more_body"]
        else:
            body.set_complete()
            await receive()
        nursery.cancel_scope.cancel()
