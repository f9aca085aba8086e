"""A queue that is bounded, in order, and fair to those who fill it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_relay.outbox import Outbox

LIMIT = 10_000


async def fill(outbox: Outbox) -> int:
    count = 0
    while outbox.put_nowait(b"x" * 100):
        count += 1
    return count


async def test_messages_come_out_in_order() -> None:
    outbox = Outbox(LIMIT)
    for number in range(10):
        assert outbox.put_nowait(bytes([number]))
    assert await outbox.take() == [bytes([number]) for number in range(10)]


async def test_what_is_being_sent_counts_until_the_next_is_taken() -> None:
    outbox = Outbox(LIMIT)
    await fill(outbox)
    assert await outbox.take()
    assert not outbox.put_nowait(b"x" * 100)
    with trio.move_on_after(0):
        await outbox.take()
    assert outbox.waiting == 0
    assert outbox.put_nowait(b"x" * 100)


async def test_empty_messages_are_bounded_too() -> None:
    outbox = Outbox(LIMIT)
    count = 0
    while outbox.put_nowait(b""):
        count += 1
    assert count <= LIMIT / 100


async def test_a_message_over_the_limit_goes_when_nothing_else_waits() -> None:
    outbox = Outbox(LIMIT)
    assert outbox.put_nowait(b"x" * (2 * LIMIT))
    assert not outbox.put_nowait(b"")
    assert [len(message) for message in await outbox.take() or []] == [2 * LIMIT]


async def test_a_batch_is_bounded() -> None:
    outbox = Outbox(4 << 20)
    for _ in range(100):
        assert outbox.put_nowait(bytes(10_000))
    assert sum(map(len, await outbox.take() or [])) <= 65536 + 10_000


async def test_those_who_wait_take_turns() -> None:
    outbox = Outbox(1000)
    taken: list[bytes] = []

    async def chatter(name: bytes) -> None:
        for _ in range(50):
            await outbox.put(name + bytes(300))

    async def read() -> None:
        while len(taken) < 150:
            taken.extend(message[:1] for message in await outbox.take() or [])

    async with trio.open_nursery() as nursery:
        for name in (b"a", b"b", b"c"):
            nursery.start_soon(chatter, name)
        await wait_all_tasks_blocked()
        nursery.start_soon(read)
    # One that could go on without waiting would have its 50 done before the others' first.
    for name in (b"a", b"b", b"c"):
        assert 10 <= taken[:60].count(name) <= 30


async def test_a_cancelled_put_adds_nothing_and_lets_the_next_in() -> None:
    outbox = Outbox(LIMIT)
    await fill(outbox)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.put, b"never" * 100)
            await wait_all_tasks_blocked()
            scope.cancel()
    taken = await outbox.take() or []
    assert b"never" * 100 not in taken
    with trio.move_on_after(0):
        await outbox.take()
    assert outbox.waiting == 0


async def test_closing_wakes_those_who_wait_and_leaves_what_is_there() -> None:
    outbox = Outbox(LIMIT)
    count = await fill(outbox)
    refused: list[str] = []

    async def put() -> None:
        try:
            await outbox.put(b"x" * 1000)
        except trio.ClosedResourceError:
            refused.append("closed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await wait_all_tasks_blocked()
        outbox.close()
    assert refused == ["closed"]
    with pytest.raises(trio.ClosedResourceError):
        outbox.put_nowait(b"")
    assert len(await outbox.take() or []) == count
    assert await outbox.take() is None


async def test_closing_wakes_the_writer() -> None:
    outbox = Outbox(LIMIT)
    async with trio.open_nursery() as nursery:
        ended: list[object] = []

        async def read() -> None:
            ended.append(await outbox.take())

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        outbox.close()
    assert ended == [None]


async def test_dropping_forgets_what_waits() -> None:
    outbox = Outbox(LIMIT)
    await fill(outbox)
    outbox.drop()
    outbox.close()
    assert outbox.waiting == 0
    assert await outbox.take() is None


async def test_dropping_while_a_batch_is_sent_does_not_count_it_twice() -> None:
    outbox = Outbox(4 << 20)
    for _ in range(20):
        outbox.put_nowait(bytes(10_000))
    await outbox.take()
    outbox.drop()
    assert outbox.waiting > 0
    outbox.close()
    assert await outbox.take() is None
    assert outbox.waiting == 0


async def test_a_poke_makes_the_writer_run_with_nothing() -> None:
    outbox = Outbox(LIMIT)
    outbox.poke()
    assert await outbox.take() == []
    with trio.move_on_after(0) as scope:
        await outbox.take()
    assert scope.cancelled_caught
