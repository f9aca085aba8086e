"""Presence: who is connected, and cutting off one contact and nobody else."""

from __future__ import annotations

import trio
import trio.testing

from loopsy_core.home import PeerId
from loopsy_core.peers import Presence
from loopsy_core.peers.presence import MOST

ANN, BOB = PeerId("a" * 52), PeerId("b" * 52)


async def stay(presence: Presence, who: PeerId, said: list[str], name: str) -> None:
    with presence.present(who) as visit:
        said.append(f"{name} {'first' if visit.first else 'again'}")
        await trio.sleep_forever()
    said.append(f"{name} {'last' if visit.last else 'out'}")


async def test_a_contact_is_there_from_its_first_connection_to_its_last() -> None:
    presence = Presence()
    assert not presence.connected(ANN)
    with presence.present(ANN) as one:
        assert one.first
        with presence.present(ANN) as another:
            assert not another.first
        assert not another.last
        assert presence.connected(ANN)
        assert not presence.connected(BOB)
    assert one.last
    assert not presence.connected(ANN)
    with presence.present(ANN) as later:
        assert later.first


async def test_cutting_ends_all_connections_of_one_contact_and_only_those() -> None:
    presence = Presence()
    said: list[str] = []
    async with trio.open_nursery() as nursery:
        for who, name in ((ANN, "ann"), (BOB, "bob"), (ANN, "ann's other")):
            nursery.start_soon(stay, presence, who, said, name)
            await trio.testing.wait_all_tasks_blocked()
        assert said == ["ann first", "bob first", "ann's other again"]
        assert presence.cut(ANN) == 2
        assert not presence.connected(ANN)  # at once
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(word.split()[-1] for word in said[3:]) == ["last", "out"]
        assert presence.connected(BOB)
        nursery.cancel_scope.cancel()


async def test_cutting_nobody_is_nothing() -> None:
    presence = Presence()
    assert presence.cut(ANN) == 0
    assert not presence.connected(ANN)


async def test_a_contact_that_comes_back_while_it_is_cut_off_counts_anew() -> None:
    presence = Presence()
    said: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stay, presence, ANN, said, "old")
        await trio.testing.wait_all_tasks_blocked()
        presence.cut(ANN)
        with presence.present(ANN) as visit:
            assert visit.first
            await trio.testing.wait_all_tasks_blocked()
            assert said == ["old first", "old out"]
            assert presence.connected(ANN)  # the old one took nothing with it
        assert not presence.connected(ANN)


async def test_of_too_many_connections_of_one_contact_the_oldest_ends() -> None:
    presence = Presence()
    said: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stay, presence, BOB, said, "bob")
        for number in range(MOST + 2):
            nursery.start_soon(stay, presence, ANN, said, f"ann {number:02}")
            await trio.testing.wait_all_tasks_blocked()
        assert [each for each in said if each.endswith("out")] == ["ann 00 out", "ann 01 out"]
        assert presence.cut(ANN) == MOST
        await trio.testing.wait_all_tasks_blocked()
        assert not presence.connected(ANN)
        assert presence.connected(BOB)
        nursery.cancel_scope.cancel()
