"""A node with its HTTP door, and the ways to knock at it: nicely, and by the byte."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import attrs
import trio

from loopsy_core.home import Home
from loopsy_core.node import Node, open_node
from loopsy_core.sessions.host import serve_host
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SETTINGS = "server: {port: 0, name: kai}\ndiscovery: {enabled: false}\n"
BASE = "/api/v1"
LAST_CHUNK = b"0\r\n\r\n"


@attrs.frozen
class Reply:
    """An answer in HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the node says
        assert self.headers["Content-Type"] == "application/json", self
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, int, str]:
        """Status, code and message; fails the test when it is no proper refusal."""
        error = self.json["error"]
        assert set(error) <= {"code", "message", "details"}
        return self.status, error["code"], error["message"]


@attrs.frozen
class Door:
    """The HTTP door of a node that runs in this process."""

    node: Node
    home: Home

    @property
    def port(self) -> int:
        port = self.node.http.port
        assert port is not None
        return port

    @property
    def key(self) -> str:
        return self.home.api_key.read_text().strip()

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Make one request with the key. A `body` of bytes is sent as it is, else as JSON."""
        all_headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()

        def work() -> Reply:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            with closing(connection):
                connection.request(method, f"{BASE}{path}", data, all_headers)
                response = connection.getresponse()
                return Reply(response.status, response.headers, response.read())

        return await trio.to_thread.run_sync(work)

    async def get(self, path: str) -> Any:  # noqa: ANN401
        """Return the JSON at `path`, which has to be there."""
        reply = await self.ask("GET", path)
        assert reply.status == 200, reply
        return reply.json

    async def shout(self, data: bytes, *, half_close: bool = False) -> bytes:
        """Send raw bytes, and return all that comes until the node hangs up."""

        def work() -> bytes:
            heard = b""
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as raw:
                raw.sendall(data)
                if half_close:
                    raw.shutdown(socket.SHUT_WR)
                try:
                    while piece := raw.recv(65536):
                        heard += piece
                except ConnectionResetError:
                    pass
            return heard

        return await trio.to_thread.run_sync(work)

    @asynccontextmanager
    async def listen(
        self, method: str, path: str, body: object = None
    ) -> AsyncGenerator[EventStream]:
        """Open a stream of events; leaving the block hangs up."""
        data = b"" if body is None else json.dumps(body).encode()
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(self.head(method, path, len(data)) + data)
            events = EventStream(stream)
            await events.read_head()
            yield events

    def head(self, method: str, path: str, length: int = 0, *more: str) -> bytes:
        """Return a request's head, with the key."""
        lines = [
            f"{method} {BASE}{path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self.key}",
            f"Content-Length: {length}",
            *more,
        ]
        return "\r\n".join([*lines, "", ""]).encode()


class EventStream:
    """Server-sent events as they come."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""
        self.status = 0

    async def read_head(self) -> None:
        while b"\r\n\r\n" not in self._data:
            await self._read()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.headers = head.lower()

    async def next(self) -> Any:  # noqa: ANN401
        """Return the next event."""
        while True:
            # Each piece is a chunk of its own: its length, a line end, the event, a line end.
            chunk, end, rest = self._data.partition(b"\n\n\r\n")
            if end:
                self._data = rest
                said = chunk.partition(b"\r\n")[2]
                if said.startswith(b"data: "):
                    return json.loads(said.removeprefix(b"data: "))
                assert said == b":", said
                continue
            await self._read()

    async def ended(self) -> bool:
        """Wait for what follows, and return whether that is the proper end."""
        while len(self._data) < len(LAST_CHUNK):
            await self._read()
        return self._data == LAST_CHUNK

    async def _read(self) -> None:
        data = await self._stream.receive_some()
        if not data:
            raise EOFError(self._data)
        self._data += data


@asynccontextmanager
async def open_door(home: Home, settings: str = SETTINGS) -> AsyncGenerator[Door]:
    """Run the node of `home` with its session host in this process, for `PATIENCE` at most."""
    home.config.write_text(settings)
    home.config.chmod(0o600)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_host, home)
            async with open_node(home) as node:
                yield Door(node, home)
            nursery.cancel_scope.cancel()
