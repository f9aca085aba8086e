"""Who may touch the keys of messages and tasks by hand, with which grants, and in whose name."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from loopsy_core.capabilities import SHARED_TABLES, Shared, share
from loopsy_core.client import Client, ContextEntry
from loopsy_core.errors import Conflict, NotFound, Refused
from loopsy_core.node.grants import LOCAL, Asker
from loopsy_core.node.sharing import Sharing
from loopsy_core.wire import ContextCurrent, DeliverMessages, Delivery, MessageEnvelope
from tests.core.links.links_world import open_two
from tests.world import InlineDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Database
    from loopsy_core.links import Asked
    from loopsy_core.node.machines import Machines

MAC = cast("PeerId", "key of mac")
PHONE = cast("PeerId", "key of phone")
ALL = {"context", "message", "task"}


class Book:
    """The machines that are paired: mac is, and the phone is none."""

    def is_machine(self, contact: PeerId) -> bool:
        return contact == MAC

    def sender(self, contact: PeerId) -> tuple[PeerId, str]:
        assert contact == MAC
        return MAC, "mac"


class Kai:
    """A node that shares, and whoever asks it."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._sharing = Sharing(shared)
        self._sharing.machines = cast("Machines", Book())

    @asynccontextmanager
    async def asked_by(self, contact: PeerId | None, *grants: str) -> AsyncGenerator[Client]:
        asker = LOCAL if contact is None else Asker("somebody", frozenset(grants), contact)

        async def answer(asked: Asked) -> object:
            return await self._sharing.answer(asked, asker)

        async with open_two(answer) as (near, _):
            yield Client(near)

    async def fill(self) -> str:
        """Have a message from eve, one to mac, an acknowledgement and a task there."""
        came = Delivery("1-eve-0000", 1, "chat", "for kai", 60.0)
        await self.shared.messages.receive(DeliverMessages(messages=[came]), "key of eve", "eve")
        for key, value in (("outbox:9-kai-0000", "{}"), ("ack:eve", "9"), ("fact", "1")):
            await self.shared.context.set(key, value, by="me")
        async with self.asked_by(None) as client:
            return (await client.tasks.add("work")).id


@asynccontextmanager
async def open_kai() -> AsyncGenerator[Kai]:
    database = cast("Database", InlineDatabase(SHARED_TABLES))
    async with share(database, "kai") as shared:
        yield Kai(shared)


def message(from_: str, body: str = "b") -> str:
    envelope = MessageEnvelope(from_, "kai", 1, "1-x-0000", "chat", body)
    return msgspec.json.encode(envelope).decode()


async def seen(client: Client) -> list[str]:
    """Return the keys that are watched, after seeing that they are those that are listed."""
    keys: list[str] = []
    async with client.context.watch() as changes:
        async for change in changes:
            if isinstance(change, ContextCurrent):
                break
            assert isinstance(change, ContextEntry)
            keys.append(change.key)
    assert keys == [info.key for info in await client.context.list()]
    return keys


@pytest.mark.parametrize("contact", [MAC, PHONE])
@pytest.mark.parametrize(
    ("lacking", "hidden"), [("message", ("inbox:", "outbox:", "ack:")), ("task", ("task:",))]
)
async def test_who_has_not_the_grant_neither_sees_nor_touches_them(
    contact: PeerId, lacking: str, hidden: tuple[str, ...], autojump_clock: object
) -> None:
    async with open_kai() as kai:
        await kai.fill()
        everything = await keys_of(kai)
        async with kai.asked_by(contact, *ALL - {lacking}) as client:
            context = client.context
            assert await seen(client) == [key for key in everything if not key.startswith(hidden)]
            for key in (key for key in everything if key.startswith(hidden)):
                for asking in (
                    context.get(key),
                    context.set(key, "x"),
                    context.set(key, "x", if_revision=0),
                    context.delete(key),
                    context.list(key),
                ):
                    with pytest.raises(Refused, match=f"it needs '{lacking}'"):
                        await asking
                with pytest.raises(Refused):
                    async with context.watch(key) as changes:
                        await anext(changes)
        assert await keys_of(kai) == everything


async def keys_of(kai: Kai) -> list[str]:
    async with kai.asked_by(None) as client:
        return [info.key for info in await client.context.list()]


async def test_what_is_hidden_is_not_told_of_when_it_changes(autojump_clock: object) -> None:
    async with (
        open_kai() as kai,
        kai.asked_by(PHONE, "context") as client,
        client.context.watch() as changes,
    ):
        assert isinstance(await anext(changes), ContextCurrent)
        await kai.fill()
        await kai.shared.context.set("last", "x", by="me")
        told = [await anext(changes), await anext(changes)]
        assert [getattr(each, "key", None) for each in told] == ["fact", "last"]


async def test_a_list_goes_on_behind_many_keys_that_are_hidden(autojump_clock: object) -> None:
    async with open_kai() as kai:
        for number in range(1100):
            await kai.shared.context.set(f"inbox:kai:{number:04d}", "x", by="me")
        for key in ("a", "z"):
            await kai.shared.context.set(key, "x", by="me")
        async with kai.asked_by(PHONE, "context") as client:
            assert await seen(client) == ["a", "z"]


async def test_a_machine_speaks_for_itself_only_and_takes_nothing_away(
    autojump_clock: object,
) -> None:
    async with open_kai() as kai:
        task = await kai.fill()
        async with kai.asked_by(MAC, *ALL) as client:
            context = client.context
            for key, value, why in (
                ("inbox:kai:2-eve-0000", message("eve"), "must say 'mac'"),
                ("inbox:kai:2-kai-0000", message("kai"), "must say 'mac'"),
                ("outbox:9-kai-0000", message("kai"), "no other machine writes it"),
                ("outbox:8-kai-0000", message("mac"), "no other machine writes it"),
                ("ack:eve", "9", "mac acknowledges for itself"),
                (f"task:{task}", "{}", "not by hand"),
                ("task:new", "{}", "not by hand"),
            ):
                with pytest.raises(Refused, match=why):
                    await context.set(key, value)
            for key in ("inbox:kai:1-eve-0000", "outbox:9-kai-0000", "ack:eve"):
                with pytest.raises(Refused, match="takes away"):
                    await context.delete(key)
            with pytest.raises(Conflict):
                await context.set("inbox:kai:1-eve-0000", message("mac", "not what eve wrote"))
            with pytest.raises(Refused, match="and not to another"):
                await client.messages.ack("1-eve-0000")
            # But this is how the convention goes, by hand.
            await context.set("inbox:kai:3-mac-0000", message("mac"))
            await context.set("ack:mac", "9-kai-0000")
        async with kai.asked_by(None) as client:
            found = await client.context.get("inbox:kai:1-eve-0000")
            assert found is not None
            assert '"for kai"' in found.value


async def test_a_phone_is_this_machines_user_and_may_what_its_grants_say(
    autojump_clock: object,
) -> None:
    async with open_kai() as kai:
        await kai.fill()
        async with kai.asked_by(PHONE, *ALL) as client:
            await client.context.delete("outbox:9-kai-0000")  # takes a message back
            await client.messages.ack("1-eve-0000")
            with pytest.raises(NotFound):
                await client.messages.ack("2-eve-0000")
