"""The HTTP door: listens on loopback from the start, and costs nothing more until it is used.

What HTTP needs is loaded when the first connection arrives, and what answers requests when the
first one has shown the key; both in a thread, for that takes longer than a keystroke may wait.
"""

from __future__ import annotations

import errno
import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.home import load_api_key, rotate_api_key
from loopsy_core.kit import TokenBucket, contained, one_error

from .guard import Guard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from loopsy_core.home import Home, ServerConfig
    from loopsy_core.kit.asgi import App
    from loopsy_core.links import Channel

__all__ = ["HttpDoor", "open_http"]

MAX_CONNECTIONS: Final = 256
"""At once. For one more, the one is cut that has waited longest for its next request."""
BACKLOG: Final = 128
REFUSALS: Final = 10
"""Refusals that are written down at once, and then one every so many seconds: whoever can reach
loopback can be refused as often as it likes, and shall not fill the disk with it."""
GOODBYE: Final = 0.5
"""Seconds in which requests that are being answered may get their last words."""

_log = logging.getLogger("loopsy.http")


class HttpDoor:
    """Lets scripts of this machine's user in; `open_http` makes it."""

    def __init__(
        self, home: Home, address: str, serve: Callable[[Channel], Awaitable[None]]
    ) -> None:
        """Let in who knows the key of `home` and comes to `address`."""
        self.serve = serve
        self.port: int | None = None
        """Where it listens, once it does."""
        self.problem: str | None = None
        """Why it does not."""
        self.guard: Guard
        self._home = home
        self._address = address
        self._connections: set[trio.CancelScope] = set()
        self._waiting: dict[trio.CancelScope, None] = {}  # for a request, the longest first
        self._refusals = TokenBucket(1 / REFUSALS, REFUSALS)
        self._moved = trio.lowlevel.ParkingLot()
        self._loading = trio.Lock()
        self._serve_http: Callable[..., Awaitable[None]] | None = None
        self._app: App | None = None

    def guard_port(self, port: int) -> None:
        """Let in from now on who knows the key of the home as it is now, and means `port`.

        Raises `Misconfigured` when that key cannot be used.
        """
        self.guard = Guard(load_api_key(self._home), self._address, port)
        self.port = port

    async def rotate_key(self) -> None:
        """Make a new key; whoever came with the old one is cut off."""
        await trio.to_thread.run_sync(rotate_api_key, self._home)
        if self.port is not None:
            self.guard_port(self.port)
        for scope in self._connections:
            scope.cancel()

    async def app(self) -> App:
        """Return what answers requests, loaded when it is first needed."""
        async with self._loading:
            if self._app is None:
                self._app = await trio.to_thread.run_sync(_load_app, self._home)
        return self._app

    def note_refused(self, method: str, why: str) -> None:
        """Write down that a request was refused, unless that was done too often lately."""
        if self._refusals.take(trio.current_time()):
            _log.info("refused %s: %s", method[:20], why)

    @contextmanager
    def waiting(self, scope: trio.CancelScope) -> Generator[None]:
        """Hold that the connection of `scope` waits for a request, for as long as the block."""
        self._waiting[scope] = None
        self._moved.unpark_all()
        try:
            yield
        finally:
            self._waiting.pop(scope, None)

    async def wait_answered(self) -> None:
        """Wait until no request is being answered."""
        while len(self._waiting) < len(self._connections):
            await self._moved.park()

    async def serve_one(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Whatever goes wrong goes wrong for this client only."""
        if len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
            await trio.aclose_forcefully(stream)
            return
        scope = trio.CancelScope()
        self._connections.add(scope)
        try:
            with contained(_log, "one HTTP connection failed"), one_error():
                async with stream:
                    async with self._loading:
                        if self._serve_http is None:
                            self._serve_http = await trio.to_thread.run_sync(_load_serving)
                    await self._serve_http(stream, self, scope)
        finally:
            self._connections.discard(scope)
            self._moved.unpark_all()

    def _make_room(self) -> bool:
        """Cut off whoever has waited longest; False when all are being answered."""
        for scope in self._waiting:
            scope.cancel()
            self._connections.discard(scope)
            del self._waiting[scope]
            return True
        return False


@asynccontextmanager
async def open_http(
    home: Home, config: ServerConfig, serve: Callable[[Channel], Awaitable[None]]
) -> AsyncGenerator[HttpDoor]:
    """Listen on loopback for as long as the block lasts; `serve` answers what is asked.

    Where it cannot listen there is no such door, and its `problem` says why: a node is of use
    without it. Raises `Misconfigured` when the key of `home` cannot be used.
    """
    load_api_key(home)  # before there is anything to close
    address = "127.0.0.1" if config.host == "localhost" else config.host
    door = HttpDoor(home, address, serve)
    listeners: list[trio.SocketListener] = []
    try:
        listeners = await trio.open_tcp_listeners(config.port, host=address, backlog=BACKLOG)
    except OSError as error:
        door.problem = _problem(error, address, config.port)
        _log.warning("no HTTP: %s", door.problem)
    if not listeners:
        yield door
        return
    door.guard_port(int(listeners[0].socket.getsockname()[1]))
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, door.serve_one, listeners)
            yield door
            with trio.move_on_after(GOODBYE):
                await door.wait_answered()
            nursery.cancel_scope.cancel()


def _load_serving() -> Callable[..., Awaitable[None]]:
    from .serving import serve_http

    return serve_http


def _load_app(home: Home) -> App:
    from .app import make_app

    return make_app(home)


def _problem(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {address} is taken, maybe by another node: stop that program, or set"
            " server.port to another (0 takes any that is free)"
        )
    return f"cannot listen on {address} port {port}: {error.strerror or error}"
