"""Who is connected, and whose bytes go where: phones to their node, and the node to its phones.

A node has one connection, over which every message names the phone it is from or for. Nobody
waits for a stranger: a phone that does not read is cut off by itself, one that floods waits by
itself, and a node that is lost takes only its own phones with it.
"""

from __future__ import annotations

import itertools
import logging
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import trio

from loopsy_core.errors import ProtocolViolation
from loopsy_core.kit import Watched
from loopsy_core.wire.envelope import (
    LONGEST_WHY,
    Bytes,
    Close,
    Joined,
    Left,
    decode_envelope,
    encode_envelope,
)

from .connection import NOT_READING, Connection, Ending, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .accounts import Phone
    from .config import RelayConfig

__all__ = ["BYE", "GONE_AWAY", "REVOKED", "TOO_MANY", "Switchboard"]

# Close codes (PROTOCOL.md, section 6). Those of nodes are 1002, 1003, 1009 (RFC 6455, section
# 7.4.1) and REPLACED.
GONE_AWAY: Final = 1001
BROKEN: Final = 1002
REVOKED: Final = 4401
NODE_OFFLINE: Final = 4404
REPLACED: Final = 4409
BYE: Final = 4410
NODE_LOST: Final = 4411
TOO_MANY: Final = 4429

_CONNS: Final = 2**32  # numbers come round after so many; nobody stays for that long

_log = logging.getLogger("loopsy_relay")

_DeviceId: TypeAlias = str
_PhoneId: TypeAlias = str


class Switchboard:
    """All connections of one relay. Not for use from other threads."""

    def __init__(self, config: RelayConfig) -> None:
        """Begin with nobody connected."""
        self._config = config
        self._nodes: dict[_DeviceId, _Node] = {}
        self._phones: dict[_PhoneId, set[_Phone]] = {}
        self._numbers = itertools.count(1)
        self._everybody: dict[Connection, None] = {}
        self._count = Watched(0)
        self._closing: Ending | None = None
        self.cuts = 0
        """Goes up with every `cut_phone` and `cut_device`. Who let somebody in with an answer
        that is older than a cut must ask again: between the question and `serve_phone` the
        phone may have been revoked, and there was nothing to cut yet."""

    @property
    def nodes(self) -> int:
        """How many nodes are connected."""
        return len(self._nodes)

    @property
    def phones(self) -> int:
        """How many connections of phones there are."""
        return sum(map(len, self._phones.values()))

    def is_connected(self, phone: _PhoneId) -> bool:
        """Return whether this phone has a connection."""
        return phone in self._phones

    def cut_phone(self, phone: _PhoneId, why: str) -> None:
        """End the connections of a phone that was revoked. Never blocks."""
        self.cuts += 1
        for connection in self._phones.get(phone, ()):
            connection.end(REVOKED, why, drop=True)

    def cut_device(self, device: _DeviceId, why: str) -> None:
        """End the connection of a node that was removed, and of its phones. Never blocks."""
        self.cuts += 1
        node = self._nodes.get(device)
        if node is not None:
            node.end_phones(REVOKED, why)
            node.end(REVOKED, why, drop=True)

    def close(self, ending: Ending) -> None:
        """End every connection, and turn away whoever comes from now on. Never blocks."""
        self._closing = ending
        # Phones first: from their node's end they would conclude that it was lost.
        for connections in self._phones.values():
            for connection in connections:
                connection.end(ending.code, ending.why, drop=True)
        for node in self._everybody:
            node.end(ending.code, ending.why, drop=True)

    async def wait_empty(self) -> None:
        """Wait until no connection is left."""
        await self._count.wait(lambda count: count == 0)

    async def keep_watch(self) -> NoReturn:
        """Ping everybody now and then, and end the connections of those who do not answer."""
        # Everybody once in `ping_seconds`, but not all in the same moment.
        turns = max(1, round(self._config.ping_seconds))
        for turn in itertools.cycle(range(turns)):
            await trio.sleep(self._config.ping_seconds / turns)
            now = trio.current_time()
            for connection in tuple(self._everybody):
                if connection.number % turns == turn and not connection.line.keep_alive(now):
                    connection.end(None, "lost", drop=True)
        raise AssertionError("a cycle has no end")

    async def serve_node(self, device: _DeviceId, line: Line) -> None:
        """Be the node of `device` until `line` ends, in the place of an older connection of it."""
        node = _Node(line, self._config, next(self._numbers))
        older = self._nodes.get(device)
        if older is not None:
            older.end(REPLACED, "this machine connected again", drop=True)
        self._nodes[device] = node
        _log.info("node %s: connected", device)
        try:
            await self._run(node, partial(_read_node, node))
        finally:
            node.end(None, "over")
            if self._nodes.get(device) is node:
                del self._nodes[device]
            _log.info("node %s: gone (%s)", device, node.reason)

    async def serve_phone(self, phone: Phone, address: str, line: Line) -> None:
        """Carry messages between `line` and the phone's node until either ends.

        `address` is where the phone connects from, for its node to see.
        """
        mine = self._phones.get(phone.id, set())
        node = self._nodes.get(phone.device)
        if len(mine) >= self._config.connections_per_phone:
            await self._turn_away(line, TOO_MANY, "too many connections of this phone")
        elif node is None or node.ending is not None:
            await self._turn_away(line, NODE_OFFLINE, "the machine is not connected")
        else:
            connection = _Phone(line, self._config, next(self._numbers) % _CONNS, node)
            node.phones[connection.number] = connection
            self._phones.setdefault(phone.id, mine).add(connection)
            joined = Joined(connection.number, phone.id, address[:LONGEST_WHY])
            try:
                await self._run(connection, partial(_read_phone, connection, joined))
            finally:
                del node.phones[connection.number]
                mine.discard(connection)
                if not mine:
                    del self._phones[phone.id]
                await self._tell_left(connection)

    async def _run(self, connection: Connection, read: Callable[[], Awaitable[None]]) -> None:
        self._everybody[connection] = None
        self._count.set(len(self._everybody))
        if self._closing is not None:
            connection.end(self._closing.code, self._closing.why)
        try:
            await connection.run(read)
        finally:
            del self._everybody[connection]
            self._count.set(len(self._everybody))

    async def _turn_away(self, line: Line, code: int, why: str) -> None:
        with trio.move_on_after(self._config.goodbye_seconds):
            await line.close(Ending(code, why))

    async def _tell_left(self, phone: _Phone) -> None:
        """Tell the node, however the phone came to its end: or it would believe in it for ever."""
        if phone.announced and phone.node.ending is None:
            # A node that makes no room for this long is cut off, which settles it as well.
            with trio.move_on_after(self._config.stall_seconds, shield=True):
                left = Left(phone.number, phone.reason[:LONGEST_WHY])
                await phone.node.put(encode_envelope(left))


