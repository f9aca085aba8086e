"""The composition root: a node is its parts, opened inside one another and left in order."""

from __future__ import annotations

import logging
import os
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import trio

from loopsy_core import __version__
from loopsy_core.capabilities import Files, Jobs, open_jobs
from loopsy_core.errors import PeerLeft
from loopsy_core.home import Home, load_config, load_identity, lock_file, open_audit_log
from loopsy_core.kit import Broadcast, contained, one_error, open_database
from loopsy_core.links import Channel, open_conversation, serve_local
from loopsy_core.links.addresses import own_addresses
from loopsy_core.links.mdns import Announcement
from loopsy_core.links.tcp import open_listeners, serve_tcp
from loopsy_core.peers import MIGRATIONS, Ways, open_book
from loopsy_core.sessions import HostStarter, open_host_link, without_guards
from loopsy_core.wire import (
    Event,
    HostInfo,
    OfferPairing,
    PairingOffer,
    RelayChanged,
    RelayStatus,
    Status,
)

from .acquaintance import Acquaintance
from .approvals import Approvals
from .carrying import Carrier
from .discovery import discover
from .door import Door
from .grants import HTTP, LOCAL, Asker
from .http import HttpDoor, open_http
from .keeper import Keeper
from .kinds import COMMANDS_TABLE, Kinds, open_kinds
from .limits import Limits
from .machines import Machines
from .notify import notify
from .pairing import Pairing
from .phones import Phones
from .relaying import Relaying, open_relaying
from .router import Router
from .sharing import Sharing, open_sharing
from .watching import watch_sessions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from loopsy_core.home import AuditLog, Identity, PeerId
    from loopsy_core.links import Answerer, Asked
    from loopsy_core.links.relay import PhoneChannel
    from loopsy_core.links.tcp import Caller
    from loopsy_core.sessions import HostLink

    from .door import Proven

__all__ = ["Node", "open_node"]

GOODBYE: Final = 0.5
"""Seconds in which whoever asked for an end gets the reply and hangs up."""

_log = logging.getLogger("loopsy.node")


