"""Asking a node or a session host a few things and reading the answers, without an event loop.

The rules of the conversation are the same machine that the client uses (`wire.Calls`); only the
waiting is different. Loading trio takes longer than a whole `loopsy list` does this way.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final, TypeVar

from loopsy_core.errors import Gone, LoopsyError, NoDaemon, error_from_code
from loopsy_core.home import Home, socket_address
from loopsy_core.wire import (
    CHUNK,
    Answer,
    Calls,
    Data,
    Fault,
    FrameDecoder,
    Operation,
    cost,
    encode,
    encode_frames,
    read_reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["ask", "ask_host", "node_pid"]

LOST: Final = 30.0
"""Seconds of silence after which nobody is there; a node that works on an answer sends pings."""
_READ: Final = 131_072
_AT_ONCE: Final = 100
"""Questions asked before the first answer is read; a connection may have 256 calls open."""

R = TypeVar("R")


def ask(
    operation: Operation[R],
    home: Home | None = None,
    *,
    to: str | None = None,
    data: bytes = b"",
    on_data: Callable[[bytes], object] | None = None,
) -> R:
    """Ask the node of `home` (by default the one in use) and return its reply.

    With `to` another machine is asked, by way of that node. `data` is sent in the call's stream;
    `on_data` is called with each piece of Data that comes before the reply.

    Raises `NoDaemon` when no node runs there, what the node answers with, and `Gone` when the
    connection is lost.
    """
    home = home or Home.find()
    try:
        with _connect(home.node_socket) as sock:
            return _converse(sock, [operation], on_data, to=to, data=data)[0]
    except FileNotFoundError:
        raise NoDaemon(
            f"no daemon runs in {home.root}; `loopsy start` starts it, and so does `loopsy up`"
        ) from None


def ask_host(operations: Sequence[Operation[R]], home: Home) -> list[R] | None:
    """Ask the session host of `home` itself, all at once; None when no host runs."""
    try:
        with _connect(home.host_socket) as sock:
            return _converse(sock, operations)
    except FileNotFoundError:
        return None


def node_pid(home: Home) -> int | None:
    """Return the process id of the node of `home`, None when none answers."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        with _connect(home.node_socket) as sock:
            size = struct.calcsize("3i")
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return int(struct.unpack("3i", credentials)[0])
    except FileNotFoundError:
        return None


def _connect(path: Path) -> socket.socket:
    """Connect; a socket on which nobody listens is no socket (`FileNotFoundError`)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(LOST)
        with socket_address(path) as address:
            sock.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        sock.close()
        raise FileNotFoundError from None
    except OSError as error:
        sock.close()
        raise Gone(f"{path} cannot be reached: {error.strerror or error}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _converse(
    sock: socket.socket,
    operations: Sequence[Operation[R]],
    on_data: Callable[[bytes], object] | None = None,
    *,
    to: str | None = None,
    data: bytes = b"",
) -> list[R]:
    calls = Calls(opener=True)
    unsent: dict[int, memoryview] = {}
    frames = FrameDecoder()
    unasked = list(enumerate(operations))[::-1]
    waiting: dict[int, tuple[int, Operation[R]]] = {}
    replies: dict[int, R] = {}
    failure: LoopsyError | None = None
    while unasked or waiting:
        while unasked and len(waiting) < _AT_ONCE:
            number, operation = unasked.pop()
            call_id = calls.ask(operation.op, encode(operation), to)
            waiting[call_id] = number, operation
            unsent[call_id] = memoryview(data)
        _send(calls, unsent)
        _write(sock, calls)
        for frame in frames.feed(_read(sock)):
            heard = calls.receive(frame)
            if isinstance(heard, Data) and on_data is not None:
                on_data(heard.data)
                calls.consumed(heard.id, cost(heard.data))
            elif isinstance(heard, Answer):
                number, operation = waiting.pop(heard.id)
                unsent.pop(heard.id, None)
                replies[number] = read_reply(operation, heard.result)
            elif isinstance(heard, Fault):
                del waiting[heard.id]
                unsent.pop(heard.id, None)
                failure = failure or error_from_code(heard.code, heard.message)
    if failure is not None:
        raise failure
    return [replies[number] for number in range(len(operations))]


def _send(calls: Calls, unsent: dict[int, memoryview]) -> None:
    """Queue as much of what is to be sent as there is credit for, and the end behind it."""
    for call_id, rest in list(unsent.items()):
        while rest and (room := min(calls.allowance(call_id), CHUNK)) > 0:
            calls.send_data(call_id, bytes(rest[:room]))
            rest = rest[room:]
        unsent[call_id] = rest
        if not rest:
            calls.end(call_id)
            del unsent[call_id]


def _write(sock: socket.socket, calls: Calls) -> None:
    try:
        while messages := calls.take():
            sock.sendall(encode_frames(messages))
    except OSError as error:
        raise _lost(error) from None


def _read(sock: socket.socket) -> bytes:
    try:
        data = sock.recv(_READ)
    except OSError as error:
        raise _lost(error) from None
    if not data:
        raise Gone("the daemon hung up before it answered; try again")
    return data


def _lost(error: OSError) -> Gone:
    if isinstance(error, TimeoutError):
        return Gone(
            f"the daemon has said nothing for {LOST:.0f} seconds; `loopsy restart` may help"
        )
    return Gone(f"the connection to the daemon was lost: {error.strerror or error}")
