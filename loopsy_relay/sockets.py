"""The WebSockets of a relay: who may open one, and how that is answered.

A node that may not in is answered in HTTP. A browser hides such an answer from the page, so a
phone is let in, told by a close code, and sent away.
"""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import attrs
import trio
from wsproto.utilities import generate_accept_token

from loopsy_core.wire.envelope import ENVELOPE_OVERHEAD

from .accounts import Accounts, Unauthorized
from .address import TooMany, Turnstile
from .config import RelayConfig
from .connection import Ending, Line
from .outbox import Outbox
from .switchboard import REVOKED, TOO_MANY, Switchboard
from .websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.kit.http import Head

    from .http import Http, Upgrade

__all__ = ["Sockets"]

_PROTOCOL: Final = "loopsy.v1"
_BEARER: Final = "loopsy.bearer."

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_KEY_BYTES: Final = 16
_VERSION: Final = [(b"sec-websocket-version", b"13")]

T = TypeVar("T")
_Problem: TypeAlias = tuple[int, str, str] | tuple[int, str, str, list[tuple[bytes, bytes]]]


@attrs.frozen
class Sockets:
    """Opens WebSockets, and hands those that may in to the switchboard."""

    accounts: Accounts
    switchboard: Switchboard
    config: RelayConfig
    turnstile: Turnstile

    async def open(self, http: Http, upgrade: Upgrade) -> None:
        """Answer an upgrade request, and serve the WebSocket until it ends."""
        match upgrade.head.path:
            case "/ws/node":
                await self._open_node(http, upgrade.head, upgrade.address)
            case "/ws/phone":
                await self._open_phone(http, upgrade.head, upgrade.address)
            case _:
                await http.refuse(404, "not_found", "there is no WebSocket at this path")

    async def _open_node(self, http: Http, head: Head, address: str) -> None:
        problem = _problem_of(head)
        if problem is not None:
            await http.refuse(*problem)
            return
        secret = _bearer_of(head)
        try:
            self.turnstile.enter(address, trio.current_time())
            await self.accounts.find_device(secret)
        except TooMany as error:
            after = str(error.retry_after).encode()
            await http.refuse(error.status, error.code, error.message, [(b"retry-after", after)])
        except Unauthorized as error:
            challenge = [(b"www-authenticate", b"Bearer")]
            await http.refuse(error.status, error.code, error.message, challenge)
        else:
            longest = self.config.longest_message + ENVELOPE_OVERHEAD
            line = await self._accept(http, head, longest)
            # Asked again, for accepting took a moment in which it may have been removed.
            find = partial(self.accounts.find_device, secret)
            try:
                device = await self._settled(find)
            except Unauthorized as error:
                await self._send_away(line, REVOKED, error.message)
            else:
                await self.switchboard.serve_node(device, line)

    async def _open_phone(self, http: Http, head: Head, address: str) -> None:
        problem = _problem_of(head) or self._foreign_origin(head)
        if problem is not None:
            await http.refuse(*problem)
            return
        line = await self._accept(http, head, self.config.longest_message)
        find = partial(self.accounts.find_phone, _bearer_of(head))
        try:
            self.turnstile.enter(address, trio.current_time())
            phone = await self._settled(find)
        except TooMany as error:
            await self._send_away(line, TOO_MANY, error.message)
        except Unauthorized as error:
            await self._send_away(line, REVOKED, error.message)
        else:
            await self.switchboard.serve_phone(phone, address, line)

    async def _settled(self, find: Callable[[float], Awaitable[T]]) -> T:
        """Return what `find` says now that nobody was cut off since it was asked.

        The caller goes on to the switchboard without awaiting anything, so that a revocation
        comes either before this answer or after the connection can be found and cut.
        """
        while True:
            cuts = self.switchboard.cuts
            found = await find(time.time())
            if cuts == self.switchboard.cuts:
                return found

    async def _accept(self, http: Http, head: Head, longest_message: int) -> WebSocket:
        key = (head.get(b"sec-websocket-key") or "").encode("latin-1")
        await http.switch_protocols(
            [
                (b"upgrade", b"websocket"),
                (b"connection", b"Upgrade"),
                (b"sec-websocket-accept", generate_accept_token(key)),
                (b"sec-websocket-protocol", _PROTOCOL.encode()),
            ]
        )
        return WebSocket(
            http.stream,
            Outbox(self.config.most_unread),
            first_bytes=http.trailing_data,
            longest_message=longest_message,
            silence_seconds=self.config.silence_seconds,
        )

    async def _send_away(self, line: Line, code: int, why: str) -> None:
        with trio.move_on_after(self.config.goodbye_seconds):
            await line.close(Ending(code, why))

    def _foreign_origin(self, head: Head) -> _Problem | None:
        """Refuse pages of other sites: a browser would let them use a phone's address and time.

        (Not its bearer, which they do not know. Programs other than browsers send no origin.)
        """
        origin = head.get(b"origin")
        if origin is None:
            return None
        ours = {_site(f"http://{head.get(b'host')}"), _site(f"https://{head.get(b'host')}")}
        if self.config.public_url is not None:
            ours.add(_site(self.config.public_url))
        site = _site(origin)
        if site is not None and site in ours:
            return None
        return (
            403,
            "refused",
            "this page comes from another site than the relay; behind a proxy, set the public URL",
        )


def _problem_of(head: Head) -> _Problem | None:
    """Return what is wrong with the opening handshake (RFC 6455, section 4.2.1), if anything."""
    if head.get(b"sec-websocket-version") != "13":
        return (426, "bad_request", "only version 13 of WebSocket is spoken here", _VERSION)
    try:
        key = b64decode((head.get(b"sec-websocket-key") or "").encode("latin-1"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        return (400, "bad_request", "Sec-WebSocket-Key: must be 16 bytes in base64")
    if _PROTOCOL not in head.tokens(b"sec-websocket-protocol"):
        return (400, "bad_request", f"Sec-WebSocket-Protocol: must offer {_PROTOCOL}")
    return None


def _bearer_of(head: Head) -> str:
    """Return the secret that came as a subprotocol, or "" which is nobody's."""
    for offer in head.tokens(b"sec-websocket-protocol"):
        if offer.startswith(_BEARER):
            return offer.removeprefix(_BEARER)
    return ""


def _site(url: str) -> tuple[str, int | None] | None:
    """Return host and port. Not the scheme: what a proxy makes of TLS is not for us to see."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname, port if port is not None else _DEFAULT_PORTS.get(parts.scheme)
