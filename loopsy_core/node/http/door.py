"""The HTTP door: listens on loopback from the start, and costs nothing more until it is used.

What HTTP needs is loaded when the first connection arrives, and what answers requests when the
first one has shown the key; both in a thread, for that takes longer than a keystroke may wait.
"""

from __future__ import annotations

import errno
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.home import load_api_key, rotate_api_key
from loopsy_core.kit import contained

from .guard import Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from loopsy_core.home import Home
    from loopsy_core.kit.asgi import App
    from loopsy_core.links import Channel

__all__ = ["HttpDoor"]

MAX_CONNECTIONS: Final = 256
"""At once. For one more, the one is cut that has waited longest for its next request."""
BACKLOG: Final = 128

_log = logging.getLogger("loopsy.http")


class HttpDoor:
    """Lets scripts of this machine's user in, by HTTP."""

    def __init__(self, home: Home, serve: Callable[[Channel], Awaitable[None]]) -> None:
        """Let in who knows the key of `home`; `serve` answers what they ask."""
        self.serve = serve
        self.port: int | None = None
        """Where it listens, once it does."""
        self.problem: str | None = None
        """Why it does not."""
        self.guard: Guard
        self._home = home
        self._address = ""
        self._connections: set[trio.CancelScope] = set()
        self._waiting: dict[trio.CancelScope, None] = {}  # for a request, the longest first
        self._loading = trio.Lock()
        self._serve_http: Callable[..., Awaitable[None]] | None = None
        self._app: App | None = None

    async def listen(self, host: str, port: int) -> trio.SocketListener | None:
        """Begin to listen on `host`, a name or address of loopback; port 0 takes any free one.

        Where it cannot, the node lives on without this door, and `problem` says why. Raises
        `Misconfigured` when the key cannot be used.
        """
        key = load_api_key(self._home)
        self._address = "127.0.0.1" if host == "localhost" else host
        try:
            [listener] = await trio.open_tcp_listeners(port, host=self._address, backlog=BACKLOG)
        except OSError as error:
            self.problem = _problem(error, self._address, port)
            _log.warning("no HTTP: %s", self.problem)
            return None
        self.port = int(listener.socket.getsockname()[1])
        self.guard = Guard(key, self._address, self.port)
        return listener

    async def keep(self, listener: trio.SocketListener) -> None:
        """Serve whoever comes, for ever."""
        async with trio.open_nursery() as clients:
            await trio.serve_listeners(self._serve_one, [listener], handler_nursery=clients)

    async def rotate_key(self) -> None:
        """Make a new key; whoever came with the old one is cut off."""
        await trio.to_thread.run_sync(rotate_api_key, self._home)
        if self.port is not None:
            self.guard = Guard(load_api_key(self._home), self._address, self.port)
        for scope in self._connections:
            scope.cancel()

    async def app(self) -> App:
        """Return what answers requests, loaded when it is first needed."""
        async with self._loading:
            if self._app is None:
                self._app = await trio.to_thread.run_sync(_load_app)
        return self._app

    @contextmanager
    def waiting(self, scope: trio.CancelScope) -> Generator[None]:
        """Hold that the connection of `scope` waits for a request, for as long as the block."""
        self._waiting[scope] = None
        try:
            yield
        finally:
            self._waiting.pop(scope, None)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Whatever goes wrong goes wrong for this client only."""
        scope = trio.CancelScope()
        async with stream:
            if len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
                return
            self._connections.add(scope)
            try:
                with scope, contained(_log, "one HTTP connection failed"):
                    async with self._loading:
                        if self._serve_http is None:
                            self._serve_http = await trio.to_thread.run_sync(_load_serving)
                    await self._serve_http(stream, self, scope)
            finally:
                self._connections.discard(scope)

    def _make_room(self) -> bool:
        """Cut off whoever has waited longest; False when all are being answered."""
        for scope in self._waiting:
            scope.cancel()
            self._connections.discard(scope)
            del self._waiting[scope]
            return True
        return False


def _load_serving() -> Callable[..., Awaitable[None]]:
    from .serving import serve_http

    return serve_http


def _load_app() -> App:
    from .app import make_app

    return make_app()


def _problem(error: OSError, address: str, port: int) -> str:
    # trio says EADDRINUSE of any address that it tried, in a group of its own.
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {address} is taken, maybe by another node: stop that program, or set"
            " server.port to another (0 takes any that is free)"
        )
    return f"cannot listen on {address} port {port}: {error.strerror or error}"
