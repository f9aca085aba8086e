"""Two machines with homes and ports of their own, and their users, in one process."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import Client, open_client
from loopsy_core.kit import one_error
from loopsy_core.node import open_node
from loopsy_core.sessions.host import serve_host
from loopsy_core.wire import (
    Comparing,
    Confirm,
    Invited,
    InvitePeer,
    JoinPeer,
    ListPeers,
    PeerInfo,
    decode,
    decode_pairing,
)
from tests.world import make_home

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from loopsy_core.client import Call
    from loopsy_core.home import Home
    from loopsy_core.node import Node

SETTINGS: Final = """
server: {{port: 0, name: {name}}}
discovery: {{enabled: false}}
rateLimits: {{execute: 100000, transfer: 100000, context: 100000}}
"""

_log = logging.getLogger(__name__)


class Machine:
    """A running node, and a program of its user."""

    def __init__(self, home: Home, node: Node, client: Client) -> None:
        self.home = home
        self.node = node
        self.client = client

    @property
    def address(self) -> str:
        """Where other machines call it."""
        return f"127.0.0.1:{self.node.port}"

    @property
    def id(self) -> str:
        return self.node.identity.id

    async def peers(self) -> list[PeerInfo]:
        return (await self.client.ask(ListPeers())).peers

    async def peer(self, holds: Callable[[PeerInfo], bool]) -> PeerInfo:
        """Wait until the only peer is as wanted."""
        peers: list[PeerInfo] = []
        try:
            while True:
                peers = await self.peers()
                if len(peers) == 1 and holds(peers[0]):
                    return peers[0]
                await trio.sleep(0.02)
        except trio.Cancelled:
            _log.warning("waited in vain; by now there is %s", peers)
            raise


def home_of(root: Path, name: str) -> Home:
    """Return the home of the machine `name`, made when first asked for."""
    if not (root / name).exists():
        home = make_home(root / name)
        home.config.write_text(SETTINGS.format(name=name), encoding="utf-8")
        home.config.chmod(0o600)
    from loopsy_core.home import Home

    return Home(root / name)


@asynccontextmanager
async def open_machine(root: Path, name: str, *, lan: bool = True) -> AsyncGenerator[Machine]:
    """Run the machine `name`, whose sessions live in this process."""
    home = home_of(root, name)
    with one_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_host, home)
            async with open_node(home, lan=lan) as node, open_client(home) as client:
                yield Machine(home, node, client)
            nursery.cancel_scope.cancel()


async def next_of(call: Call) -> Invited | Comparing:
    """Return what the node says next of a pairing."""
    piece = await call.receive()
    assert piece is not None
    assert not isinstance(piece, bytes)
    return decode_pairing(piece.value)


async def pair(host: Machine, guest: Machine) -> None:
    """Pair as two users do who see the same number."""
    async with host.client.open_call(InvitePeer()) as inviting:
        invited = await next_of(inviting)
        assert isinstance(invited, Invited)
        request = JoinPeer(address=host.address, code=invited.code)
        async with guest.client.open_call(request) as joining:
            theirs, ours = await next_of(joining), await next_of(inviting)
            assert isinstance(theirs, Comparing)
            assert isinstance(ours, Comparing)
            assert theirs.number == ours.number
            await joining.send_item(Confirm(same=True))
            await inviting.send_item(Confirm(same=True))
            decode(await joining.answer(), PeerInfo)
            decode(await inviting.answer(), PeerInfo)


def reached(peer: PeerInfo) -> bool:
    """Whether a machine is reached directly."""
    return peer.way == "lan"


def away(peer: PeerInfo) -> bool:
    """Whether a machine is not reached."""
    return peer.way is None
