"""A door for phones with nothing behind it: no disk, no thread, and a calendar that jumps."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from loopsy_core.errors import Gone, Refused
from loopsy_core.home import Identity
from loopsy_core.kit import Broadcast
from loopsy_core.links import open_conversation
from loopsy_core.node import door as door_file
from loopsy_core.node import phones as phones_file
from loopsy_core.node.door import Door as NodeDoor
from loopsy_core.node.phones import Phones
from loopsy_core.peers import MIGRATIONS, Book
from loopsy_core.wire import Event, HelloReply, OfferPairing, encode
from tests.world import InlineDatabase, MemoryRelay, PhoneLine, memory_channels

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopsy_core.kit import Database
    from loopsy_core.links import Asked, Channel
    from loopsy_core.links.relay import PhoneChannel
    from loopsy_core.node.grants import Asker
    from loopsy_core.node.relaying import Relaying
    from loopsy_core.wire import PairingOffer, Preset
    from tests.world import Door, MemoryChannel, Phone

E = TypeVar("E")

EPOCH: Final = 1.8e9
"""The time on the calendar when a test begins, in seconds since 1970."""


class Calendar:
    """Stands for the module `time`: it goes with trio's clock, and so jumps with it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return EPOCH + trio.current_time() + self.ahead


class Recorded(Broadcast[Event]):
    """Keeps all that was ever published."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Event] = []

    def publish(self, item: Event) -> None:
        self.items.append(item)
        super().publish(item)


class Porch:
    """The door of a node; whoever is let in is answered with who it is, whatever it asks."""

    def __init__(self, database: InlineDatabase, calendar: Calendar) -> None:
        self.calendar = calendar
        key = X25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        self.identity = Identity(key.private_bytes_raw(), public, "kai")
        self.book = Book(cast("Database", database), [])
        self.events = Recorded()
        self.door = NodeDoor(self.identity, "1.0", self.book, self.events)
        self.phones = Phones(self.door, self.events)
        self.relay = MemoryRelay()
        self.relaying = cast("Relaying", self.relay.account())
        self.let_in: list[Asker] = []

    async def serve(self, channel: PhoneChannel) -> None:
        pair = partial(self.phones.pair, client=channel.client)
        await self.door.serve(channel, channel.address, self._let_in, pair)

    async def _let_in(self, channel: Channel, asker: Asker) -> None:
        async def answer(_: Asked) -> HelloReply:
            await trio.lowlevel.checkpoint()
            node = self.identity
            contact = asker.contact or "nobody"
            return HelloReply(node.id, node.name, "1.0", sorted(asker.grants), contact)

        self.let_in.append(asker)
        async with open_conversation(channel, opener=False, answer=answer) as conversation:
            await conversation.wait_closed()

    async def offer(
        self, *, ttl: float = 300.0, preset: Preset = "phone", expires: float | None = None
    ) -> PairingOffer:
        request = OfferPairing(ttl=ttl, preset=preset, expires=expires)
        return await self.phones.offer(request, self.relaying)

    def published(self, kind: type[E]) -> list[E]:
        return [event for event in self.events.items if isinstance(event, kind)]


@contextmanager
def open_porch() -> Generator[Porch]:
    """Open a door whose calendar goes with trio's clock."""
    database = InlineDatabase(MIGRATIONS)
    with pytest.MonkeyPatch.context() as patch:
        calendar = Calendar()
        patch.setattr(phones_file, "time", calendar)
        patch.setattr(door_file, "time", calendar)
        try:
            yield Porch(database, calendar)
        finally:
            database.close()


@contextmanager
def at_the_door(nursery: trio.Nursery, door: Door) -> Generator[MemoryChannel]:
    """Stand at `door` with nothing said; yields our end of the line."""
    _, line = memory_channels(PhoneLine)
    nursery.start_soon(_serve, door, line)
    try:
        yield line.far
    finally:
        line.far.close_both()


async def word(door: Door, *messages: bytes) -> str:
    """Say `messages` at `door`, at once, and return the word with which it is closed."""
    async with trio.open_nursery() as nursery:
        with at_the_door(nursery, door) as near:
            if messages:
                await near.send(messages)
            return await last_word(near)
    raise AssertionError("unreachable")


async def last_word(near: MemoryChannel) -> str:
    """Return the word with which the other side closes, whatever it says before."""
    try:
        while True:
            await near.receive()
    except (Gone, Refused):
        return near.last_word or "nothing was said"


async def _serve(door: Door, line: PhoneLine) -> None:
    """Do what the link to the relay does, but let no failure pass."""
    try:
        await door(cast("PhoneChannel", line))
    except Gone:
        pass  # the phone left
    finally:
        await line.aclose()


def half_paired(phone: Phone, offer: PairingOffer) -> bytes:
    """Return a first message with the right code, and nothing to follow it with."""
    return phone.with_code(offer.pair_url, offer.code).first_message


def a_call() -> bytes:
    """Return an ask as it stands on the wire."""
    return encode([1, 1, "node.hello", {}, None])
