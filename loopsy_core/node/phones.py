"""Phones: offering to pair, pairing them by link and code, listing and revoking them."""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING

import attrs
import trio

from loopsy_core.errors import BadRequest, NotFound, ProtocolViolation, Refused
from loopsy_core.peers import Contact, Offer, Offers
from loopsy_core.wire import (
    PRESETS,
    Established,
    Knock,
    PairingOffer,
    PairLink,
    PhoneInfo,
    PhonePaired,
    PhoneRevoked,
    Unreadable,
    WrongCode,
    clean_name,
)

from .door import FIRST_WORDS, Proven
from .grants import granted

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Broadcast
    from loopsy_core.links import Channel
    from loopsy_core.wire import Event, GrantPhone, OfferPairing, RenamePhone

    from .door import Door
    from .relaying import Relaying

__all__ = ["Phones"]

_log = logging.getLogger("loopsy.phones")


class Phones:
    """The phones in the book, and those that come to be in it."""

    def __init__(self, door: Door, events: Broadcast[Event]) -> None:
        """Let phones pair at `door`."""
        self._door = door
        self._book = door.book
        self._events = events
        self._offers = Offers()

    async def pair(self, channel: Channel, first: bytes, client: str) -> Proven:
        """Pair with a phone that has scanned a link; `client` is its account at the relay."""
        with trio.move_on_after(FIRST_WORDS):
            knock = Knock.parse(first)
            established, offer = await self._hear(channel, knock)
            proven = Proven(channel, established)
            await proven.prove()
            await self._add(proven.contact, offer, established, client)
            return proven
        raise ProtocolViolation("a phone does not go on with its pairing")

    async def _hear(self, channel: Channel, knock: Knock) -> tuple[Established, Offer]:
        offer = self._offers.find(knock.offer, time.time())
        if offer is None:
            raise Refused("offer_gone")
        try:
            heard = knock.read(self._door.identity.private, self._door.identity.public, offer.key)
        except Unreadable:
            left = self._offers.wrong(offer)
            self._events.publish(WrongCode(left))
            raise Refused(f"wrong_code:{left}") from None
        second, established = heard.accept(self._door.introduction)
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
        self._door.presence.cut(contact.id)  # an older connection may still have other grants
        _log.info("paired with phone %s (%s)", contact.name, contact.id[:8])
        self._events.publish(PhonePaired(contact.id, contact.name))

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
        link = PairLink(api.url, token.token, self._door.identity.id, offer.secret)
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
        self._door.presence.cut(contact_id)  # before anything that may take long, or fail
        with trio.CancelScope(shield=True):  # bounded by the disk; a phone may be revoking itself
            await self._book.remove(contact_id)
        self._events.publish(PhoneRevoked(contact.id, contact.name))
        _log.info("revoked phone %s (%s)", contact.name, contact.id[:8])
        if contact.relay_client is not None:
            await relaying.forget_client(contact.relay_client, contact.name)

    async def rename(self, request: RenamePhone) -> PhoneInfo:
        """Call a phone something else here."""
        contact = self._book.find(request.phone, "phone")
        name = clean_name(request.name, "phone")
        if self._book.free_name(name, contact.id) != name:
            raise BadRequest(f"another contact is called {name!r} already")
        return await self._change(contact, lambda current: attrs.evolve(current, name=name))

    async def grant(self, request: GrantPhone) -> PhoneInfo:
        """Change what a phone may do; its connections are made anew."""
        contact = self._book.find(request.phone, "phone")
        info = await self._change(contact, lambda current: granted(current, request))
        self._door.presence.cut(contact.id)
        return info

    async def _change(self, contact: Contact, change: Callable[[Contact], Contact]) -> PhoneInfo:
        changed = await self._book.change(contact, change)
        if changed is None:
            raise NotFound(f"{contact.name} was revoked, or has paired anew; nothing was changed")
        return self._info(changed)

    def _info(self, contact: Contact) -> PhoneInfo:
        return PhoneInfo(
            id=contact.id,
            name=contact.name,
            created_at=contact.created_at,
            last_seen=contact.last_seen,
            connected=self._door.presence.connected(contact.id),
            grants=sorted(contact.grants),
            expires_at=contact.expires_at,
            auto_approve=contact.auto_approve,
        )


def _clean(name: str) -> str:
    """Return a stranger's name for itself without anything that is not printable."""
    return "".join(c for c in name if c.isprintable()).strip() or f"phone-{secrets.token_hex(2)}"
