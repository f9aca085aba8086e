"""The composition root: a node is its parts, opened inside one another and left in order."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core import __version__
from loopsy_core.errors import Busy, Gone, LoopsyError
from loopsy_core.home import Home, load_config, load_identity, lock_file
from loopsy_core.kit import Backoff, Broadcast, contained, one_error, open_database
from loopsy_core.links import Channel, open_conversation, serve_local
from loopsy_core.peers import MIGRATIONS, open_book
from loopsy_core.sessions import HostStarter, open_host_link
from loopsy_core.wire import (
    Event,
    ListSessions,
    OfferPairing,
    PairingOffer,
    RelayChanged,
    RelayStatus,
    Status,
)

from .approvals import Approvals
from .grants import LOCAL, Asker
from .kinds import COMMANDS_TABLE, Kinds, open_kinds
from .notify import notify
from .phones import Phones
from .relaying import Relaying, open_relaying
from .router import Router
from .watching import watch_sessions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import Identity, PeerId
    from loopsy_core.links import Asked
    from loopsy_core.links.relay import PhoneChannel

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
        nursery: trio.Nursery,
    ) -> None:
        """Put the parts together."""
        self.identity = identity
        self.version = __version__
        self._hosts = hosts
        self.phones = phones
        self.events = events
        self.relaying: Relaying
        self._nursery = nursery
        self._started = time.monotonic()
        self._stopping = trio.Event()
        self.kinds = kinds
        self.approvals = approvals
        self._router = Router(self)

    async def serve(self, channel: Channel, asker: Asker) -> None:
        """Answer one caller's requests until it leaves."""
        async with open_host_link(self._hosts) as host:

            async def answer(asked: Asked) -> object:
                return await self._router.answer(asker, host, asked)

            async with open_conversation(channel, opener=False, answer=answer) as conversation:
                await conversation.wait_closed()

    async def serve_local(self, channel: Channel) -> None:
        """Answer a program of this machine's user."""
        await self.serve(channel, LOCAL)

    async def serve_phone(self, channel: PhoneChannel) -> None:
        """Answer a phone, once it has shown who it is."""
        await self.phones.serve(channel, self.serve)

    async def status(self) -> Status:
        """Return how the node is."""
        return Status(
            node_id=self.identity.id,
            name=self.identity.name,
            version=self.version,
            uptime=time.monotonic() - self._started,
            relay=self.relaying.status.value,
            sessions=await self.sessions_alive(),
            phones=len(self.phones.list()),
        )

    async def sessions_alive(self) -> int:
        """Return how many sessions run."""
        async with open_host_link(self._hosts) as link:
            host = await link.find()
            if host is None:
                return 0
            return sum(session.alive for session in (await host.ask(ListSessions())).sessions)

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

    async def publish_relay_changes(self) -> None:
        """Publish how the link to the relay stands, whenever it changes."""
        async for status in self.relaying.status.changes():
            self.events.publish(RelayChanged(status.url, status.connected, status.problem))


@asynccontextmanager
async def open_node(home: Home | None = None) -> AsyncGenerator[Node]:
    """Run the node of a home for as long as the block lasts; its sessions outlive it.

    The home must exist (`loopsy init` makes it). Raises `Busy` when a node runs there already,
    `Misconfigured` when a file or permission there must be mended first.
    """
    home = home or Home.find()
    home.check()
    with lock_file(home.node_lock), one_error():
        config = load_config(home.config)
        identity = load_identity(home, config.server.name)
        events: Broadcast[Event] = Broadcast()
        async with (
            open_database(home.database, (*MIGRATIONS, COMMANDS_TABLE)) as database,
            open_book(database) as book,
            open_kinds(database) as kinds,
            trio.open_nursery() as nursery,
        ):
            phones = Phones(identity, __version__, book, events)
            approvals = Approvals(book, events, notify)
            hosts = HostStarter(home)
            node = Node(identity, hosts, phones, events, kinds, approvals, nursery)
            async with open_relaying(home, identity.name, node.serve_phone) as relaying:
                node.relaying = relaying
                nursery.start_soon(node.publish_relay_changes)
                nursery.start_soon(watch_sessions, hosts, events)
                if config.relay.url is not None:
                    nursery.start_soon(_use_configured_relay, node, config.relay.url)
                await nursery.start(serve_local, home.node_socket, node.serve_local)
                _log.info("ready: %s (%s)", identity.name, identity.id[:8])
                yield node
                nursery.cancel_scope.cancel()


async def _use_configured_relay(node: Node, url: str) -> None:
    """Register with the relay that config.yaml names; from then on the link keeps itself up."""
    backoff = Backoff(first=1.0, most=60.0)
    while True:
        try:
            await node.use_relay(url)
            return
        except (Gone, Busy) as error:
            delay = backoff.next()
            _log.warning("%s; next try in %.0f s", error, delay)
            await trio.sleep(delay)
        except LoopsyError as error:
            _log.warning("the relay of config.yaml cannot be used: %s", error)
            return
