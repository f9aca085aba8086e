"""The web app's files: found under one folder, compressed once, and kept in memory.

The headers that every answer carries are here as well: what a browser may do with this page.
"""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
import re
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import Gone, NotFound

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Page", "Pages", "security_headers"]

# Only what the build makes. The system's own table (mimetypes) differs from machine to machine.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_COMPRESSIBLE: Final = {
    ".css", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest",
}  # fmt: skip

# The build puts a hash of the content into the names in this folder, so they never change.
_HASHED: Final = "assets/"
_FOREVER: Final = "public, max-age=31536000, immutable"

_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
_HOST6: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](:[0-9]{1,5})?")


@attrs.frozen
class Page:
    """One file as it is sent."""

    body: bytes = attrs.field(repr=False)
    compressed: bytes | None = attrs.field(repr=False)
    """The same in gzip, where that is smaller."""
    content_type: str
    cache_control: str
    etag: str


class Pages:
    """The files under one folder."""

    def __init__(self, folder: Path) -> None:
        """Serve what is under `folder`, which may not be there yet."""
        self._folder = folder
        self._kept: dict[Path, tuple[int, Page]] = {}

    async def read(self, path: str) -> Page:
        """Return the file at `path`, relative and with slashes; "" is the app itself.

        Raises `NotFound`, also for whatever would lead out of the folder, and `Gone` when the
        app was not built.
        """
        return await trio.to_thread.run_sync(self._read, path or "index.html")

    def _read(self, path: str) -> Page:
        parts = path.split("/")
        unsafe = any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in parts)
        if unsafe:
            raise _no_such_file()
        try:
            folder = self._folder.resolve()
            file = folder.joinpath(*parts).resolve()
            inside = file.is_relative_to(folder) and file.is_file()
            if not inside:
                raise FileNotFoundError
            changed = file.stat().st_mtime_ns
            kept = self._kept.get(file)
            if kept is None or kept[0] != changed:
                kept = (changed, _load(file, path))
                self._kept[file] = kept
        except (OSError, ValueError):
            if path == "index.html":
                raise Gone(
                    "the web app was not built on this relay; everything else works. Install"
                    " loopsy from a release, or build loopsy_relay/web"
                ) from None
            raise _no_such_file() from None
        return kept[1]


def security_headers(host: str | None, public_url: str | None) -> dict[str, str]:
    """Return what every answer says to browsers, for a request to `host` (the Host header)."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; "
        f"connect-src {' '.join(_reachable(host, public_url))}; "
        "manifest-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": (
            "camera=(self), clipboard-read=(self), clipboard-write=(self), geolocation=(),"
            " microphone=(self), payment=(), usb=()"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _reachable(host: str | None, public_url: str | None) -> list[str]:
    """Return what the page may connect to: where it came from, and nothing else.

    The WebSocket's origin is named too, because 'self' means http and https only in Safari
    before 15.4. Both schemes: whether a proxy speaks TLS in front of us is not ours to see.
    """
    if public_url is not None:
        return ["'self'", public_url.replace("http", "ws", 1)]
    if host is not None and _is_host(host):
        return ["'self'", f"ws://{host}", f"wss://{host}"]
    return ["'self'"]


def _is_host(text: str) -> bool:
    """Return whether `text` can stand in a policy, where a space or semicolon would add to it."""
    if _HOST.fullmatch(text):
        return True
    match = _HOST6.fullmatch(text)
    if match is None:
        return False
    try:
        ipaddress.IPv6Address(match[1])
    except ValueError:
        return False
    return True


def _load(file: Path, path: str) -> Page:
    body = file.read_bytes()
    suffix = file.suffix.lower()
    compressed = gzip.compress(body, mtime=0) if suffix in _COMPRESSIBLE else body
    return Page(
        body=body,
        compressed=compressed if len(compressed) < len(body) else None,
        content_type=_TYPES.get(suffix, "application/octet-stream"),
        cache_control=_FOREVER if path.startswith(_HASHED) else "no-cache",
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    )


def _no_such_file() -> NotFound:
    return NotFound("the web app has no such file")
