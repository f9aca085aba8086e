"""Who is connected, and cutting somebody off without touching anybody else."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.home import PeerId
from loopsy_core.peers import Presence

ANN = PeerId("ann")
BEN = PeerId("ben")


async def test_a_cut_ends_all_connections_of_one_contact_and_nobody_elses() -> None:
    presence = Presence()
    left: list[str] = []

    async def stay(contact: PeerId, name: str) -> None:
        with presence.present(contact):
            await trio.sleep_forever()
        left.append(name)

    async with trio.open_nursery() as nursery:
        for contact, name in ((ANN, "ann 1"), (ANN, "ann 2"), (BEN, "ben")):
            nursery.start_soon(stay, contact, name)
        await wait_all_tasks_blocked()

        assert presence.cut(ANN) == 2
        assert not presence.connected(ANN)
        await wait_all_tasks_blocked()

        assert sorted(left) == ["ann 1", "ann 2"]
        assert presence.connected(BEN)
        assert presence.cut(ANN) == 0
        assert presence.cut(BEN) == 1


async def test_the_first_connection_is_told_so_and_the_last_one_ends_the_presence() -> None:
    presence = Presence()

    with presence.present(ANN) as first:
        with presence.present(ANN) as second, presence.present(BEN) as of_another:
            assert (first, second, of_another) == (True, False, True)
        assert presence.connected(ANN)
        assert not presence.connected(BEN)
    assert not presence.connected(ANN)
    with presence.present(ANN) as again:
        assert again


async def test_a_block_that_was_cut_is_left_quietly_at_its_next_checkpoint() -> None:
    presence = Presence()
    reached: list[str] = []

    with presence.present(ANN):
        presence.cut(ANN)
        reached.append("what needs no waiting")
        await trio.lowlevel.checkpoint()
        reached.append("never")  # pragma: no cover

    assert reached == ["what needs no waiting"]


async def test_who_comes_back_while_a_cut_connection_still_cleans_up_is_new_and_stays() -> None:
    presence = Presence()
    cleaned_up = trio.Event()

    async def linger() -> None:
        with presence.present(ANN):
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(5, shield=True):
                    await cleaned_up.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(linger)
        await wait_all_tasks_blocked()
        presence.cut(ANN)
        with presence.present(ANN) as first:
            assert first
            cleaned_up.set()
            await wait_all_tasks_blocked()
            assert presence.connected(ANN), "the old one takes only itself away"
            assert presence.cut(ANN) == 1


async def test_a_block_that_fails_or_is_cancelled_is_present_no_more() -> None:
    presence = Presence()

    with pytest.raises(ValueError, match="inside"), presence.present(ANN):
        raise ValueError("inside")
    assert not presence.connected(ANN)
    with trio.CancelScope() as scope, presence.present(ANN):
        scope.cancel()
        await trio.lowlevel.checkpoint()
    assert not presence.connected(ANN)
    assert scope.cancelled_caught
