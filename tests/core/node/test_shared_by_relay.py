"""Context, messages and tasks between machines that have nothing but a relay between them."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest
import trio

from loopsy_core.client import ContextEntry
from loopsy_core.errors import Conflict, Gone, PeerLeft
from loopsy_core.wire import ConfigureRelay, ContextCurrent
from tests.core.node.machines_world import Machine, away, open_machine, pair, reached
from tests.core.node.test_keeping import fix_port
from tests.machine import running_relay
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.wire import MessageEnvelope, PeerInfo

EACH: Final = 20
"""Messages of each machine in one go."""


class Relay:
    """A relay that goes away and comes back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._port = 0
        self.url = ""
        self.heal()

    def heal(self) -> None:
        self.url, _ = self._running.enter_context(running_relay(self._folder, self._port))
        self._port = urlsplit(self.url).port or 0

    def cut(self) -> None:
        """Close every connection through it at once."""
        self._running.close()


@asynccontextmanager
async def met_by_relay(folder: Path) -> AsyncGenerator[Relay]:
    """Have kai and mac pair where they reach each other; from then on there is the relay only."""
    relay = Relay(folder)
    try:
        async with (
            open_machine(folder, "mac", lan=False) as mac,
            open_machine(folder, "kai") as kai,
        ):
            await kai.client.ask(ConfigureRelay(url=relay.url))
            await pair(kai, mac)
            await mac.peer(reached)
            book = mac.node.door.book
            await eventually(lambda: book.all("machine")[0].relay_bearer is not None)
            fix_port(folder, "kai", kai.node.port)
        yield relay
    finally:
        relay.cut()


def by_relay(peer: PeerInfo) -> bool:
    return peer.way == "relay"


async def together(kai: Machine, mac: Machine) -> None:
    await mac.peer(by_relay)
    await kai.peer(by_relay)


async def send_some(one: Machine, other: str, what: str) -> list[str]:
    """Send messages one after the other; return their bodies."""
    bodies = [f"{what} {number}" for number in range(EACH)]
    for body in bodies:
        await one.client.messages.send(other, body)
    return bodies


async def has_come(machine: Machine, bodies: list[str]) -> list[MessageEnvelope]:
    """Wait until as many messages have come, and see that they are these, in this order."""
    inbox: list[MessageEnvelope] = []
    async with machine.client.messages.watch() as messages:
        while len(inbox) < len(bodies):
            inbox.append(await anext(messages))
    assert [envelope.body for envelope in inbox] == bodies
    assert await machine.client.messages.inbox() == inbox
    return inbox


async def test_messages_and_receipts_come_both_ways_and_wait_for_who_is_away(
    tmp_path: Path,
) -> None:
    with trio.fail_after(4 * PATIENCE):
        async with met_by_relay(tmp_path), open_machine(tmp_path, "mac", lan=False) as mac:
            async with open_machine(tmp_path, "kai", lan=False) as kai:
                await together(kai, mac)
                to_kai = await send_some(mac, "kai", "to kai")
                to_mac = await send_some(kai, "mac", "to mac")
                first, *_ = await has_come(mac, to_mac)
                await has_come(kai, to_kai)
                await mac.client.messages.ack(first.id)
                async with kai.client.context.watch("ack:mac") as changes:
                    async for change in changes:
                        if isinstance(change, ContextEntry):
                            assert change.value == first.id
                            break
                states = [envelope.state for envelope in await kai.client.messages.outbox()]
                assert sorted(states) == sorted(["read"] + ["delivered"] * (EACH - 1))
            await mac.peer(away)
            to_kai += await send_some(mac, "kai", "while kai was away")
            waiting = [each.state for each in await mac.client.messages.outbox()]
            assert waiting.count("waiting") == EACH
            async with open_machine(tmp_path, "kai", lan=False) as kai:
                await has_come(kai, to_kai)


