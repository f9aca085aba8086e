"""Which machine a command is about: `local`, or the name of one; and sessions as `PEER:NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from loopsy_core.wire import Hello, ListPeers

from .ask import ask

if TYPE_CHECKING:
    from loopsy_core.client import Client
    from loopsy_core.home import Home

__all__ = ["LOCAL", "Place", "is_here", "place_of", "reach"]

LOCAL: Final = "local"
"""What this machine is called by everybody, beside its own name."""
SHORT_ID: Final = 8
"""Characters of a machine's id that are enough to name it."""


class Place(NamedTuple):
    """A session, and the machine that it is on; None for this one."""

    machine: str | None
    session: str

    def __str__(self) -> str:
        """Write it as it is written on the command line."""
        return self.session if self.machine is None else f"{self.machine}:{self.session}"


def place_of(reference: str, home: Home) -> Place:
    """Return what `PEER:NAME`, or the name or id of a session here, means.

    Names of sessions may have colons in them, so what stands before the first one counts only if
    it is a machine's.
    """
    machine, colon, session = reference.partition(":")
    if not colon or not session:
        return Place(None, reference)
    if is_here(machine, home):
        return Place(None, session)
    for peer in ask(ListPeers(), home).peers:
        by_id = len(machine) >= SHORT_ID and peer.id.startswith(machine)
        if machine == peer.name or by_id:
            return Place(peer.name, session)
    return Place(None, reference)


def reach(here: Client, machine: str | None) -> Client:
    """Return what asks the machine of this name (or id), by way of this machine's node."""
    return here if machine in (None, LOCAL) else here.peer(machine)


def is_here(machine: str, home: Home) -> bool:
    """Whether that is this machine, whose home is `home`."""
    if machine == LOCAL:
        return True
    us = ask(Hello(), home)
    return machine in (us.name, us.node_id)
