"""A pipe within one process: in order, bounded, and its end is heard on both sides."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone
from loopsy_core.links import memory_channels


async def test_messages_come_in_order_both_ways() -> None:
    near, far = memory_channels()
    for here, there in ((near, far), (far, near)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.send, [b"one", b"two"])
            assert await there.receive() == [b"one", b"two"]


async def test_a_sender_waits_until_somebody_receives() -> None:
    near, far = memory_channels()
    sent = trio.Event()

    async def send() -> None:
        await near.send([b"x"])
        sent.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        assert not sent.is_set()
        await far.receive()
        await sent.wait()


@pytest.mark.parametrize("closes", ["near", "far"])
async def test_closing_either_end_wakes_whoever_waits_at_both(closes: str) -> None:
    near, far = memory_channels()
    ended: list[str] = []

    async def receive(name: str) -> None:
        with pytest.raises(Gone):
            await {"near": near, "far": far}[name].receive()
        ended.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive, "near")
        nursery.start_soon(receive, "far")
        await wait_all_tasks_blocked()
        await {"near": near, "far": far}[closes].aclose()
    assert sorted(ended) == ["far", "near"]
    for end in (near, far):
        with pytest.raises(Gone):
            await end.send([b"x"])
