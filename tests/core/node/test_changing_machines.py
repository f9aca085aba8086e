"""What is changed about a machine is changed as it is by now, not as it was when looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import BadRequest, NotFound, Refused
from loopsy_core.home import Identity, PeerId, peer_id
from loopsy_core.node.machines import Machines
from loopsy_core.peers import Book, Contact, Presence
from loopsy_core.wire import PRESETS, AddPeer, GrantPeer
from tests.core.node.phones_world import Recorded
from tests.core.peers.test_book import SlowDatabase

if TYPE_CHECKING:
    from loopsy_core.node.door import Door
    from loopsy_core.node.keeper import Keeper
    from loopsy_core.node.relaying import Relaying
    from loopsy_core.peers import Ways

KAI = PeerId("k" * 52)


def key_of(private: int) -> str:
    """Return the id of the machine with that private key."""
    key = X25519PrivateKey.from_private_bytes(bytes([private] * 32))
    return peer_id(key.public_key().public_bytes_raw())


class Nowhere:
    """Stands for the ways and the keeper of machines that nobody reaches."""

    def best(self, _: PeerId) -> None:
        return None

    def problem(self, _: Contact) -> str:
        return "it is nowhere"

    def mend(self, _: Contact) -> str:
        return "find it"

    def addresses(self, contact: Contact) -> list[str]:
        return list(contact.addresses)


class World:
    """The book of a node, and who changes machines in it."""

    def __init__(self) -> None:
        self.database = SlowDatabase()
        self.book = Book(self.database, [])  # type: ignore[arg-type]
        self.presence = Presence()
        self.identity = Identity(bytes(32), bytes(32), "here")
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


async def test_two_machines_of_one_name_that_come_at_once_get_two() -> None:
    world = World()
    world.database.fast = False
    async with trio.open_nursery() as nursery:
        for private in (1, 2):
            request = AddPeer(address=None, key=key_of(private), name="mini")
            nursery.start_soon(world.machines.add, request)
        await wait_all_tasks_blocked()
        world.database.go_on()
    assert sorted(each.name for each in world.book.all("machine")) == ["mini", "mini-2"]


async def test_no_machine_is_called_as_this_one_is() -> None:
    world = World()
    keys = [key_of(private) for private in (1, 2, 3)]
    names = [
        (await world.machines.add(AddPeer(address=address, key=key, name=name))).name
        for key, name, address in zip(
            keys, ("here", "local", None), (None, None, "192.0.2.7:19533"), strict=True
        )
    ]
    assert names == ["here-2", "local-2", f"machine-{keys[2][:4]}"]
    for taken in ("here", "local", "local-2"):
        with pytest.raises(BadRequest, match="called"):
            await world.machines.rename("here-2", taken)


async def test_pairing_anew_keeps_how_to_reach_each_other() -> None:
    world = World()
    key = key_of(1)
    await world.machines.add(AddPeer(address="192.0.2.7", key=key, name="mini", preset="viewer"))
    await world.book.note_way(
        PeerId(key), relay=("https://relay.test", "bearer"), relay_client="c", version="1.0"
    )
    again = await world.machines.add(AddPeer(address=None, key=key))
    assert (again.name, again.addresses) == ("mini", ["192.0.2.7:19533"])
    assert "exec" in again.grants
    contact = world.book.get(PeerId(key))
    assert contact is not None
    assert (contact.relay_url, contact.relay_bearer) == ("https://relay.test", "bearer")
    assert (contact.relay_client, contact.version) == ("c", "1.0")


async def test_an_end_is_moved_and_taken_away_but_not_into_the_past() -> None:
    world = World()
    await world.pair()
    moved = await world.machines.grant(GrantPeer(peer="kai", expires=3e9))
    assert moved.expires_at == 3e9
    assert (await world.machines.grant(GrantPeer(peer="kai"))).expires_at == 3e9
    assert (await world.machines.grant(GrantPeer(peer="kai", lasting=True))).expires_at is None
    with pytest.raises(Refused, match="past"):
        await world.machines.grant(GrantPeer(peer="kai", expires=1.0))
