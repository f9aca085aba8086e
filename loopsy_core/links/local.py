"""Unix sockets: how programs of the same user on the same machine reach a node or a host.

The socket has mode 0600 in a directory of mode 0700, and each caller's uid is asked of the
kernel as well: whoever gets here is this user, and may do what this user may.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from loopsy_core.errors import Gone, LoopsyError, Refused
from loopsy_core.home import socket_address
from loopsy_core.kit import contained

from .channel import Channel, FramedChannel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

__all__ = ["connect_local", "serve_local"]

BACKLOG: Final = 1024
"""Callers that may wait until we come to accept them; scripts may well come by the hundred."""

SEND_BUFFER: Final = 1 << 19
"""Bytes that a socket should take at once: a piece of a file, with what the kernel adds to it."""

_log = logging.getLogger(__name__)


async def connect_local(path: Path) -> FramedChannel:
    """Connect to the socket at `path`; raises `Gone` when nobody listens there."""
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            await sock.connect(address)
        # Where the listener's backlog is full, connecting fails in a way that trio takes for
        # success (EAGAIN instead of EINPROGRESS); then there is no peer.
        sock.getpeername()
    except OSError as error:
        sock.close()
        raise Gone(f"nothing answers at {path}: {error.strerror}") from None
    except BaseException:
        sock.close()
        raise
    return FramedChannel(_stream(sock))


async def serve_local(
    path: Path,
    serve: Callable[[Channel], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Listen at `path` and run `serve` with each caller's channel, for ever.

    Whoever calls this holds the lock of the home, so a socket that lies there is a dead one's
    and is removed. A failing `serve` ends in one log line and costs nobody else anything.
    """

    async def serve_one(stream: trio.SocketStream) -> None:
        channel = FramedChannel(_stream(stream.socket))
        with contained(_log, "local connection"):
            try:
                _check_same_user(stream)
                await serve(channel)
            finally:
                await channel.aclose()

    listener = _listen(path)
    try:
        await trio.serve_listeners(serve_one, [listener], task_status=_Ready(task_status))
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a name in a local folder


def _listen(path: Path) -> trio.SocketListener:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            sock.bind(address)
        path.chmod(0o600)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise LoopsyError(f"cannot listen at {path}: {error.strerror}") from None
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


def _stream(sock: trio.socket.SocketType) -> trio.SocketStream:
    # A write that does not fit takes a turn more, here and on the other side.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return trio.SocketStream(sock)


def _check_same_user(stream: trio.SocketStream) -> None:
    if peer_uid(stream.socket) != os.getuid():
        raise Refused("a caller of another user")


def peer_uid(sock: trio.socket.SocketType) -> int:
    """Return the uid of the process at the other end of a unix socket."""
    if sys.platform == "linux":
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _pid, uid, _gid = struct.unpack("3i", credentials)
        return int(uid)
    # BSD and macOS: struct xucred {u_int version; uid_t uid; ...} by LOCAL_PEERCRED.
    sol_local, local_peercred = 0, 1
    credentials = sock.getsockopt(sol_local, local_peercred, 76)
    if len(credentials) < 8:
        raise OSError(errno.ENOTSUP, "this system does not tell who calls")
    return int(struct.unpack_from("=II", credentials)[1])


class _Ready:
    """Passes readiness on, without the listeners that trio reports."""

    def __init__(self, task_status: trio.TaskStatus[None]) -> None:
        self._task_status = task_status

    def started(self, _value: object = None) -> None:
        self._task_status.started()
