"""Whoever has not shown who it is: how many may wait, and that none keeps known ones out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import Gone
from loopsy_core.links.strangers import BURST, MOST, MOST_OF_ONE, RATE, Strangers, network_of
from loopsy_core.links.tcp import Caller, connect_tcp, open_listeners, serve_tcp
from tests.play import bounded
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from loopsy_core.links import FramedChannel


class Stranger:
    def __init__(self, address: str) -> None:
        self.address = address
        self.sent_away = False

    def make_way(self) -> None:
        self.sent_away = True


def crowd(strangers: Strangers, count: int, address: str = "192.0.2.{}") -> list[Stranger]:
    """Let so many wait, each of an address of its own if there is a place for it in `address`."""
    there = [Stranger(address.format(number)) for number in range(count)]
    for stranger in there:
        assert strangers.admit(stranger, 0.0)
    return there


def test_of_one_address_the_oldest_makes_way_for_the_next() -> None:
    strangers = Strangers()
    other = crowd(strangers, 1, "198.51.100.1")[0]
    there = crowd(strangers, MOST_OF_ONE + 2, "192.0.2.1")
    assert [each.sent_away for each in there] == [True, True] + [False] * MOST_OF_ONE
    assert not other.sent_away


def test_of_all_one_of_the_largest_crowd_makes_way() -> None:
    strangers = Strangers()
    lone = crowd(strangers, MOST - MOST_OF_ONE)
    many = crowd(strangers, MOST_OF_ONE, "198.51.100.1")
    newcomers = crowd(strangers, 5, "203.0.113.{}")
    assert [each.sent_away for each in many] == [True] * 5 + [False] * (MOST_OF_ONE - 5)
    assert not any(each.sent_away for each in (*lone, *newcomers))


def test_who_is_known_counts_no_more_and_never_has_to_go() -> None:
    strangers = Strangers()
    known = crowd(strangers, MOST_OF_ONE, "192.0.2.1")
    for each in known:
        strangers.forget(each)
        strangers.forget(each)
    crowd(strangers, 3 * MOST_OF_ONE, "192.0.2.1")
    assert not any(each.sent_away for each in known)


def test_who_calls_too_often_is_sent_off_and_others_are_not() -> None:
    strangers = Strangers()
    came = [strangers.admit(Stranger("192.0.2.1"), 0.0) for _ in range(int(BURST) + 1)]
    assert came == [True] * int(BURST) + [False]
    assert strangers.admit(Stranger("192.0.2.2"), 0.0)
    assert strangers.admit(Stranger("192.0.2.1"), 1 / RATE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("nowhere", "nowhere", True),
    ],
)
def test_an_ipv6_network_counts_as_one(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


@bounded(100)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=400))
def test_never_are_there_more_than_may_be(steps: list[tuple[bool, int]]) -> None:
    strangers, there = Strangers(), list[Stranger]()
    for number, (comes, who) in enumerate(steps):
        if comes:
            there.append(Stranger(f"192.0.2.{who}"))
            assert strangers.admit(there[-1], float(number))
        elif there:
            strangers.forget(there.pop(who % len(there)))
        there = [each for each in there if not each.sent_away]
        assert len(there) <= MOST
        assert all(
            sum(each.address == one.address for each in there) <= MOST_OF_ONE for one in there
        )


async def test_a_crowd_of_idle_strangers_keeps_nobody_out() -> None:
    """The known one that is there stays, and another comes in."""
    known = list[Caller]()

    async def serve(caller: Caller) -> None:
        if await caller.receive() == [b"it is me"]:
            caller.known()
            known.append(caller)
            await caller.send([b"come in"])
            await trio.sleep_forever()

    async def come(port: int) -> FramedChannel:
        channel = await connect_tcp("127.0.0.1", port)
        await channel.send([b"it is me"])
        assert await channel.receive() == [b"come in"]
        return channel

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            listeners = await open_listeners(0)
            port = listeners[0].socket.getsockname()[1]
            await nursery.start(partial(serve_tcp, listeners, serve))
            first = await come(port)
            idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(100)]
            second = await come(port)
            await eventually(lambda: len(known) == 2)
            assert await idle[0].receive_some() == b""  # made way
            for channel in (first, second):
                with trio.move_on_after(0.05) as waited:
                    await channel.receive()
                assert waited.cancelled_caught  # it stands
            for stream in idle:
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
        with pytest.raises(Gone):
            await second.receive()
        await first.aclose()
        await second.aclose()
