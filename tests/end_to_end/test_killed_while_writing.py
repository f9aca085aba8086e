"""Nodes that are killed while context, messages and tasks are written: what was acknowledged stays.

Five times here, a hundred times in `nox -s deep`; `LOOPSY_KILLS=1000` kills as often as that.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import Client, open_client, start_daemon
from loopsy_core.errors import Conflict, Gone
from loopsy_core.home import Home, create_identity, create_private, load_identity
from loopsy_core.wire import AddPeer
from tests.depth import deep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

KILLS = int(os.environ.get("LOOPSY_KILLS", deep("5", "100")))
PATIENCE = 60.0 + 10.0 * KILLS


class Node:
    """A node as a process, which is killed and comes back."""

    def __init__(self, root: Path, name: str) -> None:
        self.home = Home(root)
        self.home.create()
        create_identity(self.home)
        config = f"server: {{name: {name}, port: 0}}\ndiscovery: {{enabled: false}}\n"
        create_private(self.home.config, config.encode())
        self.name = name
        self.id = load_identity(self.home).id
        self.pid = 0

    async def start(self) -> None:
        self.pid = await start_daemon(self.home, loopback=True)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


@pytest.fixture
def nodes(tmp_path: Path) -> Generator[tuple[Node, Node]]:
    kai, mac = Node(tmp_path / "kai", "kai"), Node(tmp_path / "mac", "mac")
    yield kai, mac
    kai.kill()
    mac.kill()


class Ledger:
    """What a node has acknowledged, and what was asked of it without an answer."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.doubtful: dict[str, set[str]] = {}
        self.sent: list[tuple[str, str]] = []
        self.tasks: set[str] = set()
        self.done: set[str] = set()
        self.number = 0

    def next(self) -> str:
        self.number += 1
        return str(self.number)

    async def set_values(self, client: Client) -> None:
        key, value = f"k{random.randrange(50)}", self.next()
        self.doubtful.setdefault(key, set()).add(value)
        await client.context.set(key, value)
        self.values[key] = value
        self.doubtful[key] = {value}

    async def send(self, client: Client) -> None:
        body = self.next()
        sent = await client.messages.send("mac", body)
        self.sent.append((sent.id, body))

    async def add_tasks(self, client: Client) -> None:
        self.tasks.add((await client.tasks.add(self.next())).id)

    async def work(self, client: Client) -> None:
        try:
            async with client.tasks.claim(lease=2.0, wait=1.0) as work:
                if work is not None:
                    await work.finish(self.next())
                    assert work.task.id not in self.done, "done twice"
                    self.done.add(work.task.id)
        except Conflict:
            pass  # the killed node had it done already, or it was too late


async def test_what_was_acknowledged_is_there_once_whoever_is_killed(
    nodes: tuple[Node, Node],
) -> None:
    kai, mac = nodes
    ledger = Ledger()
    with trio.fail_after(PATIENCE):
        await mac.start()
        await kai.start()
        await introduce(kai, mac)
        for _ in range(KILLS):
            async with trio.open_nursery() as nursery:
                for act in (ledger.set_values, ledger.send, ledger.add_tasks, ledger.work):
                    nursery.start_soon(go_on, kai, act)
                victim = random.choice([kai, kai, mac])
                await trio.sleep(random.uniform(0.05, 0.6))  # the moment of the accident
                victim.kill()
                nursery.cancel_scope.cancel()
            await victim.start()
            if victim is mac:
                await introduce(kai, mac)
        await check(ledger, kai, mac)


async def introduce(kai: Node, mac: Node) -> None:
    """Have the two know each other, and where mac is now."""
    async with open_client(mac.home) as there, open_client(kai.home) as here:
        port = (await there.status()).port
        await there.ask(AddPeer(address=None, key=kai.id, name="kai"))
        await here.ask(AddPeer(address=f"127.0.0.1:{port}", key=mac.id, name="mac"))


async def go_on(node: Node, act: Callable[[Client], Awaitable[None]]) -> None:
    """Do something again and again, until the node is gone."""
    try:
        async with open_client(node.home) as client:
            while True:
                await act(client)
    except Gone:
        pass


async def check(ledger: Ledger, kai: Node, mac: Node) -> None:
    async with open_client(kai.home) as here, open_client(mac.home) as there:
        for key, value in ledger.values.items():
            entry = await here.context.get(key)
            assert entry is not None
            assert entry.value in ledger.doubtful[key] | {value}

        arrived: list[str] = []
        async with there.messages.watch() as inbox:
            last = (await here.messages.send("mac", "the last")).id
            async for envelope in inbox:
                arrived.append(envelope.id)
                if envelope.id == last:
                    break
        assert Counter(arrived).most_common(1)[0][1] == 1, "nothing twice"
        acknowledged = [message_id for message_id, _ in ledger.sent]
        known = set(acknowledged)
        assert [each for each in arrived if each in known] == acknowledged, "all, in order"

        tasks = {task.id: task for task in await here.tasks.list()}
        assert ledger.tasks <= tasks.keys()
        assert {tasks[task_id].state for task_id in ledger.done} <= {"done"}
        # What nobody holds any more is given to whoever comes, and then nothing is left.
        left = True
        while left:
            async with here.tasks.claim(wait=3.0) as work:
                left = work is not None
        assert {task.state for task in await here.tasks.list()} <= {"done", "failed"}
