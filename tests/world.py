"""Two nodes and a relay in memory: channels, phones and homes for tests to play with.

Everything here opens in the body of a test and ends with it. What would be a socket, a WebSocket
or an HTTP request is a pipe or a plain call; keys, handshakes, calls and rules are the real ones.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import signal
import sqlite3
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from loopsy_core.client import Client
from loopsy_core.errors import BadRequest, Gone, Refused
from loopsy_core.home import Home, create_identity, parse_peer_id, peer_id
from loopsy_core.kit import Watched, contained, one_error
from loopsy_core.links import Channel, SealedChannel, open_conversation, receive_one
from loopsy_core.node import open_node
from loopsy_core.sessions.host import serve_host
from loopsy_core.wire import (
    Hello,
    Introduction,
    OfferPairing,
    PairLink,
    RelayStatus,
    greet,
    greet_with_offer,
    offer_id,
    pairing_key,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from pathlib import Path

    from loopsy_core.home import PeerId
    from loopsy_core.links import Answerer, Conversation
    from loopsy_core.links.relay import PhoneChannel
    from loopsy_core.node import Node
    from loopsy_core.wire import Established, Greeting

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds for anything that touches a real process or socket, on a busy machine."""

RELAY_URL: Final = "https://relay.test"

_TURNED_AWAY: Final = ("wrong_code", "offer_gone", "unknown_key", "revoked")

_log = logging.getLogger("loopsy.test")


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait, within `PATIENCE`, until `holds()`: for what the system does without telling us."""
    with trio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.01)


# Channels.


class MemoryChannel(Channel):
    """One end of a pipe of messages; the far end learns with which word it was closed."""

    def __init__(
        self,
        sending: trio.MemorySendChannel[list[bytes]],
        receiving: trio.MemoryReceiveChannel[list[bytes]],
    ) -> None:
        self._sending = sending
        self._receiving = receiving
        self.far: MemoryChannel
        self.last_word: str | None = None  # of the far end

    async def send(self, messages: Sequence[bytes]) -> None:
        try:
            await self._sending.send(list(messages))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone(self.last_word or "the connection was lost") from None

    async def receive(self) -> list[bytes]:
        try:
            return await self._receiving.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            why = self.last_word or "the connection was lost"
            raise (Refused if why.startswith(_TURNED_AWAY) else Gone)(why) from None

    async def aclose(self, why: str = "bye") -> None:
        if self.far.last_word is None:
            self.far.last_word = why
        self.close_both()

    def close_both(self) -> None:
        self._sending.close()
        self._receiving.close()

    def cut(self) -> None:
        """Lose the connection: nobody is told why, and what was under way is gone."""
        for end in (self, self.far):
            end.close_both()


class PhoneLine(MemoryChannel):
    """The node's end of one phone's connection, as the relay's link would hand it over."""

    client = "a phone's account"
    address = "192.0.2.7"


def memory_channels(kind: type[MemoryChannel] = MemoryChannel) -> tuple[Channel, MemoryChannel]:
    """Return the caller's end of a pipe, and the called side's, which is a `kind`."""
    there, from_near = trio.open_memory_channel[list[bytes]](1)
    back, from_far = trio.open_memory_channel[list[bytes]](1)
    near, far = MemoryChannel(there, from_far), kind(back, from_near)
    near.far, far.far = far, near
    return near, far


@asynccontextmanager
async def open_talk(answer: Answerer) -> AsyncGenerator[tuple[Conversation, MemoryChannel]]:
    """Converse with whoever `answer` is; yields our side and the pipe, which may be cut."""
    near, far = memory_channels()
    assert isinstance(near, MemoryChannel)
    with one_error():
        async with (
            open_conversation(far, opener=False, answer=answer),
            open_conversation(near, opener=True) as ours,
        ):
            yield ours, near


# Phones.


class Phone:
    """A phone with a key pair of its own; `address` is how the node sees it."""

    def __init__(self, name: str = "pixel", version: str = "1.0") -> None:
        key = X25519PrivateKey.generate()
        self.private = key.private_bytes_raw()
        self.public = key.public_key().public_bytes_raw()
        self.introduction = Introduction(name, version)

    @property
    def id(self) -> PeerId:
        return peer_id(self.public)

    def with_code(self, link: str, code: str) -> Greeting:
        """Return the greeting of somebody who scanned `link` and typed `code`."""
        parsed = PairLink.parse(link)
        node = parse_peer_id(parsed.node)
        key = pairing_key(parsed.secret, code)
        return greet_with_offer(self.private, node, offer_id(parsed.secret), key, self.introduction)

    def again(self, node: PeerId) -> Greeting:
        """Return the greeting of somebody who is paired with `node`."""
        return greet(self.private, parse_peer_id(node), self.introduction)


Door: TypeAlias = "Callable[[PhoneChannel], Awaitable[None]]"
"""What serves one phone's connection: `Node.serve_phone`."""


@asynccontextmanager
async def open_knock(door: Door, greeting: Greeting) -> AsyncGenerator[tuple[Channel, Established]]:
    """Greet at `door` and yield the sealed channel; nothing has been said over it yet.

    Raises `Refused` with the node's word when it does not let us in.
    """
    near, line = memory_channels(PhoneLine)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_line, door, line)
            try:
                await near.send([greeting.first_message])
                established = greeting.finish(await receive_one(near))
                yield SealedChannel(near, established.connection), established
            finally:
                with trio.CancelScope(shield=True):
                    await near.aclose()


