"""Keeping a way open to every machine in the book: directly where that works, else by relay.

Two tasks a machine: one calls it where it may be found, one calls it through its relay while it
is not reached directly. Either side may call; what the other side opened serves as well.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from operator import ne
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import Gone, LoopsyError, Refused
from loopsy_core.home import parse_peer_id
from loopsy_core.kit import Backoff, TokenBucket, Watched, one_error
from loopsy_core.wire import check_protocol, greet

from .calling import Line, call_first, call_machine, most_telling
from .door import CALENDAR
from .mending import UNKNOWN, mend_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.home import PeerId
    from loopsy_core.links import Channel
    from loopsy_core.peers import Contact, WayKind, Ways

    from .door import Door
    from .grants import Asker

__all__ = ["Keeper"]

LONGEST_PAUSE: Final = 4.0
"""Seconds between two tries at most: a machine that comes back is there within five."""
STEADY: Final = 10.0
"""Seconds that a connection has to stand, for the next to be made without a longer pause."""
NEWS: Final = 0.5
"""Pieces of news a second of where a machine is that are acted upon at once: anybody on the
network may say anything, as often as they like."""
MANUAL_AT_ONCE: Final = 4
"""Addresses that any machine might have which are tried at a time."""
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
        self._rounds = 0
        self._held: dict[str, PeerId] = {}  # who is at the other end of our calls
        self._problems: dict[tuple[PeerId, str], LoopsyError] = {}  # by way
        self._written: set[tuple[PeerId, str]] = set()  # those that are in the log
        self._found: dict[PeerId, tuple[str, ...]] = {}
        self._networks = 0
        self._news = Watched(0)

    def problem(self, contact: Contact) -> str:
        """Return why a machine was not reached the last time, in a sentence."""
        unsuited = self._door.unsuited.get(contact.id)
        if unsuited is not None:
            return unsuited.message
        direct, relayed = self._met(contact.id)
        if direct is None and relayed is None and self._may_be_met(contact):
            return "it is being called"
        said = UNKNOWN if direct is None else direct.message
        return said if relayed is None else f"{said}; by its relay: {relayed.message}"

    def mend(self, contact: Contact) -> str:
        """Return what to try with a machine that is not reached."""
        unsuited = self._door.unsuited.get(contact.id)
        if unsuited is not None:
            return mend_of(contact.name, unsuited, None)
        direct, relayed = self._met(contact.id)
        if direct is None and relayed is None and self._may_be_met(contact):
            return "look again in some seconds"
        return mend_of(contact.name, direct, relayed)

    def _may_be_met(self, contact: Contact) -> bool:
        return bool(self.addresses(contact) or contact.relay_url)

    def _met(self, peer: PeerId) -> tuple[LoopsyError | None, LoopsyError | None]:
        return self._problems.get((peer, "lan")), self._problems.get((peer, "relay"))

    def found(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """Note where the network says that a machine is; nothing of it is proven."""
        if self._found.get(peer, ()) != addresses:
            self._found[peer] = addresses
            self._news.set(self._news.value + 1)

    def look_again(self) -> None:
        """Note that this machine is in another network: who was away may be near."""
        self._networks += 1
        self._news.set(self._news.value + 1)

    def addresses(self, contact: Contact) -> list[str]:
        """Return where a machine may be, the most likely first."""
        return list(dict.fromkeys((*self._likely(contact), *self._manual)))

    async def keep(self) -> None:
        """Keep ways to all machines, as they come and go in the book."""
        scopes: dict[PeerId, trio.CancelScope] = {}
        async with trio.open_nursery() as nursery:
            async for _ in self._door.book.version.changes():
                known = {contact.id for contact in self._door.book.all("machine")}
                for gone in scopes.keys() - known:
                    scopes.pop(gone).cancel()
                    self._forget(gone)
                for peer in known - scopes.keys():
                    scopes[peer] = trio.CancelScope()
                    nursery.start_soon(self._keep_one, peer, scopes[peer])

    async def _keep_one(self, peer: PeerId, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_direct, peer)
                nursery.start_soon(self._keep_relay, peer)

    def _forget(self, peer: PeerId) -> None:
        self._found.pop(peer, None)
        self._door.unsuited.pop(peer, None)
        for way in ("lan", "relay"):
            self._problems.pop((peer, way), None)
            self._written.discard((peer, way))

    def _likely(self, contact: Contact) -> tuple[str, ...]:
        return (*self._found.get(contact.id, ()), *contact.addresses)

    # Directly.

    async def _keep_direct(self, peer: PeerId) -> None:
        backoff = Backoff(first=0.3, most=LONGEST_PAUSE)
        news = TokenBucket(NEWS, 3)
        while True:
            await self._ways.version.wait(lambda _: not self.is_direct(peer))
            contact = await self._wait_welcome(peer)
            before = self._whereabouts(peer)
            began = trio.current_time()
            await self._call_directly(contact)
            if trio.current_time() - began >= STEADY:
                backoff.reset()
            with trio.move_on_after(backoff.next()):
                while True:
                    await self._news.wait(partial(self._is_elsewhere, peer, before))
                    if news.take(trio.current_time()):
                        break
                    before = self._whereabouts(peer)

    def _whereabouts(self, peer: PeerId) -> tuple[int, tuple[str, ...]]:
        return self._networks, self._found.get(peer, ())

    def _is_elsewhere(self, peer: PeerId, before: tuple[int, tuple[str, ...]], _: int) -> bool:
        return self._whereabouts(peer) != before

    async def _wait_welcome(self, peer: PeerId) -> Contact:
        """Return the contact, once it counts (again)."""
        while True:
            contact = self._door.book.get(peer)
            if contact is not None and not contact.expired(time.time()):
                return contact
            ended = "its time here is over; `loopsy peers grant` gives it more, or pair again"
            self._failed(peer, "lan", Refused(ended, why="expired"))
            self._problems.pop((peer, "relay"), None)
            with trio.move_on_after(CALENDAR):
                version = self._door.book.version
                await version.wait(partial(ne, version.value))

    async def _call_directly(self, contact: Contact) -> None:
        """Call a machine wherever it may be, and talk with it while the connection stands."""
        try:
            with one_error():
                found = await call_first(self._places(contact), partial(self._call, contact.id))
                if isinstance(found, Line):
                    await self._talk(contact.id, found)
                elif (error := most_telling(found, self._likely(contact))) is not None:
                    self._failed(contact.id, "lan", error)
        except LoopsyError as error:  # what stood until now is lost
            self._failed(contact.id, "lan", error)
        except Exception as error:
            _log.exception("calling %s", contact.name)
            self._failed(contact.id, "lan", LoopsyError(f"calling it failed: {error!r}"))

    def _places(self, contact: Contact) -> list[str]:
        """Return where to call now: of the addresses that any machine may have some, in turn."""
        self._rounds += 1
        others = [each for each in self._manual if self._held.get(each, contact.id) == contact.id]
        if len(others) > MANUAL_AT_ONCE:
            at = self._rounds * MANUAL_AT_ONCE % len(others)
            others = [*others[at:], *others[:at]][:MANUAL_AT_ONCE]
        return list(dict.fromkeys((*self._likely(contact), *others)))

    async def _call(self, peer: PeerId, address: str) -> Line:
        return await call_machine(self._door.identity, self._door.introduction, peer, address)

    async def _talk(self, peer: PeerId, line: Line) -> None:
        async def serve(channel: Channel, asker: Asker) -> None:
            await self._serve(channel, asker, line.address)

        self._reached(peer, "lan")
        self._held[line.address] = peer
        try:
            await self._door.stay(line.channel, peer, serve)
        finally:
            self._held.pop(line.address, None)
            with trio.CancelScope(shield=True):  # closing a socket does not wait
                await line.aclose()

    # By relay.

    async def _keep_relay(self, peer: PeerId) -> None:
        backoff = Backoff(first=0.5, most=LONGEST_PAUSE)
        while True:
            await self._ways.version.wait(lambda _: self._ways.best(peer) is None)
            with trio.move_on_after(DIRECT_FIRST):
                await self._ways.version.wait(lambda _: self._ways.best(peer) is not None)
                continue
            contact = await self._wait_welcome(peer)
            began = trio.current_time()
            if contact.relay_url and contact.relay_bearer:
                try:
                    await self._through_relay(contact, contact.relay_url, contact.relay_bearer)
                except LoopsyError as error:
                    await self._lost_relay(contact, error)
                except Exception as error:
                    _log.exception("reaching %s by its relay", contact.name)
                    self._failed(peer, "relay", LoopsyError(f"calling it failed: {error!r}"))
            if trio.current_time() - began >= STEADY:
                backoff.reset()
            await trio.sleep(backoff.next())

    async def _through_relay(self, contact: Contact, url: str, bearer: str) -> None:
        from loopsy_core.links.relay import open_sealed_by_relay

        greeting = greet(
            self._door.identity.private, parse_peer_id(contact.id), self._door.introduction
        )
        with one_error():
            async with open_sealed_by_relay(url, bearer, greeting) as (sealed, established):
                check_protocol(established.introduction)
                self._reached(contact.id, "relay")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._leave_for_direct, contact.id, nursery.cancel_scope)
                    await self._door.stay(sealed, contact.id, self._serve_by_relay)
                    nursery.cancel_scope.cancel()

    async def _lost_relay(self, contact: Contact, error: LoopsyError) -> None:
        """Note why the relay does not help; an account that is void there is forgotten."""
        void = "account" in error.details
        if isinstance(error, Refused) and not void:  # the machine itself, in a word for programs
            error = Refused(
                "it refuses us: its key has changed, or it has forgotten us", why="refuses"
            )
        self._failed(contact.id, "relay", error)
        if void:
            # The machine lets us in anew once we meet it directly (`acquaintance.py`).
            await self._door.book.change(
                contact, lambda known: attrs.evolve(known, relay_url=None, relay_bearer=None)
            )

    async def _leave_for_direct(self, peer: PeerId, scope: trio.CancelScope) -> None:
        """End the way through the relay once there is a better one and nothing goes on over it."""
        await self._ways.version.wait(lambda _: self.is_direct(peer))
        with trio.move_on_after(DRAINING):
            while self._ways.busy(peer, "relay"):  # noqa: ASYNC110 - calls end one by one, unwatched
                await trio.sleep(GLANCE)
        scope.cancel()

    def is_direct(self, peer: PeerId) -> bool:
        """Whether a machine is reached directly."""
        best = self._ways.best(peer)
        return best is not None and best.kind == "lan"

    # What went wrong.

    def _reached(self, peer: PeerId, way: WayKind) -> None:
        self._problems.pop((peer, way), None)
        self._door.unsuited.pop(peer, None)

    def _failed(self, peer: PeerId, way: WayKind, error: LoopsyError) -> None:
        """Note why a machine is not reached; what is no mere absence is written down, once.

        The second time: of two machines that have just paired, one is a moment behind.
        """
        before = self._problems.get((peer, way))
        again = before is not None and before.message == error.message
        self._problems[peer, way] = error
        if not again:
            self._written.discard((peer, way))
        elif (peer, way) not in self._written and not isinstance(error, Gone):
            self._written.add((peer, way))
            contact = self._door.book.get(peer)
            if contact is not None:
                _log.warning("%s is not reached: %s", contact.name, error)
