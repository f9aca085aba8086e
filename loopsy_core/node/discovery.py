"""Finding paired machines on the network, and letting them find this one."""

from __future__ import annotations

import logging
from functools import partial
from operator import ne
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone
from loopsy_core.home import PeerId
from loopsy_core.links.mdns import Announcement, Found, Mdns, open_mdns, own_networks

if TYPE_CHECKING:
    from loopsy_core.peers import Book

    from .keeper import Keeper

__all__ = ["discover"]

LOOK: Final = 10.0
"""Seconds between two looks at the networks that this machine is in: nothing tells of a new one."""

ASK_AGAIN: Final = 60.0
"""Seconds between two questions to the network where a machine is that is not reached."""

_log = logging.getLogger("loopsy.discovery")


async def discover(announcement: Announcement | None, book: Book, keeper: Keeper) -> None:
    """Announce and listen for ever, anew whenever this machine is in another network.

    A machine that neither listens for others nor knows any has nothing to do there, and
    stays quiet.
    """

    def wanted(peer: str) -> bool:
        contact = book.get(PeerId(peer))
        return contact is not None and contact.kind == "machine"

    def found(machine: Found) -> None:
        keeper.found(PeerId(machine.id), machine.addresses)

    if announcement is None:
        await book.version.wait(lambda _: bool(book.all("machine")))
    while True:
        networks = await trio.to_thread.run_sync(own_networks)
        try:
            async with (
                open_mdns(announcement, wanted, found) as mdns,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(_look_for_missing, mdns, book, keeper)
                await _wait_other(networks)
                nursery.cancel_scope.cancel()
        except Gone as error:
            _log.info("%s", error)
            await _wait_other(networks)
        keeper.look_again()


async def _look_for_missing(mdns: Mdns, book: Book, keeper: Keeper) -> None:
    """Ask where machines are that are new here, and now and then where the missing ones are.

    A machine tells of itself when it comes, and that may have been before we knew it.
    """
    while True:
        version = book.version.value
        for contact in book.all("machine"):
            if not keeper.is_direct(contact.id):
                mdns.look_for(contact.id)
        with trio.move_on_after(ASK_AGAIN):
            await book.version.wait(partial(ne, version))


async def _wait_other(networks: frozenset[str]) -> None:
    """Return once this machine has other addresses than `networks`."""
    while await trio.to_thread.run_sync(own_networks) == networks:  # noqa: ASYNC110 - as LOOK says
        await trio.sleep(LOOK)