class _Node(Connection):
    """A node's connection, and those of its phones by the numbers that envelopes name."""

    def __init__(self, line: Line, config: RelayConfig, number: int) -> None:
        super().__init__(line, config, number)
        self.phones: dict[int, _Phone] = {}

    def end(self, code: int | None, why: str, *, drop: bool = False) -> None:
        if self.ending is None:
            super().end(code, why, drop=drop)
            self.end_phones(NODE_LOST, "the machine's connection was lost")

    def end_phones(self, code: int, why: str) -> None:
        for phone in self.phones.values():
            phone.end(code, why)

    async def put(self, message: bytes) -> bool:
        """Add to the outbox once there is room; False if the node is gone instead."""
        try:
            await self.outbox.put(message)
        except trio.ClosedResourceError:
            return False
        return True


class _Phone(Connection):
    """One connection of a phone, and the node at its other end."""

    def __init__(self, line: Line, config: RelayConfig, number: int, node: _Node) -> None:
        super().__init__(line, config, number)
        self.node = node
        self.announced = False


async def _read_phone(phone: _Phone, joined: Joined) -> None:
    """Pass on what a phone sends. While its node has no room the phone waits, unread."""
    phone.announced = await phone.node.put(encode_envelope(joined))
    conn = phone.number
    receive = phone.line.receive
    put = phone.node.outbox.put
    try:
        while True:
            await put(encode_envelope(Bytes(conn, await receive())))
    except trio.ClosedResourceError:
        phone.end(NODE_LOST, "the machine's connection was lost")


async def _read_node(node: _Node) -> None:
    """Pass on what a node sends. Nothing here waits for a phone."""
    phones = node.phones
    while True:
        try:
            envelope = decode_envelope(await node.line.receive())
        except ProtocolViolation as violation:
            node.end(BROKEN, violation.message[:LONGEST_WHY])
            return
        if not isinstance(envelope, Bytes | Close):
            node.end(BROKEN, "only a relay says who joined and who left")
            return
        # An unknown number is no mistake: the phone left while this was on its way.
        phone = phones.get(envelope.conn)
        if phone is None or phone.ending is not None:
            continue
        if isinstance(envelope, Close):
            phone.end(BYE, envelope.why)
        elif not phone.outbox.put_nowait(envelope.sealed):
            phone.end(NOT_READING, "it did not read", drop=True)
