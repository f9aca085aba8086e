"""One HTTP connection: each request is let in by its head, and answered by the app."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import open_client_over
from loopsy_core.kit import contained
from loopsy_core.kit.asgi import answer_by
from loopsy_core.kit.http import Http, HttpLimits, Unreadable
from loopsy_core.links import memory_channels

from .guard import Refusal
from .problems import BAD_REQUEST, INTERNAL, error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.client import Client
    from loopsy_core.kit.http import Head

    from .door import HttpDoor

__all__ = ["serve_http"]

LIMITS: Final = HttpLimits(patience=15.0, stall=30.0, goodbye=2.0)
_JSON: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]

_log = logging.getLogger("loopsy.http")


async def serve_http(stream: trio.SocketStream, door: HttpDoor, scope: trio.CancelScope) -> None:
    """Answer one client's requests until it leaves, or `scope`, which is its own, is cancelled."""
    gone = trio.Event()
    # The client that asks the node lives outside of the scope and of all that goes wrong in it,
    # so that the node hears what was dropped; a connection that is just lost is waited for.
    async with trio.open_nursery() as nursery:
        with scope:
            async with stream:  # which is closed before the node has heard it all
                open_client = partial(nursery.start, _keep_client, door, gone)
                await _serve(Http(stream, LIMITS), door, scope, open_client)
        gone.set()


async def _serve(
    http: Http,
    door: HttpDoor,
    scope: trio.CancelScope,
    open_client: Callable[[], Awaitable[Client]],
) -> None:
    try:
        try:
            client: Client | None = None
            while (head := await _next(http, door, scope)) is not None:
                client = client or await open_client()
                await _answer(http, head, door, client)
        except Unreadable as error:
            code = BAD_REQUEST if error.status < 500 else INTERNAL
            await _refuse(http, Refusal(error.status, code, error.sentence))
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # gone, as clients go
    except trio.TooSlowError:
        pass  # it took nothing of an answer for so long that we gave up


async def _next(http: Http, door: HttpDoor, scope: trio.CancelScope) -> Head | None:
    """Return the next request that may in; the first that may not ends the connection."""
    with door.waiting(scope):
        head = await http.next_head()
    if head is None:
        return None
    refusal = door.guard.check(head)
    if refusal is None:
        return head
    door.note_refused(head.method, refusal.message)
    await _refuse(http, refusal)
    return None


async def _answer(http: Http, head: Head, door: HttpDoor, client: Client) -> None:
    app = await door.app()
    problem: Exception | None = Unreadable(500, "the node failed at this; its log says more")
    with contained(_log, f"{head.method} {head.path[:100]!r}"):
        problem = await answer_by(app, http, head, client=None, state={"client": client})
    if problem is not None:
        raise problem


async def _refuse(http: Http, refusal: Refusal) -> None:
    body = error_body(refusal.code, refusal.message)
    await http.refuse(refusal.status, [*_JSON, *refusal.headers], body)


async def _keep_client(
    door: HttpDoor, gone: trio.Event, *, task_status: trio.TaskStatus[Client]
) -> None:
    """Ask the node as a program on its socket does, until `gone`."""
    near, far = memory_channels()

    async def serve() -> None:
        with contained(_log, "the conversation behind an HTTP connection"):
            try:
                await door.serve(far)
            finally:
                await far.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)  # which ends with the channel
        async with open_client_over(near) as client:
            task_status.started(client)
            await gone.wait()