@asynccontextmanager
async def open_phone(door: Door, greeting: Greeting) -> AsyncGenerator[Client]:
    """Be a phone at `door` that has been let in, and said its first word."""
    with one_error():
        async with (
            open_knock(door, greeting) as (sealed, _),
            open_conversation(sealed, opener=True) as conversation,
        ):
            client = Client(conversation)
            await client.ask(Hello())
            yield client


async def _serve_line(door: Door, line: MemoryChannel) -> None:
    """Do what the link to the relay does with a phone that joins."""
    with contained(_log, "phone connection"):
        try:
            await door(cast("PhoneChannel", line))
        finally:
            with trio.CancelScope(shield=True):
                await line.aclose()


def wrong(code: str) -> str:
    """Return another code."""
    return f"{(int(code) + 1) % 10_000:04}"


# The relay.


class MemoryRelay:
    """A relay that hands out tokens; `reachable` says whether it answers at all."""

    def __init__(self) -> None:
        self.reachable = True
        self.tokens: list[str] = []
        self.revoked: list[str] = []

    def account(self) -> MemoryRelaying:
        """Return what a node has that is registered here."""
        return MemoryRelaying(self)


class MemoryRelaying:
    """Stands for a node's `Relaying`, and for the `RelayApi` that it gives."""

    url = RELAY_URL

    def __init__(self, relay: MemoryRelay) -> None:
        self._relay = relay
        self.status = Watched(RelayStatus(self.url, connected=True))

    def api(self) -> MemoryRelaying:
        return self

    async def issue(self, ttl: float) -> _Token:
        await self._reach()
        token = secrets.token_urlsafe(12)
        self._relay.tokens.append(token)
        return _Token(token, 4e9)

    async def revoke_phone(self, phone: str) -> None:
        await self._reach()
        self._relay.revoked.append(phone)

    async def forget_client(self, client: str, name: str) -> None:
        if self._relay.reachable:
            await self.revoke_phone(client)

    async def configure(self, url: str, registration_secret: str | None) -> RelayStatus:
        await self._reach()
        if not url.startswith("https://"):
            raise BadRequest("that is no address")
        self.status.set(RelayStatus(url, connected=True))
        return self.status.value

    async def unset(self) -> RelayStatus:
        await trio.lowlevel.checkpoint()
        self.status.set(RelayStatus(None, connected=False))
        return self.status.value

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self._relay.reachable:
            raise Gone("the relay cannot be reached")


class _Token:
    def __init__(self, token: str, expires_at: float) -> None:
        self.token = token
        self.expires_at = expires_at


# A database without a thread, for tests in which the clock jumps.


class InlineDatabase:
    """Runs transactions at once, in memory; has those methods of `Database` that are used."""

    def __init__(self, migrations: Sequence[str]) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        for script in migrations:
            self._connection.executescript(script)
        self._connection.execute("PRAGMA foreign_keys = ON")

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await trio.lowlevel.checkpoint()
        self._connection.execute("BEGIN")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result

    read = transact

    def read_nowait(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return work(self._connection)

    def translated(self, error: Exception) -> Exception:
        return error

    def close(self) -> None:
        self._connection.close()


# Homes and nodes.


def end_holder(lock: Path) -> None:
    """End the process that holds `lock`, if there is one: SIGTERM, patience, SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for attempt in range(1000):
            pid = holder_of(lock)
            if pid is None:
                return
            if not attempt:
                os.kill(pid, number)
            time.sleep(0.01)


def holder_of(lock: Path) -> int | None:
    """Return the id of the process that holds `lock`."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 20, 0).decode()
        pid = int(text) if text.strip() else None
        return None if pid == os.getpid() else pid
    else:
        return None
    finally:
        os.close(descriptor)


def make_home(root: Path) -> Home:
    """Make a home at `root`, as `loopsy init` does but for the settings."""
    home = Home(root)
    home.create()
    create_identity(home)
    return home


class World:
    """Homes, nodes and a relay; all of it ends with the block of `open_world`."""

    def __init__(self, root: Path, stack: AsyncExitStack) -> None:
        self.relay = MemoryRelay()
        self._root = root
        self._stack = stack
        self._homes: dict[str, Home] = {}

    def home(self, name: str = "kai") -> Home:
        """Return the home of that name, made when first asked for."""
        if name not in self._homes:
            self._homes[name] = make_home(self._root / name)
        return self._homes[name]

    async def node(self, name: str = "kai") -> Node:
        """Open the node of a home, registered at the relay; its sessions live in this process."""
        home = self.home(name)
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        await nursery.start(serve_host, home)
        node = await self._stack.enter_async_context(open_node(home))
        node.relaying = self.relay.account()  # type: ignore[assignment]
        return node

    @asynccontextmanager
    async def local(self, node: Node) -> AsyncGenerator[Client]:
        """Be a program of the machine's user, without a socket."""
        near, far = memory_channels()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.serve_local, far)
            async with open_conversation(near, opener=True) as conversation:
                yield Client(conversation)

    async def pair(self, node: Node, phone: Phone, preset: str = "phone") -> None:
        """Pair `phone` with `node`, and hang up."""
        offer = await self.offer(node, preset)
        async with open_phone(node.serve_phone, phone.with_code(*offer)):
            pass

    async def offer(self, node: Node, preset: str = "phone") -> tuple[str, str]:
        """Have `node` offer a pairing; return its link and its code."""
        offer = await node.offer_pairing(OfferPairing(preset=preset))  # type: ignore[arg-type]
        return offer.pair_url, offer.code


@asynccontextmanager
async def open_world(root: Path) -> AsyncGenerator[World]:
    """Open an empty world whose homes lie in `root`."""
    async with AsyncExitStack() as stack:
        yield World(root, stack)