class Node:
    """One machine's node; `open_node` makes it."""

    def __init__(
        self,
        identity: Identity,
        hosts: HostStarter,
        phones: Phones,
        events: Broadcast[Event],
        kinds: Kinds,
        approvals: Approvals,
        door: Door,
        limits: Limits,
        log: AuditLog,
        nursery: trio.Nursery,
    ) -> None:
        """Put the parts together."""
        self.identity = identity
        self.version = __version__
        self._hosts = hosts
        self.phones = phones
        self.events = events
        self.relaying: Relaying
        self.jobs: Jobs
        self.files: Files
        self.carrier: Carrier
        self._nursery = nursery
        self._started = time.monotonic()
        self._stopping = trio.Event()
        self.kinds = kinds
        self.approvals = approvals
        self.door = door
        self.pairing = Pairing(door)
        self.ways = Ways()
        self.machines: Machines
        self.sharing: Sharing
        self.port: int | None = None
        """Where it listens for machines; None when it does not."""
        self.http: HttpDoor
        self._router = Router(self, limits, log)

    async def serve(self, channel: Channel, asker: Asker) -> None:
        """Answer one caller's requests until it leaves."""
        async with (
            open_host_link(self._hosts) as host,
            open_conversation(
                channel, opener=False, answer=self._answerer(asker, host)
            ) as conversation,
        ):
            await conversation.wait_closed()

    async def converse(
        self,
        channel: Channel,
        asker: Asker,
        *,
        kind: Literal["lan", "relay"],
        opener: bool,
        address_at: Callable[[int], str | None],
    ) -> None:
        """Answer a machine's requests, and let it be asked, until it leaves.

        `address_at` returns where it could be called, given the port on which it listens.
        """
        peer = asker.contact
        assert peer is not None
        async with (
            open_host_link(self._hosts) as host,
            open_conversation(
                channel, opener=opener, answer=self._answerer(asker, host), lost=PeerLeft
            ) as conversation,
        ):
            with self.ways.open(peer, conversation, kind) as way, one_error():
                acquaintance = Acquaintance(self.door.book, peer, conversation, way, address_at)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(acquaintance.keep)
                    nursery.start_soon(self.sharing.hand_over, peer, conversation)
                    await conversation.wait_closed()
                    nursery.cancel_scope.cancel()

    def _answerer(self, asker: Asker, host: HostLink) -> Answerer:
        async def answer(asked: Asked) -> object:
            return await self._router.answer(asker, host, asked)

        return answer

    # The doors.

    async def serve_local(self, channel: Channel) -> None:
        """Answer a program of this machine's user."""
        await self.serve(channel, LOCAL)

    async def serve_http(self, channel: Channel) -> None:
        """Answer what is asked by HTTP, of which the door has seen that it is the user."""
        await self.serve(channel, HTTP)

    async def serve_phone(self, channel: PhoneChannel) -> None:
        """Answer whoever comes through the relay, once it has shown who it is."""

        async def pair(channel: Channel, first: bytes) -> Proven:
            return await self.phones.pair(channel, first, client)

        client = channel.client
        await self.door.serve(
            channel, channel.address, partial(self.serve_by_relay, client=client), pair
        )

    async def serve_by_relay(
        self, channel: Channel, asker: Asker, *, client: str | None = None
    ) -> None:
        """Answer a contact that came through a relay; `client` is its account at ours."""
        assert asker.contact is not None
        if not self.is_machine(asker.contact):
            await self.serve(channel, asker)
            return
        await self.door.book.note_way(asker.contact, relay_client=client)
        await self.converse(
            channel, asker, kind="relay", opener=client is None, address_at=lambda _: None
        )

    async def serve_lan(self, caller: Caller) -> None:
        """Answer whoever calls directly, once it has shown who it is."""

        async def pair(channel: Channel, first: bytes) -> None:
            await self.pairing.called(channel, first, caller.known)

        let_in = partial(self._serve_lan, caller.address)
        await self.door.serve(caller, caller.address, let_in, pair, caller.known)

    async def _serve_lan(self, address: str, channel: Channel, asker: Asker) -> None:
        assert asker.contact is not None
        if not self.is_machine(asker.contact):
            await self.serve(channel, asker)
            return
        host = f"[{address}]" if ":" in address else address
        await self.converse(
            channel,
            asker,
            kind="lan",
            opener=False,
            address_at=lambda port: f"{host}:{port}",
        )

    async def serve_called(self, channel: Channel, asker: Asker, address: str) -> None:
        """Talk with a machine that we have called at `address`."""
        await self.converse(channel, asker, kind="lan", opener=True, address_at=lambda _: address)

    async def listen(self, http_port: int, *, loopback: bool = False) -> None:
        """Listen for other machines, on the port behind that of the HTTP door.

        With `loopback` only for other nodes on this one. Raises `Busy` when the port is taken.
        """
        port = http_port + 1 if http_port else 0
        listeners = await open_listeners(port, loopback=loopback)
        self.port = listeners[0].socket.getsockname()[1]
        await self._nursery.start(serve_tcp, listeners, self.serve_lan)
        _log.info("listening for machines on port %d", self.port)

    def is_machine(self, contact: PeerId) -> bool:
        """Whether a contact is another machine, and not a phone."""
        return self.machines.is_machine(contact)

    def lan_addresses(self) -> list[str]:
        """Return where other machines can call this one."""
        return [] if self.port is None else own_addresses(self.port)

    async def status(self) -> Status:
        """Return how the node is."""
        host = await self._host()
        return Status(
            node_id=self.identity.id,
            name=self.identity.name,
            version=self.version,
            uptime=time.monotonic() - self._started,
            relay=self.relaying.status.value,
            sessions=0 if host is None else host.sessions,
            phones=len(self.phones.list()),
            port=self.port,
            peers=len(self.machines.list()),
            host=host,
            http_port=self.http.port,
            http_problem=self.http.problem,
            sharing_problem=self.sharing.problem,
        )

    async def sessions_alive(self) -> int:
        """Return how many sessions run."""
        host = await self._host()
        return 0 if host is None else host.sessions

    async def _host(self) -> HostInfo | None:
        async with open_host_link(self._hosts) as link:
            return await link.look()

    async def offer_pairing(self, request: OfferPairing) -> PairingOffer:
        """Offer a phone to pair, through the relay in use."""
        return await self.phones.offer(request, self.relaying)

    async def use_relay(
        self, url: str, registration_secret: str | None = None, *, moved_from: str | None = None
    ) -> RelayStatus:
        """Use the relay at `url`, registering there if need be.

        `moved_from` is the address of the very same relay until now, if it had another: then
        our account goes with it, and so do its phones. Never name another relay there, for our
        secret is shown to the new address.
        """
        return await self.relaying.ensure(url, registration_secret, moved_from)

    def stop_soon(self) -> None:
        """Let `wait_stopped` return."""
        self._stopping.set()

    async def wait_stopped(self) -> None:
        """Wait until somebody asks the node to stop."""
        await self._stopping.wait()

    def stop_after(self, asked: Asked) -> None:
        """Stop once the asker has its reply and left, or after a moment."""
        self._nursery.start_soon(self._stop_after, asked)

    async def _stop_after(self, asked: Asked) -> None:
        with trio.move_on_after(GOODBYE):
            await asked.wait_left()
        self.stop_soon()

    def forget_after(self, asked: Asked, contact: PeerId) -> None:
        """Forget a contact once it has the reply to its own request, or after a moment."""
        self._nursery.start_soon(self._forget_after, asked, contact)

    async def _forget_after(self, asked: Asked, contact: PeerId) -> None:
        with trio.move_on_after(GOODBYE):
            await asked.wait_left()
        with contained(_log, f"forgetting {contact[:8]}"):
            await self.phones.forget(contact, self.relaying)
        self.jobs.cancel_all_of(contact)

    async def publish_relay_changes(self) -> None:
        """Publish how the link to the relay stands, whenever it changes."""
        async for status in self.relaying.status.changes():
            self.events.publish(RelayChanged(status.url, status.connected, status.problem))


