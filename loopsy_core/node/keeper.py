"""Keeping a way open to every machine in the book: directly where that works, else by relay.

Two tasks a machine: one calls it where it may be found, one calls it through its relay while it
is not reached directly. Either side may call; what the other side opened serves as well.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, LoopsyError, ProtocolViolation, Refused
from loopsy_core.home import parse_peer_id
from loopsy_core.kit import Backoff, Watched, contained, one_error
from loopsy_core.links import SealedChannel, receive_one
from loopsy_core.links.tcp import connect_tcp, parse_address
from loopsy_core.wire import Unreadable, greet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.home import PeerId
    from loopsy_core.links import Channel
    from loopsy_core.peers import Contact, Ways

    from .door import Door
    from .grants import Asker

__all__ = ["Keeper"]

HANDSHAKE: Final = 10.0
"""Seconds for the second message."""
LONGEST_PAUSE: Final = 4.0
"""Seconds between two tries at most: a machine that comes back is there within five."""
DIRECT_FIRST: Final = 1.0
"""Seconds that a direct way has before the relay is tried."""
DRAINING: Final = 60.0
"""Seconds that what goes on over the relay may take, once there is a direct way."""
GLANCE: Final = 0.5
"""Seconds between two looks at whether it is done."""

_log = logging.getLogger("loopsy.peers")


class Keeper:
    """Calls the machines of the book; `keep` never ends."""

    def __init__(
        self,
        door: Door,
        ways: Ways,
        serve: Callable[[Channel, Asker, str], Awaitable[None]],
        serve_by_relay: Callable[[Channel, Asker], Awaitable[None]],
        manual: tuple[str, ...],
    ) -> None:
        """Serve each connection with `serve`, which is told the address as well.

        `manual` are addresses that the user has named, where any machine may be found.
        """
        self._door = door
        self._ways = ways
        self._serve = serve
        self._serve_by_relay = serve_by_relay
        self._manual = manual
        self._problems: dict[PeerId, str] = {}
        self._found: dict[PeerId, tuple[str, ...]] = {}
        self.discovered = Watched(0)
        """Changes with each machine that is found on the network."""

    def problem(self, peer: PeerId) -> str | None:
        """Return why a machine was not reached the last time."""
        return self._problems.get(peer)

    def found(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """Note where the network says that a machine is; nothing of it is proven."""
        if self._found.get(peer) != addresses:
            self._found[peer] = addresses
            self.discovered.set(self.discovered.value + 1)

    def addresses(self, contact: Contact) -> list[str]:
        """Return where a machine may be, the most likely first."""
        places = (*self._found.get(contact.id, ()), *contact.addresses, *self._manual)
        return list(dict.fromkeys(places))

    async def keep(self) -> None:
        """Keep ways to all machines, as they come and go in the book."""
        scopes: dict[PeerId, trio.CancelScope] = {}
        async with trio.open_nursery() as nursery:
            async for _ in self._door.book.version.changes():
                known = {contact.id for contact in self._door.book.all("machine")}
                for gone in scopes.keys() - known:
                    scopes.pop(gone).cancel()
                    self._problems.pop(gone, None)
                for peer in known - scopes.keys():
                    scopes[peer] = trio.CancelScope()
                    nursery.start_soon(self._keep_one, peer, scopes[peer])

    async def _keep_one(self, peer: PeerId, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_direct, peer)
                nursery.start_soon(self._keep_relay, peer)

    # Directly.

    async def _keep_direct(self, peer: PeerId) -> None:
        backoff = Backoff(first=0.3, most=LONGEST_PAUSE)
        while True:
            await self._wait_for_need(peer, direct=True)
            seen = self.discovered.value
            if await self._try_addresses(peer):
                backoff.reset()
            with trio.move_on_after(backoff.next()):
                await self.discovered.wait(partial(_differs, seen))
                backoff.reset()

    async def _try_addresses(self, peer: PeerId) -> bool:
        """Call a machine wherever it may be; True if a connection stood for a while."""
        contact = self._door.book.get(peer)
        if contact is None:
            return False
        for address in self.addresses(contact):
            host, port = parse_address(address)
            try:
                with one_error():
                    channel = await connect_tcp(host, port)
                    try:
                        sealed = await self._greet(channel, peer, address)
                        self._problems.pop(peer, None)
                        await self._door.stay(
                            sealed, peer, partial(self._serve_at, address=address)
                        )
                    finally:
                        with trio.CancelScope(shield=True):  # closing a socket does not wait
                            await channel.aclose()
            except LoopsyError as error:
                self._problems[peer] = str(error)
            except Exception as error:
                _log.exception("calling %s", address)
                self._problems[peer] = f"calling {address} failed: {type(error).__name__}"
            else:
                return True
        return False

    async def _serve_at(self, channel: Channel, asker: Asker, address: str) -> None:
        await self._serve(channel, asker, address)

    async def _greet(self, channel: Channel, peer: PeerId, address: str) -> SealedChannel:
        greeting = greet(self._door.identity.private, parse_peer_id(peer), self._door.introduction)
        try:
            with trio.fail_after(HANDSHAKE):
                await channel.send([greeting.first_message])
                established = greeting.finish(await receive_one(channel))
        except Gone:
            raise Refused(
                f"whoever answers at {address} refuses us: another machine is there now, its key"
                " has changed, or it has forgotten us"
            ) from None
        except (Unreadable, ProtocolViolation, trio.TooSlowError):
            raise Refused(
                f"whoever answers at {address} is not the machine that we are paired with"
            ) from None
        return SealedChannel(channel, established.connection)

    # By relay.

    async def _keep_relay(self, peer: PeerId) -> None:
        backoff = Backoff(first=0.5, most=10.0)
        while True:
            await self._wait_for_need(peer, direct=False)
            with trio.move_on_after(DIRECT_FIRST):
                await self._ways.version.wait(lambda _: self._ways.best(peer) is not None)
                continue
            contact = self._door.book.get(peer)
            if contact is not None and contact.relay_url and contact.relay_bearer:
                with contained(_log, f"reaching {contact.name} by its relay"), suppress(Gone):
                    await self._through_relay(contact)
            await trio.sleep(backoff.next())

    async def _through_relay(self, contact: Contact) -> None:
        from loopsy_core.links.relay import open_sealed_by_relay

        assert contact.relay_url is not None
        assert contact.relay_bearer is not None
        greeting = greet(
            self._door.identity.private, parse_peer_id(contact.id), self._door.introduction
        )
        with one_error():
            async with open_sealed_by_relay(contact.relay_url, contact.relay_bearer, greeting) as (
                sealed,
                _,
            ):
                self._problems.pop(contact.id, None)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._leave_for_direct, contact.id, nursery.cancel_scope)
                    await self._door.stay(sealed, contact.id, self._serve_by_relay)
                    nursery.cancel_scope.cancel()

    async def _leave_for_direct(self, peer: PeerId, scope: trio.CancelScope) -> None:
        """End the way through the relay once there is a better one and nothing goes on over it."""
        await self._ways.version.wait(lambda _: self._is_direct(peer))
        with trio.move_on_after(DRAINING):
            while self._ways.busy(peer, "relay"):  # noqa: ASYNC110 - calls end one by one, unwatched
                await trio.sleep(GLANCE)
        scope.cancel()

    async def _wait_for_need(self, peer: PeerId, *, direct: bool) -> None:
        if direct:
            await self._ways.version.wait(lambda _: not self._is_direct(peer))
        else:
            await self._ways.version.wait(lambda _: self._ways.best(peer) is None)

    def _is_direct(self, peer: PeerId) -> bool:
        best = self._ways.best(peer)
        return best is not None and best.kind == "lan"


def _differs(seen: int, now: int) -> bool:
    return now != seen
