"""The relay's requests over HTTP: registering, offering, redeeming, revoking.

PROTOCOL.md section 6. A handful of small JSON requests a day, so the standard library in a
thread serves better than an HTTP library's import time.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlsplit

import attrs
import msgspec
import trio

from loopsy_core.errors import BadRequest, Gone, LoopsyError, error_from_code

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PairToken", "Redeemed", "Registered", "RelayApi", "parse_relay_url"]

TIMEOUT: Final = 10.0
"""Seconds for one request."""
MAX_REPLY: Final = 1 << 20

T = TypeVar("T")

# It will stand in headers and links, so it holds nothing that ends one of them.
_Secret: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~-]{1,512}\Z")]

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_threads = trio.CapacityLimiter(4)


class Registered(msgspec.Struct, frozen=True, rename="camel"):
    """A node's account at a relay."""

    device_id: str
    secret: _Secret


class PairToken(msgspec.Struct, frozen=True, rename="camel"):
    """What a phone redeems, once."""

    token: _Secret
    expires_at: float


class Redeemed(msgspec.Struct, frozen=True, rename="camel"):
    """A phone's account at a relay."""

    phone_id: str
    bearer: _Secret
    device_id: str


class _Problem(msgspec.Struct, frozen=True):
    code: str
    message: str


class _ErrorReply(msgspec.Struct, frozen=True):
    error: _Problem


def parse_relay_url(text: str) -> str:
    """Return a relay's address in its plain form (no slash at the end), or raise `BadRequest`."""
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadRequest("a relay's address has no spaces in it, and ASCII characters only")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BadRequest(f"{text!r} is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRequest(f"a relay's address begins with https:// or http://, not {text[:40]!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadRequest("a relay's address has no user, question mark or hash in it")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


@attrs.frozen
class RelayApi:
    """A relay, and who we are there."""

    url: str
    """As `parse_relay_url` gives it."""
    secret: str | None = attrs.field(default=None, repr=False)
    """The bearer of our requests: a registration secret, then the device's own."""

    async def register(self, name: str) -> Registered:
        """Make an account for this node."""
        return await self._ask("POST", "/api/v1/devices", {"name": name}, Registered)

    async def unregister(self) -> None:
        """Delete this node's account and its phones there."""
        await self._ask("DELETE", "/api/v1/device", None, None)

    async def issue(self, ttl: float) -> PairToken:
        """Get a token that one phone may redeem within `ttl` seconds."""
        return await self._ask("POST", "/api/v1/pair/issue", {"ttl": ttl}, PairToken)

    async def redeem(self, token: str, name: str) -> Redeemed:
        """Use a token up, as a phone."""
        body = {"token": token, "name": name}
        return await self._ask("POST", "/api/v1/pair/redeem", body, Redeemed)

    async def revoke_phone(self, phone: str) -> None:
        """Delete a phone's account; its connections are cut."""
        await self._ask("DELETE", f"/api/v1/phones/{quote(phone, safe='')}", None, None)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None, reply: type[T] | None
    ) -> T:
        """Ask once. Raises `Gone` when the relay cannot be reached, else what it answered."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        if self.secret is not None:
            # Unredirected: the secret must not follow a redirect to another host.
            request.add_unredirected_header("Authorization", f"Bearer {self.secret}")
        with trio.move_on_after(TIMEOUT + 1):
            data = await trio.to_thread.run_sync(
                _fetch, request, self.url, abandon_on_cancel=True, limiter=_threads
            )
            try:
                return msgspec.json.decode(data or b"null", type=reply)
            except _UNREADABLE:
                raise Gone(f"{self.url} does not answer like a Loopsy relay") from None
        raise Gone(f"the relay {self.url} does not answer")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: a machine names its relay to us, and none of them redirects."""

    def redirect_request(self, *_: object) -> None:
        """Leave the answer as it is: an error."""


def _fetch(request: urllib.request.Request, url: str) -> bytes:
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            return _read(response)
    except urllib.error.HTTPError as error:
        with error:
            body = _read(cast("http.client.HTTPResponse", error.fp))
        raise _refusal(error.code, body, url) from None
    except urllib.error.URLError as error:
        raise Gone(f"the relay {url} cannot be reached: {_words(error.reason)}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: of headers
        raise Gone(f"the relay {url} cannot be reached: {_words(error)}") from None


def _words(reason: object) -> str:
    """Return the system's words for what went wrong, without its number."""
    return str(getattr(reason, "strerror", None) or reason)


def _read(response: http.client.HTTPResponse) -> bytes:
    """Read a reply, or as much of it as can be meant seriously.

    Each single read has its timeout; a relay that sends a byte now and then would keep the thread
    for hours all the same.
    """
    deadline = time.monotonic() + TIMEOUT
    data = bytearray()
    while len(data) <= MAX_REPLY and time.monotonic() < deadline:
        piece = response.read1(65_536)
        if not piece:
            break
        data += piece
    return bytes(data)


def _refusal(status: int, body: bytes, url: str) -> LoopsyError:
    try:
        problem = msgspec.json.decode(body, type=_ErrorReply).error
    except _UNREADABLE:
        return Gone(f"{url} does not answer like a Loopsy relay (HTTP {status})")
    return error_from_code(problem.code, f"the relay says: {problem.message[:500]}")
