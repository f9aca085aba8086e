"""A relay to play with: one in memory for the switchboard, and a real one on loopback."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio
from trio_websocket import ConnectionClosed, open_websocket_url

from loopsy_core.wire.envelope import Envelope, decode_envelope, encode_envelope
from loopsy_relay import RelayAddress, RelayConfig, serve_relay
from loopsy_relay.connection import Ending, HungUp
from loopsy_relay.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trio_websocket import WebSocketConnection

PATIENCE = 20.0  # seconds for anything on loopback, on a busy machine


class FakeLine:
    """The far end of one connection, in memory: tests say, and read what was sent."""

    def __init__(self, limit: int = 4 << 20) -> None:
        self.outbox = Outbox(limit)
        self.sent: list[bytes] = []
        self.ending: Ending | None = None
        self.reads = True
        self.alive = True
        self._says, self._said = trio.open_memory_channel[bytes](1000)
        self._moved = trio.lowlevel.ParkingLot()

    async def receive(self) -> bytes:
        try:
            return await self._said.receive()
        except trio.EndOfChannel:
            raise HungUp(Ending(None, "left")) from None

    async def send(self, messages: list[bytes]) -> None:
        while not self.reads:
            await self._moved.park()
        await trio.lowlevel.checkpoint()
        self.sent.extend(messages)
        self._moved.unpark_all()

    async def close(self, ending: Ending) -> None:
        # Before the checkpoint: when no time is left, this is all that happens.
        self.ending = ending
        self._moved.unpark_all()
        await trio.lowlevel.checkpoint()

    def keep_alive(self, now: float) -> bool:
        return self.alive

    def say(self, message: bytes) -> None:
        self._says.send_nowait(message)

    def say_envelope(self, envelope: Envelope) -> None:
        self.say(encode_envelope(envelope))

    def leave(self) -> None:
        self._says.close()

    def read_on(self) -> None:
        self.reads = True
        self._moved.unpark_all()

    async def wait_sent(self, count: int) -> list[bytes]:
        """Return the first `count` messages that were sent to this end."""
        while len(self.sent) < count:
            await self._moved.park()
        return self.sent[:count]

    async def wait_ended(self) -> Ending:
        while self.ending is None:
            await self._moved.park()
        return self.ending

    def envelopes(self) -> list[Envelope]:
        return [decode_envelope(message) for message in self.sent]


@attrs.frozen
class Reply:
    """An answer in HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the relay says
        return json.loads(self.body)

    @property
    def error(self) -> tuple[str, str]:
        """Code and message; fails the test when it is no proper refusal."""
        error = self.json["error"]
        assert set(error) == {"code", "message"}
        return error["code"], error["message"]


@attrs.frozen
class Relay:
    """A relay on loopback, and the ways to talk to it."""

    address: RelayAddress

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        secret: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Make one request. A `body` of bytes is sent as it is, anything else as JSON."""
        all_headers = dict(headers or {})
        if secret is not None:
            all_headers["Authorization"] = f"Bearer {secret}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()

        def work() -> Reply:
            connection = http.client.HTTPConnection(
                self.address.host, self.address.port, timeout=PATIENCE
            )
            try:
                connection.request(method, path, data, all_headers)
                response = connection.getresponse()
                return Reply(response.status, response.headers, response.read())
            finally:
                connection.close()

        return await trio.to_thread.run_sync(work)

    async def shout(self, data: bytes) -> bytes:
        """Send raw bytes, and return all that comes until the relay hangs up."""

        def work() -> bytes:
            with socket.create_connection(
                (self.address.host, self.address.port), timeout=PATIENCE
            ) as raw:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                heard = b""
                try:
                    while piece := raw.recv(65536):
                        heard += piece
                except ConnectionResetError:
                    pass
                return heard

        return await trio.to_thread.run_sync(work)

    async def register(self, name: str = "laptop") -> str:
        """Register a machine and return its secret."""
        reply = await self.ask("POST", "/api/v1/devices", {"name": name})
        assert reply.status == 201, reply
        return str(reply.json["secret"])

    async def issue(self, secret: str, ttl: float = 60) -> str:
        reply = await self.ask("POST", "/api/v1/pair/issue", {"ttl": ttl}, secret=secret)
        assert reply.status == 201, reply
        return str(reply.json["token"])

    async def pair(self, secret: str, name: str = "phone") -> tuple[str, str]:
        """Pair a phone with the machine of `secret`; return the phone's id and bearer."""
        body = {"token": await self.issue(secret), "name": name}
        reply = await self.ask("POST", "/api/v1/pair/redeem", body)
        assert reply.status == 201, reply
        return reply.json["phoneId"], reply.json["bearer"]

    def open_node(self, secret: str) -> AbstractAsyncContextManager[WebSocketConnection]:
        return self.open_socket("/ws/node", ["loopsy.v1", f"loopsy.bearer.{secret}"])

    def open_phone(self, bearer: str) -> AbstractAsyncContextManager[WebSocketConnection]:
        return self.open_socket("/ws/phone", ["loopsy.v1", f"loopsy.bearer.{bearer}"])

    @asynccontextmanager
    async def open_socket(
        self,
        path: str,
        subprotocols: list[str],
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> AsyncGenerator[WebSocketConnection]:
        url = f"ws://{self.address.host}:{self.address.port}{path}"
        opened = None
        try:
            async with open_websocket_url(
                url, subprotocols=subprotocols, extra_headers=headers, max_message_size=1 << 22
            ) as opened:
                yield opened
        finally:
            # After a close that the other side began, trio-websocket leaves the socket open.
            if opened is not None:
                await trio.aclose_forcefully(opened._stream)  # noqa: SLF001


@asynccontextmanager
async def open_relay(folder: Path, **settings: Any) -> AsyncGenerator[Relay]:  # noqa: ANN401
    """Run a real relay on a free port of loopback while the block lasts, `PATIENCE` at most."""
    config = RelayConfig(**{"database": folder / "relay.db", "port": 0, **settings})
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            yield Relay(await nursery.start(serve_starting, config))
            nursery.cancel_scope.cancel()


async def serve_starting(
    config: RelayConfig, *, task_status: trio.TaskStatus[RelayAddress]
) -> None:
    await serve_relay(config, task_status=task_status)


async def hear(socket: WebSocketConnection) -> Envelope:
    """Return the next envelope that a node's socket gets."""
    message = await socket.get_message()
    assert isinstance(message, bytes)
    return decode_envelope(message)


async def close_of(socket: WebSocketConnection) -> tuple[int, str]:
    """Wait for the end of `socket`, and return its code and reason."""
    try:
        while True:
            await socket.get_message()
    except ConnectionClosed as closed:
        assert closed.reason is not None  # noqa: PT017 - raised in the end, whatever comes before
        return closed.reason.code, closed.reason.reason or ""
