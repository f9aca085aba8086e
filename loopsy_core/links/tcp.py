"""TCP: how machines reach each other directly, on the LAN or wherever they have an address.

The connection itself proves nothing and hides nothing: what passes is sealed (PROTOCOL.md
section 2), and a stranger costs a little memory for a few seconds (`strangers.py`).
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from loopsy_core.errors import BadRequest, Busy, Gone
from loopsy_core.kit import contained

from .channel import FramedChannel
from .strangers import Strangers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = [
    "DEFAULT_PORT",
    "Caller",
    "connect_tcp",
    "in_system_words",
    "open_listeners",
    "parse_address",
    "serve_tcp",
]

DEFAULT_PORT: Final = 19533
LONGEST: Final = 65_535
"""Bytes of a message: a Noise message is no longer."""
CONNECTING: Final = 5.0
"""Seconds that a machine may take to accept a connection."""
BACKLOG: Final = 128

_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")

_log = logging.getLogger(__name__)


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.

    Raises `BadRequest` for anything else. The port is the usual one if there is none.
    """
    text = text.strip()
    match = _ADDRESS.fullmatch(text)
    if match is None and text.count(":") > 1 and _HOST.fullmatch(text):
        return text, DEFAULT_PORT
    host = (match["six"] or match["host"]) if match else ""
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if not _HOST.fullmatch(host) or not 0 < port < 65_536:
        raise BadRequest(
            f"{text[:80]!r} is no address; one looks like kai.local or 192.0.2.7:19533"
        )
    return host, port


async def connect_tcp(host: str, port: int) -> FramedChannel:
    """Connect; raises `Gone`, with the system's reason, when nobody accepts within 5 s.

    Its details tell `why`: `name` (there is none like it), `closed` (nothing listens), `absent`.
    """
    reason, why = "it does not answer", "absent"
    with trio.move_on_after(CONNECTING):
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            found = _first(error)
            reason = in_system_words(error)
            if isinstance(found, socket.gaierror):
                why = "name"
            elif found.errno == errno.ECONNREFUSED:
                why = "closed"
        else:
            return FramedChannel(stream, LONGEST)
    raise Gone(f"{host} port {port} cannot be reached: {reason}", why=why)


async def open_listeners(port: int, *, loopback: bool = False) -> list[trio.SocketListener]:
    """Listen on all addresses, IPv6 too where there is any; port 0 is any free one.

    With `loopback` nothing but this machine itself can call. Raises `Busy` when the port is taken.
    """
    host = "127.0.0.1" if loopback else "0.0.0.0"
    try:
        [four] = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        raise Busy(f"cannot listen on port {port}: {in_system_words(error)}") from None
    port = four.socket.getsockname()[1]
    listeners = [four]
    if socket.has_ipv6 and not loopback:
        try:
            listeners += await trio.open_tcp_listeners(port, host="::", backlog=BACKLOG)
        except OSError as error:  # a machine without IPv6
            _log.info("no IPv6 here: %s", in_system_words(error))
    return listeners


class Caller(FramedChannel):
    """A connection that somebody has opened to us: a stranger's, until `known` is called."""

    def __init__(self, stream: trio.SocketStream, strangers: Strangers) -> None:
        """Take over `stream`."""
        super().__init__(stream, LONGEST)
        self.address = _address(stream)
        self.scope = trio.CancelScope()
        self._strangers = strangers

    def known(self) -> None:
        """Say that the caller has shown who it is, and may stay."""
        self._strangers.forget(self)

    def make_way(self) -> None:
        """End the connection; for `Strangers` alone."""
        self.scope.cancel()


async def serve_tcp(
    listeners: Sequence[trio.SocketListener],
    serve: Callable[[Caller], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Run `serve` with each caller, for ever.

    A failing `serve` ends in one log line and costs nobody else anything.
    """
    strangers = Strangers()

    async def serve_one(stream: trio.SocketStream) -> None:
        caller = Caller(stream, strangers)
        try:
            if strangers.admit(caller, trio.current_time()):
                with contained(_log, f"connection from {caller.address}"), caller.scope:
                    await serve(caller)
        finally:
            strangers.forget(caller)
            await caller.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve_one, list(listeners))
        task_status.started()
        await trio.sleep_forever()
    raise AssertionError("listeners do not end by themselves")


def _address(stream: trio.SocketStream) -> str:
    try:
        name: tuple[str, int] = stream.socket.getpeername()
    except OSError:  # gone before we looked
        return "nowhere"
    return name[0].removeprefix("::ffff:")


def in_system_words(error: OSError) -> str:
    """Return why a connection did not come about, or a port is not to be had."""
    error = _first(error)
    if isinstance(error, socket.gaierror):
        return "there is no machine of that name"
    return os.strerror(error.errno) if error.errno else (error.strerror or str(error))


def _first(error: OSError) -> OSError:
    """Return what the system said first; trio groups what several addresses said."""
    while isinstance(error.__cause__, OSError):
        error = error.__cause__
    inner = error.__cause__
    if isinstance(inner, BaseExceptionGroup) and isinstance(first := inner.exceptions[0], OSError):
        return first
    return error
