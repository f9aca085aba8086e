"""An ASGI app (version 3) that answers the requests of one HTTP connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, TypeAlias

import trio

from .http import Unreadable

if TYPE_CHECKING:
    from .http import Head, Http

__all__ = ["App", "answer_by"]

_Message: TypeAlias = MutableMapping[str, object]
App: TypeAlias = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]


async def answer_by(
    app: App,
    http: Http,
    head: Head,
    *,
    client: tuple[str, int] | None,
    body: bytes | None = None,
    state: dict[str, object] | None = None,
) -> Exception | None:
    """Have `app` answer the request that `head` began, as much of it as it likes to answer.

    With `body`, that is the request's whole body, and the app runs to its end whether the client
    waits or not. Without, the app is given the body as it comes and is cancelled when the client
    hangs up. Either way it is cancelled when the client takes too long to read the answer.
    `state` is for the app.

    Returns what `Http` raised if the client was at fault, and raises what the app raises; `Http`
    knows how much was answered by then.
    """
    if body is None:
        # Here, and not when the app asks for the body: it may be answering by then.
        await http.ask_for_body()
    answer = _Answer(http, head, body)
    with answer.scope:
        await app(_scope(head, client, state or {}), answer.receive, answer.send)
    return answer.problem


class _Answer:
    """One request as the app sees it."""

    def __init__(self, http: Http, head: Head, body: bytes | None) -> None:
        self.scope = trio.CancelScope()
        self.problem: Exception | None = None
        self._http = http
        self._head = head
        self._whole = body is not None
        self._body = body
        self._read_all = False

    async def receive(self) -> _Message:
        if self._read_all:
            if self._whole:
                await trio.sleep_forever()
            await self._http.wait_left()
            return {"type": "http.disconnect"}
        if self._whole:
            piece, self._read_all = self._body, True
        else:
            try:
                piece = await self._http.next_piece()
            except (Unreadable, trio.BrokenResourceError, trio.TooSlowError) as error:
                await self._end(error)
            self._read_all = piece is None
        return {"type": "http.request", "body": piece or b"", "more_body": not self._read_all}

    async def send(self, message: _Message) -> None:
        try:
            match message:
                case {
                    "type": "http.response.start",
                    "status": int(status),
                    "headers": list(headers),
                }:
                    await self._http.start(status, headers)
                case {"type": "http.response.body"}:
                    body = message.get("body")
                    await self._http.send(body if isinstance(body, bytes) else b"")
                    if not message.get("more_body"):
                        await self._http.finish()
                case _:
                    raise TypeError(f"the app said {message['type']!r}, which is not understood")
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            await self._end(error)

    async def _end(self, problem: Exception) -> None:
        """Cancel the app: its client is no client any more."""
        self.problem = problem
        self.scope.cancel()
        await trio.sleep_forever()


def _scope(head: Head, client: tuple[str, int] | None, state: dict[str, object]) -> _Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "method": head.method,
        "scheme": "http",
        "path": head.path,
        "raw_path": head.raw_path,
        "query_string": head.query,
        "root_path": "",
        "headers": head.headers,
        "client": client,
        "server": None,
        "state": state,
        "extensions": {},
    }
