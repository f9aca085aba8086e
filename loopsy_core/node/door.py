"""What every door of the node does with a caller: has it prove its key, and knows it again.

Strangers hear nothing but that the connection ends, with a word for their user where the transport
has one. A handshake's first message may be a replay, so nothing is done for whoever sent it
before a record of theirs has opened.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, Misconfigured, ProtocolViolation, Refused
from loopsy_core.home import Identity, peer_id
from loopsy_core.kit import Buckets, one_error
from loopsy_core.links import Channel, SealedChannel, receive_one
from loopsy_core.peers import Book, Presence
from loopsy_core.wire import (
    Established,
    Introduction,
    Knock,
    Pattern,
    PhoneConnected,
    PhoneLeft,
    Unreadable,
    check_protocol,
)

from .grants import Asker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Broadcast
    from loopsy_core.peers import Contact
    from loopsy_core.wire import Event

    LetIn: TypeAlias = Callable[[Channel, Asker], Awaitable[None]]

__all__ = ["FIRST_WORDS", "Door", "LetIn", "Proven"]

FIRST_WORDS: Final = 10.0
"""Seconds in which a caller must have shown that it is there, not a replay."""
CALENDAR: Final = 60.0
"""Seconds between two looks at whether a contact has expired: a clock may be set, and a machine
that sleeps does not count."""
NOTED: Final = 1 / 60
"""Refused callers a second of one address that are worth a line of the log."""

_log = logging.getLogger("loopsy.door")


class Door:
    """One for all transports: who is in the book may come in."""

    def __init__(
        self, identity: Identity, version: str, book: Book, events: Broadcast[Event]
    ) -> None:
        """Let in whom `book` knows."""
        self.identity = identity
        self.introduction = Introduction(identity.name, version)
        self.book = book
        self.presence = Presence()
        self.unsuited: dict[PeerId, Misconfigured] = {}
        """Why contacts were turned away that are welcome, but speak another protocol."""
        self._events = events
        self._noted: Buckets[str] = Buckets(NOTED, 3)

    async def serve(
        self,
        channel: Channel,
        address: str,
        let_in: LetIn,
        pair: Callable[[Channel, bytes], Awaitable[Proven | None]],
        known: Callable[[], None] = lambda: None,
    ) -> None:
        """See who calls, and serve them with `let_in` for as long as they stay welcome.

        `known` is called as soon as it is clear that this is no stranger.

        Whoever is not paired yet is handed to `pair` with the first message; it returns the
        channel of somebody who now is, or None when there is nothing more to do.
        """
        try:
            with trio.move_on_after(FIRST_WORDS) as patience:
                first = await receive_one(channel)
                if first[:1] == b"\1":
                    proven = await self._know_again(channel, Knock.parse(first))
                    await proven.prove()
            if patience.cancelled_caught:
                await channel.aclose("protocol")
                return
            if first[:1] != b"\1":
                pairing = await pair(channel, first)
                if pairing is None:
                    return
                proven = pairing
        except Refused as error:
            if self._noted.take(address, trio.current_time()):
                _log.info("a caller from %s was refused: %s", address, error)
            await channel.aclose(str(error))
            return
        except (ProtocolViolation, Misconfigured):
            await channel.aclose("protocol")
            return
        except Gone:  # the caller, before it has shown who it is: anybody may do that
            return
        known()  # before anything that may wait, lest strangers push it out meanwhile
        proven.still_welcome = lambda: self.book.get(proven.contact) is not None
        if not await self.stay(proven, proven.contact, let_in):
            await channel.aclose("unknown_key")

    async def _know_again(self, channel: Channel, knock: Knock) -> Proven:
        if knock.pattern is not Pattern.IK:
            raise ProtocolViolation("that is another greeting")
        try:
            heard = knock.read(self.identity.private, self.identity.public)
        except Unreadable:
            raise Refused("unknown_key") from None
        contact = self.book.get(peer_id(heard.remote))
        if contact is None or contact.expired(time.time()):
            raise Refused("unknown_key")
        second, established = heard.accept(self.introduction)
        await channel.send([second])  # it tells the caller our protocol, too
        try:
            check_protocol(heard.introduction)
        except Misconfigured as error:
            before = self.unsuited.get(contact.id)
            if before is None or before.message != error.message:
                _log.warning("%s was turned away: %s", contact.name, error)
            self.unsuited[contact.id] = error
            raise
        return Proven(channel, established)

    async def stay(self, channel: Channel, contact_id: PeerId, let_in: LetIn) -> bool:
        """Serve a contact that has proven its key, for as long as it stays welcome.

        Returns False at once when it is not known, or no more.
        """
        contact = self.book.get(contact_id)
        if contact is None or contact.expired(time.time()):  # while it proved itself
            return False
        asker = Asker(f"{contact.kind} {contact.name}", contact.grants, contact.id)
        self.unsuited.pop(contact.id, None)
        with self.presence.present(contact.id) as visit:
            if visit.first and contact.kind == "phone":
                self._events.publish(PhoneConnected(contact.id, contact.name))
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_expire, contact, nursery.cancel_scope)
                    await self.book.seen(contact.id, time.time())
                    await let_in(channel, asker)
                    nursery.cancel_scope.cancel()
        if visit.last:
            if contact.kind == "phone":
                self._events.publish(PhoneLeft(contact.id, contact.name))
            await self.book.seen(contact.id, time.time())
        return True


async def _expire(contact: Contact, scope: trio.CancelScope) -> None:
    """Cancel `scope` when the contact counts no more."""
    if contact.expires_at is None:
        return
    while (left := contact.expires_at - time.time()) > 0:  # noqa: ASYNC110 - calendars tell nobody
        await trio.sleep(min(left, CALENDAR))
    scope.cancel()


class Proven(Channel):
    """A sealed channel whose first messages were received before anything is done for the caller.

    A replayed first message gets this far and no further: its sender cannot seal a record.
    """

    def __init__(self, transport: Channel, established: Established) -> None:
        """Talk over `transport` with whom the handshake has brought."""
        self._sealed = SealedChannel(transport, established.connection)
        self._first: list[bytes] = []
        self.contact = peer_id(established.remote)
        self.still_welcome: Callable[[], bool] = lambda: True

    async def prove(self) -> None:
        """Wait for the caller's first messages."""
        self._first = await self._sealed.receive()

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send."""
        await self._sealed.send(messages)

    def send_nowait(self, messages: Sequence[bytes]) -> bool:
        """Send at once, if that is possible."""
        return self._sealed.send_nowait(messages)

    @property
    def unsent(self) -> bool:
        """Whether something is still to be sent."""
        return self._sealed.unsent

    async def receive(self) -> list[bytes]:
        """Receive, first what came before."""
        if self._first:
            first, self._first = self._first, []
            return first
        return await self._sealed.receive()

    async def aclose(self, why: str = "bye") -> None:
        """Close. Whoever is cut off is in the middle of a conversation, which knows but "bye"."""
        await self._sealed.aclose(why if self.still_welcome() else "revoked")
