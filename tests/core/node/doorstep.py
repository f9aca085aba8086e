"""The node's door for phones without the node: no disk, no thread, so that the clock may jump."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from loopsy_core.errors import BadRequest
from loopsy_core.home import Identity
from loopsy_core.kit import Broadcast, one_error
from loopsy_core.links import open_conversation
from loopsy_core.node.phones import Phones
from loopsy_core.peers import MIGRATIONS, open_book
from loopsy_core.wire import Event, Hello, HelloReply, OfferPairing
from tests.world import InlineDatabase, MemoryRelay, Phone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.kit import Subscription
    from loopsy_core.links import Asked, Channel
    from loopsy_core.links.relay import PhoneChannel
    from loopsy_core.node.grants import Asker
    from loopsy_core.peers import Book
    from loopsy_core.wire import Preset


class Doorstep:
    """A book, its phones, and whoever was let in; made by `open_doorstep`."""

    def __init__(self, book: Book, events: Broadcast[Event]) -> None:
        key = Phone("kai")
        self.identity = Identity(key.private, key.public, "kai")
        self.book = book
        self.relay = MemoryRelay()
        self.relaying = self.relay.account()
        self.phones = Phones(self.identity, "1.0", book, events)
        self.inside: list[Asker] = []
        self.events: Subscription[Event]

    async def serve(self, channel: PhoneChannel) -> None:
        """Be the node's end of one phone's connection."""
        await self.phones.serve(channel, self._let_in)

    async def offer(
        self, preset: Preset = "phone", ttl: float = 300.0, lasts: float | None = None
    ) -> tuple[str, str]:
        """Offer a pairing that `lasts` so many seconds; return its link and its code."""
        expires = None if lasts is None else time.time() + lasts
        request = OfferPairing(preset=preset, ttl=ttl, expires=expires)
        offer = await self.phones.offer(request, self.relaying)  # type: ignore[arg-type]
        return offer.pair_url, offer.code

    async def revoke(self, phone: Phone) -> None:
        await self.phones.revoke(phone.id, self.relaying)  # type: ignore[arg-type]

    async def _let_in(self, channel: Channel, asker: Asker) -> None:
        async def answer(asked: Asked) -> object:
            if asked.op != Hello.op:
                raise BadRequest("that is not asked on a doorstep")
            return HelloReply(
                node_id=self.identity.id,
                name=self.identity.name,
                version="1.0",
                grants=sorted(asker.grants),
                contact=asker.contact or "",
            )

        self.inside.append(asker)
        async with open_conversation(channel, opener=False, answer=answer) as conversation:
            await conversation.wait_closed()


@asynccontextmanager
async def open_doorstep() -> AsyncGenerator[Doorstep]:
    """Stand at the door of a node that knows nobody yet."""
    database = InlineDatabase(MIGRATIONS)
    events: Broadcast[Event] = Broadcast()
    try:
        with one_error(), events.subscribe() as subscription:
            async with open_book(database) as book:
                door = Doorstep(book, events)
                door.events = subscription
                yield door
    finally:
        database.close()
