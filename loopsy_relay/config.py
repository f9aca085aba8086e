"""What a relay is told when it starts: where to listen, what to keep, and how much of everything.

All of it is checked once, here, so that the rest of the room need not.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from loopsy_core.errors import Misconfigured

__all__ = ["DEFAULT_PORT", "Rate", "RelayAddress", "RelayConfig"]

DEFAULT_PORT = 19534

_STATIC = Path(__file__).parent / "static"


@attrs.frozen
class Rate:
    """So many a minute on average from one address, and `burst` of them at once."""

    per_minute: float
    burst: float


@attrs.frozen
class RelayAddress:
    """Where a relay really listens, and the `url` that links to it name (no slash at its end)."""

    url: str
    host: str
    port: int


def _check_port(_config: object, _attribute: object, port: int) -> None:
    if not 0 <= port <= 65535:
        raise Misconfigured(f"port {port} cannot be: choose one from 1 to 65535, or 0 for any")


def _check_secret(_config: object, _attribute: object, secret: str | None) -> None:
    # It travels in a header, where everything else is trouble.
    if secret is not None and not (secret.isascii() and secret.isprintable() and secret.strip()):
        raise Misconfigured("the registration secret must be plain ASCII, and not empty")


def _check_url(_config: object, _attribute: object, url: str | None) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is no number
    except ValueError:
        parts = urlsplit("")
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.username is not None
        or parts.path
        or parts.query
        or parts.fragment
    ):
        raise Misconfigured(
            f"the public URL {url!r} must be like https://relay.example, without a path"
        )


def _without_slash(url: str | None) -> str | None:
    return url.rstrip("/") if url else None


@attrs.frozen(kw_only=True)
class RelayConfig:
    """Settings of one relay. `Misconfigured` names what cannot be."""

    database: Path = attrs.field(converter=Path)
    """The file with the accounts; made if missing."""
    host: str = "127.0.0.1"
    port: int = attrs.field(default=DEFAULT_PORT, validator=_check_port)
    """0 takes a free one; `RelayAddress` says which."""
    static: Path = attrs.field(default=_STATIC, converter=Path)
    """The folder of the built web app."""
    registration_secret: str | None = attrs.field(default=None, validator=_check_secret, repr=False)
    """What a machine must know to register. None: whoever reaches the relay may register."""
    public_url: str | None = attrs.field(
        default=None, converter=_without_slash, validator=_check_url
    )
    """What links name, when a proxy stands in front (for TLS, say)."""
    trust_proxy: bool = False
    """Take a client's address from the last hop of X-Forwarded-For. Only behind a proxy that
    sets it: anybody else could choose the address that limits are counted for."""

    registering: Rate = Rate(10, 10)
    redeeming: Rate = Rate(10, 10)
    connecting: Rate = Rate(60, 60)
    """WebSockets."""
    shortest_ttl: float = 10.0
    longest_ttl: float = 3600.0
    """Seconds that a pair token may be valid for."""
    phones_per_device: int = 100
    connections_per_phone: int = 8
    longest_message: int = 1 << 20
    """Bytes of one sealed message, as on any other transport."""
    most_unread: int = 4 << 20
    """Bytes that may wait for one connection which does not read them."""
    stall_seconds: float = 20.0
    """How long one connection may take nothing of what is sent to it."""
    ping_seconds: float = 20.0
    silence_seconds: float = 45.0
    """After this without a byte, pongs included, a connection counts as lost."""
    goodbye_seconds: float = 2.0
    """For the last words of a connection, and of the relay."""

    def url_at(self, host: str, port: int) -> str:
        """Return what links name when the relay listens on `host` and `port`."""
        if self.public_url is not None:
            return self.public_url
        return f"http://{_for_url(host)}:{port}"


def _for_url(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:  # "all of them" is no address to connect to
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{address}]" if address.version == 6 else str(address)
