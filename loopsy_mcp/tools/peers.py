"""Which machines there are, and how each is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import msgspec

from loopsy_core.wire import ListKinds
from loopsy_mcp.tool import Group, MachineName, Said, Tool

if TYPE_CHECKING:
    from loopsy_core.wire import PeerInfo
    from loopsy_mcp.desk import Desk
    from loopsy_mcp.tool import Json, Tell

__all__ = ["ListPeers", "PeerStatus"]


class ListPeers(Tool, frozen=True, kw_only=True):
    """List the user's machines: name, online or not, round trip. Begin here; every other tool's
    `peer` takes one of these names.
    """

    tool: ClassVar[str] = "loopsy_list_peers"
    group: ClassVar[Group] = "peers"
    reads_only: ClassVar[bool] = True

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """List them."""
        here = await desk.reach(None)
        peers = await desk.peers()
        lines = [f"{here.name}: this machine", *map(_line, peers)]
        if not peers:
            lines.append("No other machine is paired; the user pairs one by `loopsy pair`.")
        data: Json = [_data(peer) for peer in peers]
        return Said("\n".join(lines), {"here": here.name, "peers": data})


class PeerStatus(Tool, frozen=True, kw_only=True):
    """How one machine is: version, uptime, sessions, relay, which agents are installed there."""

    tool: ClassVar[str] = "loopsy_peer_status"
    group: ClassVar[Group] = "peers"
    reads_only: ClassVar[bool] = True

    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Ask it."""
        place = await desk.reach(self.peer)
        status = await place.client.status()
        kinds = (await place.client.ask(ListKinds())).kinds
        agents = [kind.name for kind in kinds if kind.installed and kind.name != "shell"]
        text = (
            f"{place.name} runs Loopsy {status.version}, up {round(status.uptime)} s,"
            f" {status.sessions} running sessions, {status.peers} paired machines."
            f" Agents installed: {', '.join(agents) or 'none'}."
        )
        data: dict[str, Json] = msgspec.to_builtins(status)
        return Said(text, {**data, "online": True, "agents": list(agents)})


def _line(peer: PeerInfo) -> str:
    if peer.way is not None:
        trip = "" if peer.round_trip is None else f", {peer.round_trip * 1000:.0f} ms away"
        return f"{peer.name}: online ({peer.way}{trip})"
    seen = (
        "" if peer.last_seen is None else f", last seen {round(time.time() - peer.last_seen)} s ago"
    )
    return f"{peer.name}: offline{seen}; {peer.problem or 'it cannot be reached'}"


def _data(peer: PeerInfo) -> dict[str, Json]:
    return {
        "name": peer.name,
        "online": peer.way is not None,
        "way": peer.way,
        "problem": peer.problem,
        "last_seen": peer.last_seen,
        "round_trip": peer.round_trip,
        "version": peer.version,
    }
