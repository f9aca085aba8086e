"""Who may in by HTTP: decided by a request's head alone, before anybody looks at its path.

The key says that it is this machine's user. Host and Origin say that no web page of another site
asks through the user's browser, which by a trick of DNS could take us for its own server.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from loopsy_core.kit.http import Head

__all__ = ["Guard", "Refusal"]

NO_KEY: Final = 1001
WRONG_KEY: Final = 1002
WRONG_HOST: Final = 1004
WRONG_ORIGIN: Final = 1005

_HTTP_PORT: Final = 80
_CHALLENGE: Final = [(b"www-authenticate", b"Bearer")]


@attrs.frozen
class Refusal:
    """Why a request is not let in: its HTTP status, our code, and a sentence."""

    status: int
    code: int
    message: str
    headers: list[tuple[bytes, bytes]] = attrs.field(factory=list)


class Guard:
    """Checks heads against the key and the address of one door."""

    def __init__(self, key: str, address: str, port: int) -> None:
        """Let in who knows `key` and means the door at `address` (an IP) and `port`."""
        self._key = key.encode("ascii")
        names = {"localhost", "127.0.0.1", "[::1]", _in_url(address)}
        self._hosts = {f"{name}:{port}" for name in names}
        if port == _HTTP_PORT:
            self._hosts |= names
        self._example = f"{_in_url(address)}:{port}"

    def check(self, head: Head) -> Refusal | None:
        """Return why the request is refused, None if it may in."""
        return (
            self._check_key(head.get(b"authorization"))
            or self._check_target(head)
            or self._check_host(head.get(b"host"))
            or self._check_origin(head.get(b"origin"))
        )

    def _check_key(self, authorization: str | None) -> Refusal | None:
        if authorization is None:
            sentence = "show the key of this node: Authorization: Bearer KEY (`loopsy key show`)"
            return Refusal(401, NO_KEY, sentence, _CHALLENGE)
        scheme, _, shown = authorization.partition(" ")
        # Bytes, for compare_digest takes no text beyond ASCII.
        shown_key = shown.strip().encode("latin-1")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown_key, self._key):
            sentence = "this is not the key of this node; `loopsy key show` tells where it is"
            return Refusal(401, WRONG_KEY, sentence, _CHALLENGE)
        return None

    def _check_target(self, head: Head) -> Refusal | None:
        if not head.target.startswith(b"/"):
            return Refusal(400, WRONG_HOST, "the request's target must be a path, not a whole URL")
        return None

    def _check_host(self, host: str | None) -> Refusal | None:
        if host is None or host.lower() not in self._hosts:
            return Refusal(403, WRONG_HOST, f"the Host header must be {self._example}")
        return None

    def _check_origin(self, origin: str | None) -> Refusal | None:
        if origin is None:
            return None
        scheme, _, host = origin.lower().partition("://")
        if scheme == "http" and host in self._hosts:
            return None
        return Refusal(403, WRONG_ORIGIN, "pages of other sites may not ask here")


def _in_url(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