async def test_nothing_is_lost_or_doubled_however_often_the_relay_is_cut(tmp_path: Path) -> None:
    rounds = 3
    with trio.fail_after(6 * PATIENCE):
        async with (
            met_by_relay(tmp_path) as relay,
            open_machine(tmp_path, "mac", lan=False) as mac,
            open_machine(tmp_path, "kai", lan=False) as kai,
        ):
            await together(kai, mac)
            to_kai: list[str] = []
            to_mac: list[str] = []

            async def send_both_ways(half: trio.Event) -> None:
                for number in range(2 * EACH):
                    to_kai.append(f"k{number}")
                    await mac.client.messages.send("kai", to_kai[-1])
                    to_mac.append(f"m{number}")
                    await kai.client.messages.send("mac", to_mac[-1])
                    if number == EACH:
                        half.set()

            for _ in range(rounds):
                async with trio.open_nursery() as nursery:
                    half = trio.Event()
                    nursery.start_soon(send_both_ways, half)
                    await half.wait()
                    await trio.to_thread.run_sync(relay.cut)
                await mac.peer(away)
                to_kai += await send_some(mac, "kai", "apart")
                to_mac += await send_some(kai, "mac", "apart")
                await trio.to_thread.run_sync(relay.heal)
                await together(kai, mac)
            await has_come(kai, to_kai)
            await has_come(mac, to_mac)


async def test_context_is_set_read_and_watched_and_a_cut_is_told(tmp_path: Path) -> None:
    with trio.fail_after(4 * PATIENCE):
        async with (
            met_by_relay(tmp_path) as relay,
            open_machine(tmp_path, "mac", lan=False) as mac,
            open_machine(tmp_path, "kai", lan=False) as kai,
        ):
            await together(kai, mac)
            there = mac.client.peer("kai").context
            info = await there.set("build", "x" * 500_000)
            with pytest.raises(Conflict) as caught:
                await there.set("build", "y", if_revision=info.revision + 1)
            assert caught.value.details == {"revision": info.revision}
            assert await there.get("build") == await kai.client.context.get("build")
            async with there.watch("b") as changes:
                assert (await anext(changes)) == await there.get("build")
                assert isinstance(await anext(changes), ContextCurrent)
                await kai.client.context.delete("build")
                assert getattr(await anext(changes), "why", None) == "deleted"
                await trio.to_thread.run_sync(relay.cut)
                with pytest.raises(PeerLeft):
                    await anext(changes)
            await mac.peer(away)
            with pytest.raises(Gone):
                await there.get("build")
            await trio.to_thread.run_sync(relay.heal)
            await together(kai, mac)
            assert await there.get("build") is None


async def test_a_task_whose_worker_was_cut_off_goes_to_another_and_is_done_once(
    tmp_path: Path,
) -> None:
    with trio.fail_after(6 * PATIENCE):
        async with (
            met_by_relay(tmp_path) as relay,
            open_machine(tmp_path, "mac", lan=False) as mac,
            open_machine(tmp_path, "kai", lan=False) as kai,
        ):
            await together(kai, mac)
            queue, there = kai.client.tasks, mac.client.peer("kai").tasks
            easy, hard = await queue.add("easy"), await queue.add("hard")
            async with there.claim() as work:
                assert work is not None
                assert work.task.body == "easy"
                await work.progress("half way")
                await work.finish("by mac")
            assert (await queue.wait(easy.id)).result == "by mac"

            async def work_until_cut_off() -> None:
                async with there.claim(lease=3) as work:
                    assert work is not None
                    await trio.to_thread.run_sync(relay.cut)
                    await trio.sleep_forever()

            with pytest.raises(Conflict):  # the block is cancelled, for it is not its any more
                await work_until_cut_off()
            async with queue.claim() as work:
                assert work is not None
                assert (work.task.id, work.task.attempts) == (hard.id, 2)
                await trio.to_thread.run_sync(relay.heal)
                await together(kai, mac)
                # All who wait, wherever they are, see the same one worker.
                async with there.claim(wait=0) as none:
                    assert none is None
                await work.finish("by kai")
            done = await there.wait(hard.id)
            assert (done.state, done.result, done.attempts) == ("done", "by kai", 2)