@asynccontextmanager
async def open_node(
    home: Home | None = None, *, lan: bool = False, loopback: bool = False
) -> AsyncGenerator[Node]:
    """Run the node of a home for as long as the block lasts; its sessions outlive it.

    With `lan` it listens for other machines, on the port behind that of the HTTP door; with
    `loopback` in its place, for other nodes on this machine.

    The home must exist (`loopsy init` makes it). Raises `Busy` when a node runs there already,
    `Misconfigured` when a file or permission there must be mended first.
    """
    home = home or Home.find()
    home.check()
    with lock_file(home.node_lock), open_audit_log(home.audit_log) as audit, one_error():
        config = load_config(home.config)
        identity = load_identity(home, config.server.name)
        events: Broadcast[Event] = Broadcast()
        async with (
            open_database(home.database, (*MIGRATIONS, COMMANDS_TABLE)) as database,
            open_book(database) as book,
            open_kinds(database) as kinds,
            open_sharing(home.shared_database, identity.name, book, config.context) as sharing,
            trio.open_nursery() as nursery,
        ):
            door = Door(identity, __version__, book, events)
            phones = Phones(door, events)
            approvals = Approvals(book, events, notify)
            hosts = HostStarter(home)
            limits = Limits(config.rate_limits)
            node = Node(
                identity, hosts, phones, events, kinds, approvals, door, limits, audit, nursery
            )
            async with (
                open_relaying(home, identity.name, node.serve_phone) as relaying,
                open_jobs(config.execution, without_guards(os.environ)) as jobs,
            ):
                node.relaying = relaying
                node.jobs = jobs
                node.files = Files(config.transfer, home, identity.name)
                node.carrier = Carrier(home)
                keeper = Keeper(
                    door,
                    node.ways,
                    node.serve_called,
                    node.serve_by_relay,
                    config.discovery.manual_peers,
                )
                node.machines = Machines(door, node.ways, keeper, relaying, events)
                sharing.machines = node.machines
                node.sharing = sharing
                if lan or loopback:
                    await node.listen(config.server.port, loopback=not lan)
                nursery.start_soon(keeper.keep)
                nursery.start_soon(node.machines.publish_ways)
                if config.discovery.enabled:
                    told = node.port and Announcement(identity.id, identity.name, node.port)
                    nursery.start_soon(discover, told or None, book, keeper)
                nursery.start_soon(node.publish_relay_changes)
                nursery.start_soon(watch_sessions, hosts, events)
                if config.relay.url is not None:
                    nursery.start_soon(relaying.use_configured, config.relay.url)
                async with open_http(home, config.server, node.serve_http) as node.http:
                    await nursery.start(serve_local, home.node_socket, node.serve_local)
                    _log.info("ready: %s (%s)", identity.name, identity.id[:8])
                    yield node
                    await jobs.end_all()  # while whoever asked for them still hears how they ended
                nursery.cancel_scope.cancel()
