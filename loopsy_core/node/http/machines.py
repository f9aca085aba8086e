"""Machines by HTTP: who is paired, trusting one by its key, forgetting one."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from loopsy_core.errors import BadRequest
from loopsy_core.links.tcp import parse_address
from loopsy_core.wire import AddPeer, ListPeers, PeerInfo, Preset, RemovePeer

from .camel import in_ms
from .route import Call, NoBody, NoQuery, Route

__all__ = ["ROUTES"]

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Peer(msgspec.Struct, frozen=True, rename="camel"):
    """Another machine that is paired with this one."""

    node_id: str
    """Its public key."""
    hostname: str
    """What it is called here."""
    address: str | None
    """Where it may be found directly."""
    port: int | None
    status: Literal["online", "offline"]
    way: Literal["lan", "relay"] | None
    """How it is reached now."""
    problem: str | None
    """Why it is not reached."""
    version: str | None
    grants: list[str]
    """What it may do here."""
    trusted: bool
    last_seen: int | None
    created_at: int
    expires_at: int | None
    round_trip: int | None
    """Milliseconds."""


class Peers(msgspec.Struct, frozen=True):
    """All paired machines, the oldest first."""

    peers: list[Peer]


class NewPeer(msgspec.Struct, frozen=True, rename="camel"):
    """A machine to trust by its public key; its user does the same there."""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    """A host, or host:port."""
    port: Port | None = None
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    """Its public key, which is its id; `nodeId` is another name for the same."""
    node_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    hostname: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] | None = None
    """What to call it here."""
    preset: Preset = "machine"
    expires_at: Milliseconds | None = None


class Removed(msgspec.Struct, frozen=True, rename="camel"):
    """A machine is forgotten, and cut off."""

    success: bool
    node_id: str


async def peers(call: Call[NoBody, NoQuery]) -> Peers:
    """List paired machines, the oldest first."""
    return Peers([_peer(info) for info in (await call.here.ask(ListPeers())).peers])


async def add(call: Call[NewPeer, NoQuery]) -> Peer:
    """Trust a machine by its public key."""
    new = call.body
    key = new.key or new.node_id
    if key is None:
        raise BadRequest(
            "key: is missing, the public key of that machine (`loopsy key show` there);"
            " or pair with it: `loopsy pair`"
        )
    address = new.address
    if address is not None and new.port is not None:
        host, _ = parse_address(address)
        address = f"[{host}]:{new.port}" if ":" in host else f"{host}:{new.port}"
    expires = None if new.expires_at is None else new.expires_at / 1000
    request = AddPeer(
        address=address, key=key, name=new.hostname, preset=new.preset, expires=expires
    )
    return _peer(await call.here.ask(request))


async def remove(call: Call[NoBody, NoQuery]) -> Removed:
    """Forget a machine, and cut it off at once."""
    return Removed(True, (await call.here.ask(RemovePeer(peer=call.name))).id)


def _peer(info: PeerInfo) -> Peer:
    host, port = parse_address(info.addresses[0]) if info.addresses else (None, None)
    return Peer(
        node_id=info.id,
        hostname=info.name,
        address=host,
        port=port,
        status="offline" if info.way is None else "online",
        way=info.way,
        problem=info.problem,
        version=info.version,
        grants=info.grants,
        trusted=True,
        last_seen=None if info.last_seen is None else in_ms(info.last_seen),
        created_at=in_ms(info.created_at),
        expires_at=None if info.expires_at is None else in_ms(info.expires_at),
        round_trip=None if info.round_trip is None else in_ms(info.round_trip),
    )


ROUTES: Final = (
    Route("GET", "/peers", peers, "peers", NoBody, NoQuery, Peers),
    Route("POST", "/peers", add, "peers", NewPeer, NoQuery, Peer),
    Route("DELETE", "/peers/{id}", remove, "peers", NoBody, NoQuery, Removed),
)
