"""What is changed about a machine is changed as it is by now, not as it was when looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import NotFound
from loopsy_core.home import PeerId
from loopsy_core.node.machines import Machines
from loopsy_core.peers import Book, Contact, Presence
from loopsy_core.wire import PRESETS, GrantPeer
from tests.core.node.phones_world import Recorded
from tests.core.peers.test_book import SlowDatabase

if TYPE_CHECKING:
    from loopsy_core.node.door import Door
    from loopsy_core.node.keeper import Keeper
    from loopsy_core.node.relaying import Relaying
    from loopsy_core.peers import Ways

KAI = PeerId("k" * 52)


class Nowhere:
    """Stands for the ways and the keeper of machines that nobody reaches."""

    def best(self, _: PeerId) -> None:
        return None

    def problem(self, _: PeerId) -> None:
        return None

    def addresses(self, contact: Contact) -> list[str]:
        return list(contact.addresses)


class World:
    """The book of a node, and who changes machines in it."""

    def __init__(self) -> None:
        self.database = SlowDatabase()
        self.book = Book(self.database, [])  # type: ignore[arg-type]
        self.presence = Presence()
        self.machines = Machines(
            cast("Door", self),
            cast("Ways", Nowhere()),
            cast("Keeper", Nowhere()),
            cast("Relaying", None),
            Recorded(),
        )

    async def pair(self, *more: str) -> Contact:
        grants = frozenset({*PRESETS["machine"], *more})
        await self.book.put(Contact(KAI, "kai", "machine", grants, 1000.0))
        return self.kai()

    def kai(self) -> Contact:
        contact = self.book.get(KAI)
        assert contact is not None
        return contact


async def test_a_new_name_and_a_new_address_do_not_undo_each_other() -> None:
    world = World()
    await world.pair()
    world.database.fast = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.machines.rename, "kai", "mini")
        await wait_all_tasks_blocked()

        async def note_address() -> None:
            await world.book.note_way(KAI, address="192.0.2.1:19533")

        nursery.start_soon(note_address)
        await wait_all_tasks_blocked()
        world.database.go_on()
    assert (world.kai().name, world.kai().addresses) == ("mini", ("192.0.2.1:19533",))


async def test_grants_do_not_come_back_to_a_machine_that_is_removed_meanwhile() -> None:
    world = World()
    await world.pair()
    world.database.fast = False

    async def grant() -> None:
        with pytest.raises(NotFound, match="removed, or has paired anew"):
            await world.machines.grant(GrantPeer(peer="kai", add=["approve"]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(grant)
        await wait_all_tasks_blocked()
        nursery.start_soon(world.book.remove, KAI)
        await wait_all_tasks_blocked()
        world.database.go_on()
    assert world.book.get(KAI) is None


async def test_who_loses_the_grant_to_approve_loses_what_was_allowed_by_it() -> None:
    world = World()
    kai = await world.pair("approve")
    await world.book.change(kai, lambda known: attrs.evolve(known, auto_approve=True))
    await world.machines.grant(GrantPeer(peer="kai", add=["exec"]))
    assert world.kai().auto_approve
    await world.machines.grant(GrantPeer(peer="kai", remove=["approve"]))
    await world.machines.grant(GrantPeer(peer="kai", add=["approve"]))
    assert not world.kai().auto_approve
