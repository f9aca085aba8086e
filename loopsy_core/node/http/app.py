"""The app that answers HTTP requests: a table of routes, and one way to answer each of them."""

from __future__ import annotations

import logging
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import msgspec
from quart import request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse as Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from loopsy_core.errors import LoopsyError, NotFound
from loopsy_core.kit import one_error
from loopsy_core.wire import Hello

from . import about, context, execute, machines, messages, tasks, terminals, transfer
from .openapi import describe
from .paced import PacedConnection, PacedRequest
from .problems import (
    BAD_REQUEST,
    INTERNAL,
    NO_SUCH_PATH,
    NO_SUCH_PEER,
    NoSuchPeer,
    code_of,
    error_body,
)
from .reading import read_path, read_query
from .route import JSON, Incoming, OnPeer, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from hypercorn.typing import ASGISendCallable
    from quart.typing import ResponseTypes

    from loopsy_core.client import Client
    from loopsy_core.home import Home
    from loopsy_core.kit.asgi import App

    from .route import AnyRoute

__all__ = ["BASE", "ROUTES", "make_app"]

BASE: Final = "/api/v1"

ROUTES: Final[tuple[AnyRoute, ...]] = (
    *about.ROUTES,
    *machines.ROUTES,
    *execute.ROUTES,
    *transfer.ROUTES,
    *context.ROUTES,
    *messages.ROUTES,
    *tasks.ROUTES,
    *terminals.ROUTES,
)

_log = logging.getLogger("loopsy.http")


class _Anything(BaseConverter):
    """The rest of a path, whatever is in it."""

    regex = r"[\s\S]*?"
    part_isolating = False


class _Streamed(Response):
    """An answer that is made while it is sent."""

    pieces: AsyncGenerator[bytes]


class _Connection(PacedConnection):
    """Lets go of what a stream holds, also when the client left before any of it was sent."""

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        if isinstance(response, _Streamed):
            async with aclosing(response.pieces):
                await super()._send_response(send, response)
        else:
            await super()._send_response(send, response)


def make_app(home: Home) -> App:
    """Return the ASGI app of a node.

    Each request's scope holds the `client` that asks the node for it; `home` is the home of
    Loopsy, which no file is ever taken from or put into.
    """
    app = QuartTrio("loopsy_node", static_folder=None)
    app.url_map.merge_slashes = False  # no redirects: they would be HTML
    app.url_map.converters["anything"] = _Anything
    app.asgi_http_class = _Connection
    app.request_class = PacedRequest
    # A body is bounded where it is read, and how slowly a client may read is for the connection
    # to say, which sees whether it reads.
    app.config.update(
        MAX_CONTENT_LENGTH=None, RESPONSE_TIMEOUT=None, PROVIDE_AUTOMATIC_OPTIONS=False
    )
    document = msgspec.json.encode(describe(ROUTES, BASE))
    for route in ROUTES:
        _add(app, route.method, route.path, partial(_answer, route, home))
    _add(app, "GET", "/openapi.json", partial(_show, document))
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, _answer_bug)
    return cast("App", app)


def _add(
    app: QuartTrio, method: str, path: str, answer: Callable[..., Awaitable[Response]]
) -> None:
    rule = path.replace("{", "<anything:").replace("}", ">")
    app.add_url_rule(f"{BASE}{rule}", f"{method} {path}", answer, methods=[method])
    # HEAD, which is added by itself, would have a stream of events run for nobody.
    for made in app.url_map.iter_rules(f"{method} {path}"):
        made.methods = {method}


async def _show(document: bytes) -> Response:
    return _json(200, document)


async def _answer(route: AnyRoute, home: Home, **_names: str) -> Response:
    client = cast("Client", request.scope["state"]["client"])
    try:
        with one_error():
            incoming = Incoming(
                client=client,
                home=home,
                query=request.query_string,
                name=_name(route.path),
                content_type=request.headers.get("Content-Type", ""),
                body=request.body,
            )
            answer = await route.answer(incoming)
    except LoopsyError as error:
        return await _answer_our_error(error, route, client)
    if isinstance(answer, Stream):
        response = _Streamed(answer.pieces, 200, answer.headers, content_type=answer.media_type)
        response.pieces = answer.pieces
        return _sealed(response)
    return _json(200, msgspec.json.encode(answer))


def _name(path: str) -> str:
    """Return what stands in the path in place of `{...}`."""
    before, brace, _ = path.partition("{")
    if not brace:
        return ""
    return read_path(request.scope["raw_path"]).removeprefix(f"{BASE}{before}")


async def _answer_our_error(error: LoopsyError, route: AnyRoute, client: Client) -> Response:
    code = code_of(error, route.family)
    if isinstance(error, NotFound) and await _is_unknown(error, route, client):
        code = NO_SUCH_PEER
    if error.status >= 500:
        _log.warning("%s %s: %s: %s", route.method, route.path, error.code, error.message)
    return _json(error.status, error_body(code, error.message, error.details))


async def _is_unknown(error: NotFound, route: AnyRoute, client: Client) -> bool:
    """Whether it is the machine that was not found, of all that the request names."""
    if isinstance(error, NoSuchPeer):
        return True
    if not issubclass(route.query, OnPeer):
        return False  # what it says of a machine means nothing, and was not looked at
    peer = read_query(request.query_string, OnPeer).peer
    if peer is not None:
        try:
            await client.peer(peer).ask(Hello())
        except NotFound:
            return True
        except LoopsyError:
            pass  # it is known, and was lost just now
    return False


async def _answer_http_error(error: HTTPException) -> Response:
    """Turn what the framework refuses (404, 405) into our JSON."""
    status = error.code or 500
    code = {404: NO_SUCH_PATH, 500: INTERNAL}.get(status, BAD_REQUEST)
    name = error.name.lower() if error.name else "error"
    response = _json(status, error_body(code, f"{request.method} of this path: {name}"))
    for header, value in error.get_headers():
        if header.lower() == "allow":
            response.headers["Allow"] = value
    return response


async def _answer_bug(error: Exception) -> Response:
    _log.error("%s failed", request.method, exc_info=error)
    return _json(500, error_body(INTERNAL, "the node failed at this; its log says more"))


def _json(status: int, body: bytes) -> Response:
    return _sealed(Response(body, status, content_type=JSON))


def _sealed(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
