"""Phones at the node's door: pairing them, knowing them again, letting them in, revoking them."""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import LoopsyError, ProtocolViolation, Refused
from loopsy_core.home import Identity, peer_id
from loopsy_core.links import Channel, SealedChannel, receive_one
from loopsy_core.peers import Book, Contact, Offer, Offers, Presence
from loopsy_core.wire import (
    PRESETS,
    Established,
    Introduction,
    Knock,
    PairingOffer,
    PairLink,
    Pattern,
    PhoneConnected,
    PhoneInfo,
    PhoneLeft,
    PhonePaired,
    PhoneRevoked,
    Unreadable,
    WrongCode,
)

from .grants import Asker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Broadcast
    from loopsy_core.links.relay import PhoneChannel
    from loopsy_core.wire import Event, OfferPairing

    from .relaying import Relaying

__all__ = ["Phones"]

FIRST_WORDS: Final = 10.0
"""Seconds in which a caller must have shown that it is there, not a replay."""

_log = logging.getLogger("loopsy.phones")


class Phones:
    """The relay's door."""

    def __init__(
        self, identity: Identity, version: str, book: Book, events: Broadcast[Event]
    ) -> None:
        """Let in whom `book` knows, and whoever pairs."""
        self._identity = identity
        self._introduction = Introduction(identity.name, version)
        self._book = book
        self._events = events
        self._offers = Offers()
        self.presence = Presence()

    # The door.

    async def serve(
        self, channel: PhoneChannel, let_in: Callable[[Channel, Asker], Awaitable[None]]
    ) -> None:
        """See who calls, and serve them with `let_in` for as long as they stay welcome.

        Strangers hear nothing but that the connection ends, with a word for their user.
        """
        try:
            with trio.fail_after(FIRST_WORDS):
                first = await receive_one(channel)
                knock = Knock.parse(first)
                if knock.pattern is Pattern.IK:
                    established = await self._know_again(channel, knock)
                    offer = None
                else:
                    established, offer = await self._pair(channel, knock)
                sealed = _Proven(SealedChannel(channel, established.connection))
                await sealed.prove()
            contact_id = peer_id(established.remote)
            if offer is not None:
                await self._add(contact_id, offer, established, channel.client)
        except Refused as error:
            _log.info("a phone from %s was refused: %s", channel.address, error)
            await channel.aclose(str(error))
            return
        except (ProtocolViolation, trio.TooSlowError):
            await channel.aclose("protocol")
            return
        contact = self._book.get(contact_id)
        if contact is None or contact.expired(time.time()):  # while it proved itself
            await channel.aclose("unknown_key")
            return
        sealed.still_welcome = lambda: self._book.get(contact_id) is not None
        await self._stay(sealed, contact, let_in)

    async def _know_again(self, channel: Channel, knock: Knock) -> Established:
        try:
            heard = knock.read(self._identity.private, self._identity.public)
        except Unreadable:
            raise Refused("unknown_key") from None
        contact = self._book.get(peer_id(heard.remote))
        if contact is None or contact.expired(time.time()):
            raise Refused("unknown_key")
        second, established = heard.accept(self._introduction)
        await channel.send([second])
        return established

    async def _pair(self, channel: Channel, knock: Knock) -> tuple[Established, Offer]:
        offer = self._offers.find(knock.offer, time.time())
        if offer is None:
            raise Refused("offer_gone")
        try:
            heard = knock.read(self._identity.private, self._identity.public, offer.key)
        except Unreadable:
            left = self._offers.wrong(offer)
            self._events.publish(WrongCode(left))
            raise Refused(f"wrong_code:{left}") from None
        second, established = heard.accept(self._introduction)
        await channel.send([second])
        return established, offer

    async def _add(
        self, contact_id: PeerId, offer: Offer, established: Established, client: str
    ) -> None:
        if not self._offers.use(offer):
            raise Refused("offer_gone")  # another phone was faster, or it was burnt meanwhile
        known = self._book.get(contact_id)
        contact = Contact(
            contact_id,
            _clean(established.introduction.name),
            "phone",
            frozenset(PRESETS[offer.preset]),
            known.created_at if known else time.time(),
            expires_at=offer.pairing_expires_at,
            relay_client=client,
        )
        await self._book.put(contact)
        self.presence.cut(contact.id)  # an older connection may still have other grants
        _log.info("paired with phone %s (%s)", contact.name, contact.id[:8])
        self._events.publish(PhonePaired(contact.id, contact.name))

    async def _stay(
        self,
        sealed: Channel,
        contact: Contact,
        let_in: Callable[[Channel, Asker], Awaitable[None]],
    ) -> None:
        asker = Asker(f"phone {contact.name}", contact.grants, contact.id)
        expires_at = float("inf") if contact.expires_at is None else contact.expires_at
        patience = max(0.0, expires_at - time.time())
        with self.presence.present(contact.id) as visit:
            if visit.first:
                self._events.publish(PhoneConnected(contact.id, contact.name))
            with trio.move_on_after(patience):
                await self._book.seen(contact.id, time.time())
                await let_in(sealed, asker)
        if visit.last:
            self._events.publish(PhoneLeft(contact.id, contact.name))
            await self._book.seen(contact.id, time.time())

    # What the machine's user asks.

    async def offer(self, request: OfferPairing, relaying: Relaying) -> PairingOffer:
        """Open an offer and have the relay make a token for it."""
        now = time.time()
        if request.expires is not None and request.expires <= now:
            raise Refused("a pairing cannot expire in the past")
        api = relaying.api()
        offer = self._offers.make(
            now=now,
            ttl=request.ttl,
            preset=request.preset,
            pairing_expires_at=request.expires,
        )
        try:
            token = await api.issue(request.ttl)
        except BaseException:
            self._offers.withdraw(offer)
            raise
        link = PairLink(api.url, token.token, self._identity.id, offer.secret)
        return PairingOffer(str(link), offer.code, min(offer.expires_at, token.expires_at))

    def list(self) -> list[PhoneInfo]:
        """Return all paired phones."""
        return [self._info(contact) for contact in self._book.all("phone")]

    async def revoke(self, reference: str, relaying: Relaying) -> PhoneInfo:
        """Forget a phone and cut it off at once; the relay is told, if it can be reached."""
        contact = self._book.find(reference, "phone")
        await self.forget(contact.id, relaying)
        return self._info(contact)

    async def forget(self, contact_id: PeerId, relaying: Relaying) -> None:
        """Forget the phone with this key."""
        contact = self._book.get(contact_id)
        if contact is None:
            return
        self.presence.cut(contact_id)  # before anything that may take long, or fail
        with trio.CancelScope(shield=True):  # bounded by the disk; a phone may be revoking itself
            await self._book.remove(contact_id)
        self._events.publish(PhoneRevoked(contact.id, contact.name))
        _log.info("revoked phone %s (%s)", contact.name, contact.id[:8])
        if contact.relay_client is not None:
            try:
                await relaying.api().revoke_phone(contact.relay_client)
            except LoopsyError as error:
                _log.info("the relay keeps the account of %s: %s", contact.name, error)

    def _info(self, contact: Contact) -> PhoneInfo:
        return PhoneInfo(
            id=contact.id,
            name=contact.name,
            created_at=contact.created_at,
            last_seen=contact.last_seen,
            connected=self.presence.connected(contact.id),
            grants=sorted(contact.grants),
            expires_at=contact.expires_at,
            auto_approve=contact.auto_approve,
        )


class _Proven(Channel):
    """A sealed channel whose first messages were received before anything is done for the caller.

    A replayed first message gets this far and no further: its sender cannot seal a record.
    """

    def __init__(self, sealed: SealedChannel) -> None:
        self._sealed = sealed
        self._first: list[bytes] = []
        self.still_welcome: Callable[[], bool] = lambda: True

    async def prove(self) -> None:
        self._first = await self._sealed.receive()

    async def send(self, messages: Sequence[bytes]) -> None:
        await self._sealed.send(messages)

    async def receive(self) -> list[bytes]:
        if self._first:
            first, self._first = self._first, []
            return first
        return await self._sealed.receive()

    async def aclose(self, why: str = "bye") -> None:
        # Whoever is cut off is in the middle of a conversation, which knows no more than "bye".
        await self._sealed.aclose(why if self.still_welcome() else "revoked")


def _clean(name: str) -> str:
    """Return a stranger's name for itself without anything that is not printable."""
    return "".join(c for c in name if c.isprintable()).strip() or f"phone-{secrets.token_hex(2)}"
