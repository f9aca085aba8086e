"""Other machines from the command line: `peers`, and what can be done with one of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

from loopsy_core.home import parse_duration
from loopsy_core.wire import AddPeer, ListPeers, RemovePeer, RenamePeer

from .ask import ask
from .options import Json, MachinePreset, Option
from .show import age, clean, fit, print_json, say, span, table

if TYPE_CHECKING:
    from loopsy_core.wire import PeerInfo

__all__ = ["add", "list_peers", "remove", "rename"]

SHORT_ID: Final = 8
"""Characters of an id that are shown; they are plenty to name a machine."""

Expires = Annotated[
    str | None, Option("When it is forgotten again, such as 30d; never if not given.", "TIME")
]


def list_peers(*, json: Json = False) -> None:
    """List the machines that this one is paired with, and how each is reached now."""
    peers = ask(ListPeers()).peers
    if json:
        print_json(peers)
    elif not peers:
        say("no machine is paired; `loopsy pair` on both pairs them")
    else:
        table(
            ("NAME", "ID", "STATE", "SEEN", "EXPIRES", "MAY"),
            [_row(peer) for peer in peers],
            faint=[peer.way is None for peer in peers],
        )
        for peer in peers:
            if peer.way is None and peer.problem:
                say(f"{clean(peer.name)}: {clean(peer.problem)}")


def add(
    host: str,
    /,
    *,
    key: Annotated[str, Option("Its public key: `loopsy key show` tells it there.")],
    name: Annotated[str | None, Option("What to call it here.")] = None,
    grant: Annotated[MachinePreset, Option("What it may do here.")] = "machine",
    expires: Expires = None,
    json: Json = False,
) -> None:
    """Trust a machine by its public key, instead of pairing; its user must do the same there."""
    lifetime = None if expires is None else time.time() + parse_duration(expires)
    request = AddPeer(address=host, key=key, name=name, preset=grant, expires=lifetime)
    _tell(ask(request), "is known now", json=json)


def remove(peer: str, /, *, json: Json = False) -> None:
    """Forget a machine and cut it off at once."""
    _tell(ask(RemovePeer(peer=peer)), "is forgotten", json=json)


def rename(peer: str, name: str, /, *, json: Json = False) -> None:
    """Call a machine something else here; there it keeps its name."""
    renamed = ask(RenamePeer(peer=peer, name=name))
    _tell(renamed, f"({renamed.id[:SHORT_ID]}) is its name now", json=json)


def _tell(peer: PeerInfo, what: str, *, json: bool) -> None:
    if json:
        print_json(peer)
    else:
        say(f"{clean(peer.name)} {what}")


def _row(peer: PeerInfo) -> tuple[str, ...]:
    state = "away"
    if peer.way is not None:
        trip = "" if peer.round_trip is None else f" {peer.round_trip * 1000:.1f} ms"
        state = ("direct" if peer.way == "lan" else "by relay") + trip
    seen = "now" if peer.way else "never" if peer.last_seen is None else age(peer.last_seen)
    expires = "never" if peer.expires_at is None else span(peer.expires_at - time.time())
    return peer.name, peer.id[:SHORT_ID], state, seen, expires, fit(" ".join(peer.grants), 60)
