"""The machines in the book: adding, naming, granting, forgetting them, and reaching them."""

from __future__ import annotations

import ipaddress
import logging
import time
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import BadRequest, Gone, NotFound, Refused
from loopsy_core.home import default_name, is_name, parse_peer_id, peer_id
from loopsy_core.links.tcp import parse_address
from loopsy_core.peers import Contact
from loopsy_core.wire import (
    PRESETS,
    PeerInfo,
    PeerLost,
    PeerPaired,
    PeerReached,
    PeerRemoved,
    Preset,
)

from .grants import granted

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Broadcast
    from loopsy_core.links import Conversation
    from loopsy_core.peers import Ways
    from loopsy_core.wire import AddPeer, Event, GrantPeer

    from .door import Door
    from .keeper import Keeper
    from .pairing import Met
    from .relaying import Relaying

__all__ = ["LOCAL_NAME", "Machines"]

LOCAL_NAME: Final = "local"
"""What every machine calls itself, beside its own name."""

_log = logging.getLogger("loopsy.peers")


class Machines:
    """What this machine's user asks about others."""

    def __init__(
        self, door: Door, ways: Ways, keeper: Keeper, relaying: Relaying, events: Broadcast[Event]
    ) -> None:
        """Look after the machines in the book of `door`."""
        self._door = door
        self._book = door.book
        self._ways = ways
        self._keeper = keeper
        self._relaying = relaying
        self._events = events
        # One name at a time, or two machines of one name could both find it free.
        self._naming = trio.Lock()

    def list(self) -> list[PeerInfo]:
        """Return all machines, the oldest first."""
        return [self._info(contact) for contact in self._book.all("machine")]

    def reach(self, reference: str) -> Conversation:
        """Return the best connection with a machine, given by name, id or its beginning.

        Raises `NotFound`, or `Gone` when it is not reached now.
        """
        contact = self._book.find(reference, "machine")
        way = self._ways.best(contact.id)
        if way is None:
            problem = self._keeper.problem(contact)
            raise Gone(f"{contact.name} is not reached: {problem}")
        return way.conversation

    def is_machine(self, contact_id: PeerId) -> bool:
        """Whether a contact is another machine, and not a phone."""
        contact = self._book.get(contact_id)
        return contact is not None and contact.kind == "machine"

    def addressee(self, reference: str) -> tuple[PeerId | None, str]:
        """Return whom a message to `reference` is for, and their name; None is this machine."""
        if reference in (LOCAL_NAME, self._door.identity.name, self._door.identity.id):
            return None, self._door.identity.name
        contact = self._book.find(reference, "machine")
        return contact.id, contact.name

    def sender(self, contact_id: PeerId | None) -> tuple[PeerId, str]:
        """Return the machine that hands a message over, and its name; nobody else may."""
        contact = None if contact_id is None else self._book.get(contact_id)
        if contact is None or contact.kind != "machine":
            raise Refused("only a paired machine hands messages over; send one instead")
        return contact.id, contact.name

    async def publish_ways(self) -> None:
        """Publish for ever which machines are reached, and how, whenever that changes."""
        before: dict[PeerId, str | None] = {}
        async for _ in self._ways.version.changes():
            now: dict[PeerId, str | None] = {}
            for contact in self._book.all("machine"):
                way = self._ways.best(contact.id)
                now[contact.id] = None if way is None else way.kind
                if now[contact.id] == before.get(contact.id):
                    continue
                if way is None:
                    self._events.publish(PeerLost(contact.id, contact.name))
                else:
                    self._events.publish(PeerReached(contact.id, contact.name, way.kind))
            before = now

    async def paired(self, met: Met, preset: Preset, expires_at: float | None) -> PeerInfo:
        """Keep a machine that both users have confirmed."""
        established = met.compared.established
        return await self._keep(
            peer_id(established.remote),
            established.introduction.name,
            preset,
            expires_at,
            () if met.address is None else (met.address,),
            established.introduction.version,
        )

    async def add(self, request: AddPeer) -> PeerInfo:
        """Trust a key that the user brought by hand."""
        key = request.key.strip().lower()
        contact_id = peer_id(parse_peer_id(key))
        addresses: tuple[str, ...] = ()
        if request.address is not None:
            host, port = parse_address(request.address)
            addresses = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}",)
        name = request.name or _name_of(request.address, contact_id)
        return await self._keep(contact_id, name, request.preset, request.expires, addresses, None)

    async def _keep(
        self,
        contact_id: PeerId,
        name: str,
        preset: Preset,
        expires_at: float | None,
        addresses: tuple[str, ...],
        version: str | None,
    ) -> PeerInfo:
        if contact_id == self._door.identity.id:
            raise BadRequest("that is this machine itself")
        if expires_at is not None and expires_at <= time.time():
            raise Refused("a pairing cannot expire in the past")
        known = self._book.get(contact_id)
        if known is not None and known.kind != "machine":
            raise BadRequest(f"that is the key of {known.name}, a phone; revoke it first")
        async with self._naming:
            wanted = known.name if known else name
            wanted = wanted if is_name(wanted) else default_name(wanted)
            contact = Contact(
                contact_id,
                self._book.free_name(wanted, contact_id, self._ours()),
                "machine",
                frozenset(PRESETS[preset]),
                known.created_at if known else time.time(),
                last_seen=known.last_seen if known else None,
                expires_at=expires_at,
                # What we know of how to reach each other stays true with the key.
                relay_client=known.relay_client if known else None,
                addresses=addresses or (known.addresses if known else ()),
                relay_url=known.relay_url if known else None,
                relay_bearer=known.relay_bearer if known else None,
                version=version or (known.version if known else None),
            )
            await self._book.put(contact)
        self._door.presence.cut(contact_id)  # an older connection may still have other grants
        _log.info("paired with %s (%s)", contact.name, contact.id[:8])
        self._events.publish(PeerPaired(contact.id, contact.name))
        return self._info(contact)

    def _ours(self) -> frozenset[str]:
        """Return what no other machine may be called here: it is what this one is called."""
        return frozenset((LOCAL_NAME, self._door.identity.name))

    async def remove(self, reference: str) -> PeerInfo:
        """Forget a machine and cut it off at once."""
        contact = self._book.find(reference, "machine")
        info = self._info(contact)
        self._door.presence.cut(contact.id)
        await self._book.remove(contact.id)
        self._events.publish(PeerRemoved(contact.id, contact.name))
        _log.info("forgot %s (%s)", contact.name, contact.id[:8])
        if contact.relay_client is not None:
            await self._relaying.forget_client(contact.relay_client, contact.name)
        return info

    async def rename(self, reference: str, name: str) -> PeerInfo:
        """Call a machine something else here."""
        contact = self._book.find(reference, "machine")
        if not is_name(name):
            raise BadRequest(
                "a machine's name has letters, digits, dots, dashes and underscores, and begins"
                " with a letter or digit"
            )
        async with self._naming:
            if name in self._ours():
                raise BadRequest(f"{name!r} is what this machine is called")
            if self._book.free_name(name, contact.id) != name:
                raise BadRequest(f"another contact is called {name!r} already")
            return await self._change(contact, lambda current: attrs.evolve(current, name=name))

    async def grant(self, request: GrantPeer) -> PeerInfo:
        """Change what a machine may do; its connections are made anew."""
        contact = self._book.find(request.peer, "machine")
        info = await self._change(contact, lambda current: granted(current, request))
        self._door.presence.cut(contact.id)
        return info

    async def _change(self, contact: Contact, change: Callable[[Contact], Contact]) -> PeerInfo:
        changed = await self._book.change(contact, change)
        if changed is None:
            raise NotFound(f"{contact.name} was removed, or has paired anew; nothing was changed")
        return self._info(changed)

    def _info(self, contact: Contact) -> PeerInfo:
        way = self._ways.best(contact.id)
        return PeerInfo(
            id=contact.id,
            name=contact.name,
            created_at=contact.created_at,
            last_seen=contact.last_seen,
            grants=sorted(contact.grants),
            expires_at=contact.expires_at,
            way=None if way is None else way.kind,
            addresses=self._keeper.addresses(contact),
            problem=self._keeper.problem(contact) if way is None else None,
            version=contact.version,
            round_trip=None if way is None else way.round_trip,
            mend=self._keeper.mend(contact) if way is None else None,
            clock_ahead=None if way is None else way.clock_ahead,
        )


def _name_of(address: str | None, contact_id: PeerId) -> str:
    """Return what to call a machine of which its user has told but where it is."""
    host = "" if address is None else parse_address(address)[0]
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.split(".")[0] or f"machine-{contact_id[:4]}"
    return f"machine-{contact_id[:4]}"
