"""Asking a node or a session host a few things and reading the answers, without an event loop.

The rules of the conversation are the same machine that the client uses (`wire.Calls`); only the
waiting is different. Loading trio takes longer than a whole `loopsy list` does this way.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from loopsy_core.errors import Gone, LoopsyError, NoDaemon
from loopsy_core.home import Home, socket_address
from loopsy_core.wire import (
    CHUNK,
    Answer,
    Calls,
    Data,
    Fault,
    FrameDecoder,
    Item,
    Operation,
    cost,
    encode,
    encode_frames,
    read_fault,
    read_reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["ask", "ask_host", "ask_machines", "node_pid"]

MACHINES: Final = 5.0
"""Seconds that other machines have for an answer, where several are asked."""
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
    on_item: Callable[[bytes], object] | None = None,
) -> R:
    """Ask the node of `home` (by default the one in use) and return its reply.

    With `to` another machine is asked, by way of that node. `data` is sent in the call's stream;
    `on_data` is called with each piece of Data that comes before the reply, `on_item` with each
    value, as it was written; what they raise takes the question back.

    Raises `NoDaemon` when no node runs there, what the node answers with, and `Gone` when the
    connection is lost.
    """
    home = home or Home.find()
    try:
        with _connect(home.node_socket) as sock:
            [reply] = _converse(sock, [_Question(operation, to, data)], on_data, on_item)
    except FileNotFoundError:
        raise _no_daemon(home) from None
    return _unless_failed(reply)


def ask_machines(
    operation: Operation[R], machines: Sequence[str | None], home: Home | None = None
) -> list[R | LoopsyError]:
    """Ask several machines the same, all at once; None stands for this one.

    Of each comes its reply, or what kept it from answering; one that says nothing for five
    seconds is not waited for.
    """
    home = home or Home.find()
    try:
        with _connect(home.node_socket) as sock:
            questions = [_Question(operation, machine) for machine in machines]
            return _converse(sock, questions, deadline=time.monotonic() + MACHINES)
    except FileNotFoundError:
        raise _no_daemon(home) from None


def ask_host(operations: Sequence[Operation[R]], home: Home) -> list[R] | None:
    """Ask the session host of `home` itself, all at once; None when no host runs."""
    try:
        with _connect(home.host_socket) as sock:
            replies = _converse(sock, [_Question(operation) for operation in operations])
    except FileNotFoundError:
        return None
    return [_unless_failed(reply) for reply in replies]


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


class _Question(NamedTuple, Generic[R]):
    """What is asked, of which machine, and what is sent along."""

    operation: Operation[R]
    to: str | None = None
    data: bytes = b""


def _converse(
    sock: socket.socket,
    questions: Sequence[_Question[R]],
    on_data: Callable[[bytes], object] | None = None,
    on_item: Callable[[bytes], object] | None = None,
    *,
    deadline: float | None = None,
) -> list[R | LoopsyError]:
    """Ask everything, and return what came of each, in order."""
    calls = Calls(opener=True)
    frames = FrameDecoder()
    unasked = list(range(len(questions)))[::-1]
    unsent: dict[int, memoryview] = {}
    waiting: dict[int, int] = {}
    replies: dict[int, R | LoopsyError] = {}
    while unasked or waiting:
        while unasked and len(waiting) < _AT_ONCE:
            number = unasked.pop()
            operation, to, data = questions[number]
            call_id = calls.ask(operation.op, encode(operation), to)
            waiting[call_id] = number
            unsent[call_id] = memoryview(data)
        _send(calls, unsent)
        _write(sock, calls)
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([sock], [], [], left)[0]:
                break
        for frame in frames.feed(_read(sock)):
            heard = calls.receive(frame)
            if isinstance(heard, Data) and on_data is not None:
                on_data(heard.data)
                calls.consumed(heard.id, cost(heard.data))
            elif isinstance(heard, Item) and on_item is not None:
                on_item(heard.value)
                calls.consumed(heard.id, cost(heard.value))
            elif isinstance(heard, (Answer, Fault)):
                unsent.pop(heard.id, None)
                number = waiting.pop(heard.id)
                if isinstance(heard, Fault):
                    replies[number] = read_fault(heard)
                else:
                    replies[number] = read_reply(questions[number].operation, heard.result)
    late = Gone("it does not answer")
    return [replies.get(number, late) for number in range(len(questions))]


def _unless_failed(reply: R | LoopsyError) -> R:
    if isinstance(reply, LoopsyError):
        raise reply
    return reply


def _no_daemon(home: Home) -> NoDaemon:
    return NoDaemon(
        f"no daemon runs in {home.root}; `loopsy start` starts it, and so does `loopsy up`"
    )


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
