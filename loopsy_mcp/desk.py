"""What all tools of one server share: the connection to the node, and what goes on meanwhile."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.client import Client, open_client
from loopsy_core.errors import Gone, NotFound
from loopsy_core.wire import Hello, ListPeers

from .jobs import Jobs
from .leases import Leases
from .policy import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from loopsy_core.home import Home
    from loopsy_core.wire import PeerInfo

    from .tool import Tell

__all__ = ["Desk", "Place", "open_desk", "telling"]

HERE: Final = ("local", "localhost", "here")
"""What this machine is called beside its own name."""
BETWEEN_WORDS: Final = 2.0
"""Seconds between two progress notifications: some clients give up after 5 without a word."""


@attrs.frozen
class Place:
    """A machine to work on."""

    name: str
    client: Client
    here: bool


class Desk:
    """What `open_desk` opens."""

    def __init__(self, home: Home, client: Client, nursery: trio.Nursery) -> None:
        """Work by `client`; what outlives a single call lives in `nursery`."""
        self.home = home
        self.client = client
        self.nursery = nursery
        self.policy = Policy(home.config)
        self.jobs = Jobs(nursery)
        self.leases = Leases(nursery)

    async def reach(self, peer: str | None, *, offline_too: bool = False) -> Place:
        """Return the machine called `peer`, this one if that is None.

        Raises `NotFound` with the names there are; `Gone` for one that is not reached, unless
        `offline_too`; `Refused` for one that the settings keep from agents; `NoDaemon`.
        """
        here = await self.client.ask(Hello())
        peer = None if peer is None else peer.strip()
        if peer is None or peer.lower() in (here.name.lower(), here.node_id, *HERE):
            return Place(here.name, self.client, here=True)
        found = _find((await self.client.ask(ListPeers())).peers, peer)
        self.policy.check_peer(found.name)
        if found.way is None and not offline_too:
            raise Gone(
                f"{found.name} is offline: {found.problem or 'it cannot be reached'}"
                f" ({_seen(found)}). A message or a wait may reach it later;"
                " loopsy_list_peers shows when it is back"
            )
        return Place(found.name, self.client.peer(found.id), here=False)

    async def peers(self) -> list[PeerInfo]:
        """Return all paired machines that agents may work on."""
        peers = (await self.client.ask(ListPeers())).peers
        return [peer for peer in peers if self.policy.allows_peer(peer.name)]

    async def reach_all(self) -> list[Place]:
        """Return this machine and all others, those that are not reached too."""
        here = await self.reach(None)
        others = [
            Place(peer.name, self.client.peer(peer.id), here=False) for peer in await self.peers()
        ]
        return [here, *others]


def _find(peers: Sequence[PeerInfo], wanted: str) -> PeerInfo:
    for peer in peers:
        if wanted.lower() == peer.name.lower() or wanted == peer.id:
            return peer
    if not peers:
        raise NotFound(
            f"there is no machine {wanted!r}: none is paired with this one."
            " The user pairs one by `loopsy pair`; leave `peer` out to work here"
        )
    names = ", ".join(peer.name + ("" if peer.way else " (offline)") for peer in peers)
    raise NotFound(
        f"there is no machine {wanted!r}; there are: {names}. Leave `peer` out for this machine"
    )


def _seen(peer: PeerInfo) -> str:
    if peer.last_seen is None:
        return "never seen since it was paired"
    return f"last seen {round(time.time() - peer.last_seen)} s ago"


@asynccontextmanager
async def open_desk(home: Home) -> AsyncGenerator[Desk]:
    """Hold one connection to the node of `home`, which need not run yet; leaving ends all of it."""
    async with open_client(home, later=True) as client, trio.open_nursery() as nursery:
        yield Desk(home, client, nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def telling(tell: Tell, total: float, what: str) -> AsyncGenerator[None]:
    """Tell again and again that we wait for `what`, for `total` seconds at most."""
    began = trio.current_time()

    async def tick() -> None:
        while True:
            await trio.sleep(BETWEEN_WORDS)
            waited = trio.current_time() - began
            await tell(waited, total, f"{what}, {round(waited)} s")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        yield
        nursery.cancel_scope.cancel()
