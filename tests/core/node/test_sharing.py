"""What a node shares, through its router: who may, what a broken database costs, and limits."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.capabilities import open_shared
from loopsy_core.errors import Misconfigured, Refused
from loopsy_core.home import ContextConfig
from loopsy_core.node.sharing import open_sharing
from loopsy_core.wire import AckMessage, DeliverMessages, Delivery, ListSessions, NodeStatus
from tests.world import PATIENCE, Phone, open_phone, open_world

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import SharedContext


async def test_a_phone_sends_messages_but_hands_none_over(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            phone = Phone()
            await world.pair(node, phone)
            async with open_phone(node.serve_phone, phone.again(node.identity.id)) as client:
                sent = await client.messages.send("local", "hello")
                assert [each.id for each in await client.messages.inbox()] == [sent.id]
                forged = DeliverMessages(messages=[Delivery("i", 0, "chat", "b", 60.0)])
                with pytest.raises(Refused, match="only a paired machine"):
                    await client.ask(forged)


@pytest.mark.logs_errors
@pytest.mark.parametrize("damage", ["no database", "a torn page"])
async def test_a_node_with_a_damaged_database_keeps_its_sessions_and_says_what_is_wrong(
    tmp_path: Path, damage: str
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            file = world.home().shared_database
            await spoil(tmp_path / "good.db", file, damage)
            before = file.read_bytes()
            node = await world.node()
            async with world.local(node) as client:
                for asking in (
                    client.context.set("k", "v"),
                    client.context.get("k"),
                    client.messages.inbox(),
                    client.tasks.add("b"),
                    client.ask(AckMessage(id="i")),
                ):
                    with pytest.raises(Misconfigured, match="nothing was deleted"):
                        await asking
                status = await client.ask(NodeStatus())
                assert str(file) in str(status.sharing_problem)
                await client.ask(ListSessions())
            assert file.read_bytes() == before


async def spoil(good: Path, file: Path, damage: str) -> None:
    """Put what was a database with entries to `file`, damaged."""
    async with open_shared(good, "kai", (), ContextConfig()) as shared:
        await shared.context.set("k", "v" * 10_000, by="me")
    write(file, good, damage)


def write(file: Path, good: Path, damage: str) -> None:
    data = bytearray(good.read_bytes())
    if damage == "no database":
        data[:] = b"this is no database" * 1000
    else:
        data[100:4096] = b"\xff" * (4096 - 100)
    file.write_bytes(data)
    file.chmod(0o600)


async def fill(context: SharedContext, kept: list[str]) -> None:
    """Set keys, and note which are kept, until there is no room for more."""
    while len(kept) < 100:
        await context.set(f"k{len(kept)}", "v" * 100_000)
        kept.append(f"k{len(kept)}")


async def test_a_full_disk_is_told_and_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world, world.local(await world.node()) as client:
            context = client.context
            kept: list[str] = []
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
            try:
                with pytest.raises(Misconfigured, match=r"disk|space"):
                    await fill(context, kept)
                with pytest.raises(Misconfigured):
                    await client.messages.send("local", "x" * 100_000)
                assert await client.context.get("k0") is not None
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert kept
            assert sorted(info.key for info in await context.list()) == sorted(kept)
            await context.set("again", "x")


async def test_a_database_that_was_emptied_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shared.db"
    path.touch(0o600)
    with trio.fail_after(PATIENCE):
        for _ in range(2):  # the second time it is a database with nothing in it
            async with open_sharing(path, "kai", (), ContextConfig()) as sharing:
                assert sharing.problem is None
            assert caplog.text.count("begin anew") == 1
