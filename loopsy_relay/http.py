"""One connection of a relay in HTTP: requests for the app, until one wants to be a WebSocket."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from loopsy_core.kit import contained
from loopsy_core.kit.asgi import App, answer_by
from loopsy_core.kit.http import Head, Headers, HttpLimits, Unreadable
from loopsy_core.kit.http import Http as Connection

from .address import client_address

if TYPE_CHECKING:
    import trio

    from .config import RelayConfig

__all__ = ["App", "Http", "Upgrade", "error_body"]

# Bytes of a request's body. Ours need a few hundred.
LONGEST_BODY: Final = 16 * 1024

# Seconds for a request's head to be complete, idling before it included, and for its body.
_PATIENCE: Final = 15.0

_JSON: Final = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]

_log = logging.getLogger("loopsy_relay")


def error_body(code: str, message: str) -> bytes:
    """Return the JSON that every refusal of this relay carries."""
    return msgspec.json.encode({"error": {"code": code, "message": message}})


@attrs.frozen
class Upgrade:
    """A request to leave HTTP, and the address where it really comes from."""

    head: Head
    address: str


class _Failed(Unreadable):
    """The app let an error out, which is a bug of ours."""

    def __init__(self) -> None:
        super().__init__(500, "the relay failed at this; its log says more")


class Http:
    """The HTTP half of one connection: until it ends, or becomes a WebSocket."""

    def __init__(self, stream: trio.SocketStream, app: App, config: RelayConfig) -> None:
        """Serve `app` on `stream`, which the caller closes."""
        peer = stream.socket.getpeername()
        self.stream = stream
        self._app = app
        self._config = config
        self._peer = (str(peer[0]), int(peer[1]))
        limits = HttpLimits(
            patience=_PATIENCE, stall=config.stall_seconds, goodbye=config.goodbye_seconds
        )
        self._connection = Connection(stream, limits)

    @property
    def trailing_data(self) -> bytes:
        """What the client sent behind its last request."""
        return self._connection.trailing_data

    async def next_upgrade(self) -> Upgrade | None:
        """Answer requests until one wants to leave HTTP; return that one, unanswered.

        Returns None when the connection is over. Raises `trio.BrokenResourceError` or
        `trio.TooSlowError` when the client is gone, or takes no answer.
        """
        http = self._connection
        try:
            while (head := await http.next_head()) is not None:
                address = client_address(
                    self._peer[0],
                    head.get(b"x-forwarded-for"),
                    trust_proxy=self._config.trust_proxy,
                )
                if head.wants_websocket:
                    if await http.next_piece() is None:
                        return Upgrade(head, address)
                    await self.refuse(400, "bad_request", "a WebSocket request has no body")
                    return None
                body = await http.read_body(head, LONGEST_BODY)
                client = (address, self._peer[1])
                problem: Exception | None = _Failed()
                with contained(_log, f"{head.method} {head.path[:100]!r}"):
                    problem = await answer_by(self._app, http, head, client=client, body=body)
                if problem is not None:
                    raise problem
        except Unreadable as error:
            code = "bad_request" if error.status < 500 else "internal"
            await self.refuse(error.status, code, error.sentence)
        return None

    async def refuse(
        self, status: int, code: str, message: str, headers: Headers | None = None
    ) -> None:
        """Answer with an error, and hang up."""
        await self._connection.refuse(status, [*_JSON, *(headers or [])], error_body(code, message))

    async def switch_protocols(self, headers: Headers) -> None:
        """Answer an upgrade with 101; from here on the stream does not speak HTTP."""
        await self._connection.switch_protocols(headers)
