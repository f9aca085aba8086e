"""Machines that send each other messages in memory: they crash, clocks jump, links are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

import trio

from loopsy_core.capabilities import SHARED_TABLES, share
from loopsy_core.errors import Gone, Misconfigured, NotFound
from loopsy_core.links import open_conversation
from loopsy_core.node.grants import Asker
from loopsy_core.node.sharing import Sharing
from loopsy_core.wire import (
    ALL_GRANTS,
    AckMessage,
    DeleteContext,
    MessageEnvelope,
    SendMessage,
    decode_message_envelope,
)
from tests.world import InlineDatabase, memory_channels

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from loopsy_core.capabilities import Shared
    from loopsy_core.home import ContextConfig, PeerId
    from loopsy_core.kit import Database
    from loopsy_core.links import Asked
    from loopsy_core.node.machines import Machines

__all__ = ["Machine", "Network"]

T = TypeVar("T")

EPOCH: Final = 1e9

# Whatever came into the inbox, in the order of its coming, for as long as the disk lives.
_WITNESS: Final = """
    CREATE TABLE arrived (id TEXT NOT NULL);
    CREATE TRIGGER arriving AFTER INSERT ON context
    WHEN NEW.key LIKE 'inbox:%' AND json_valid(NEW.value) BEGIN
        INSERT INTO arrived VALUES (json_extract(NEW.value, '$.id'));
    END;
    CREATE TRIGGER again AFTER UPDATE ON context
    WHEN NEW.key LIKE 'inbox:%' AND json_valid(NEW.value) BEGIN
        INSERT INTO arrived VALUES (json_extract(NEW.value, '$.id'));
    END;
    """


class Disk(InlineDatabase):
    """A disk that may be full, or slow: on the way to it, and on the way back when all is done."""

    def __init__(self) -> None:
        super().__init__((*SHARED_TABLES, _WITNESS))
        self.slowness = 0.0
        self.full = False

    def query(self, text: str, *values: object) -> list[tuple[str, ...]]:
        return self._connection.execute(text, values).fetchall()

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await trio.sleep(self.slowness)
        if self.full:
            raise Misconfigured("the disk is full: free some space on it")
        result = await super().transact(work)
        with trio.CancelScope(shield=True):
            await trio.sleep(self.slowness)
        return result


class Machine:
    """One machine; its disk outlives its crashes."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.id = cast("PeerId", f"key of {name}")
        self.called = name
        """How the others call it."""
        self.skew = 0.0
        self.latest = 0.0
        self.database = Disk()
        self.shared: Shared | None = None
        self._sharing: Sharing | None = None
        self._network = network
        self._scope = trio.CancelScope()
        self.refuses = False
        self.limits: ContextConfig | None = None

    def clock(self) -> float:
        now = EPOCH + trio.current_time() + self.skew
        self.latest = max(self.latest, now)
        return now

    # Its life.

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.CancelScope() as self._scope:
            known = self._network.known()
            database = cast("Database", self.database)
            shared = share(database, self.name, known, self.clock, self.limits)
            async with shared as self.shared:
                self._sharing = Sharing(self.shared)
                self._sharing.machines = cast("Machines", self._network)
                task_status.started()
                await trio.sleep_forever()

    @property
    def up(self) -> bool:
        return self.shared is not None

    def crash(self) -> None:
        self._scope.cancel()
        self.shared = None

    async def answer(self, asked: Asked, asker: Machine) -> object:
        if self._sharing is None or self.shared is None:
            raise Gone("it has just crashed")
        grants = frozenset[str](ALL_GRANTS) - ({"message"} if self.refuses else set())
        who = Asker(asker.called, grants, asker.id)
        who.check(self._network.operation(asked.op))
        return await self._sharing.answer(asked, who)

    async def hand_over(self, to: Machine, conversation: object) -> None:
        assert self._sharing is not None
        await self._sharing.hand_over(to.id, conversation)  # type: ignore[arg-type]

    # What its user does.

    async def put(self, key: str, value: str) -> None:
        """Write to the context by hand."""
        assert self.shared is not None
        await self.shared.context.set(key, value, by="somebody")

    async def delete(self, key: str) -> None:
        assert self.shared is not None
        await self.shared.context.delete(DeleteContext(key=key))

    async def send(self, to: Machine, body: str, ttl: float = 3600.0) -> str:
        assert self.shared is not None
        request = SendMessage(to=to.name, body=body, ttl=ttl)
        peer = None if to is self else to.id
        return (await self.shared.messages.send(request, peer, to.called)).id

    async def ack(self, message_id: str) -> None:
        assert self.shared is not None
        await self.shared.messages.acknowledge(AckMessage(id=message_id))

    # What its disk says.

    def inbox(self) -> list[MessageEnvelope]:
        return list(self._envelopes(f"inbox:{self.name}:%"))

    def outbox(self) -> dict[str, MessageEnvelope]:
        return {envelope.id: envelope for envelope in self._envelopes("outbox:%")}

    def state(self, message_id: str) -> str | None:
        found = self.outbox().get(message_id)
        return None if found is None else found.state

    def arrived(self) -> list[str]:
        return [row[0] for row in self.query("SELECT id FROM arrived ORDER BY rowid")]

    def counted(self) -> list[tuple[object, ...]]:
        """What is kept count of, of each machine."""
        return [*self.query("SELECT * FROM mail_counts ORDER BY peer")]

    def to_be_counted(self) -> list[tuple[object, ...]]:
        """The same, counted row by row."""
        return [
            (
                peer,
                *self.query("SELECT count(*) FROM sent WHERE peer = ? AND waiting", peer)[0],
                *self.query(
                    "SELECT count(*), coalesce(sum(size), 0) FROM inbox WHERE peer = ?", peer
                )[0],
                *self.query("SELECT count(*) FROM received WHERE peer = ?", peer)[0],
            )
            for (peer,) in self.query("SELECT peer FROM mail_counts ORDER BY peer")
        ]

    def query(self, text: str, *values: object) -> list[tuple[str, ...]]:
        return self.database.query(text, *values)

    def _envelopes(self, pattern: str) -> Iterator[MessageEnvelope]:
        text = "SELECT value FROM context WHERE key LIKE ? AND expires_at > ? ORDER BY revision"
        for (value,) in self.query(text, pattern, self.clock()):
            envelope = decode_message_envelope(value)
            assert envelope is not None
            yield envelope


class Network:
    """Machines, and a link between each two of them."""

    def __init__(self, nursery: trio.Nursery, *names: str) -> None:
        self._nursery = nursery
        self.machines = [Machine(name, self) for name in names]
        self._links: dict[frozenset[str], trio.CancelScope] = {}

    async def start(self, machine: Machine) -> None:
        await self._nursery.start(machine.live)

    def crash(self, machine: Machine) -> None:
        for pair in [pair for pair in self._links if machine.name in pair]:
            self._links.pop(pair).cancel()
        machine.crash()

    async def link(self, one: Machine, other: Machine) -> None:
        """Connect two machines that are up, as if the former connection were not there."""
        await self._nursery.start(self._link, one, other)

    def cut(self, one: Machine, other: Machine) -> None:
        scope = self._links.pop(frozenset((one.name, other.name)), None)
        if scope is not None:
            scope.cancel()

    def linked(self, one: Machine, other: Machine) -> bool:
        return frozenset((one.name, other.name)) in self._links

    async def _link(
        self,
        one: Machine,
        other: Machine,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        near, far = memory_channels()
        with trio.CancelScope() as scope:
            self._links[frozenset((one.name, other.name))] = scope
            async with (
                open_conversation(
                    near, opener=True, answer=lambda asked: one.answer(asked, other)
                ) as ours,
                open_conversation(
                    far, opener=False, answer=lambda asked: other.answer(asked, one)
                ) as theirs,
                trio.open_nursery() as nursery,
            ):
                scope_of_both = nursery.cancel_scope
                nursery.start_soon(one.hand_over, other, ours)
                nursery.start_soon(other.hand_over, one, theirs)
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    scope_of_both.cancel()
                    far.cut()

    # What a node's book of machines says.

    def known(self) -> set[str]:
        return {machine.id for machine in self.machines}

    def is_machine(self, contact: PeerId) -> bool:
        return contact in self.known()

    def sender(self, contact: PeerId) -> tuple[PeerId, str]:
        machine = self._by_id(contact)
        return machine.id, machine.called

    def _by_id(self, contact: PeerId) -> Machine:
        for machine in self.machines:
            if machine.id == contact:
                return machine
        raise NotFound("no such machine")

    def operation(self, op: str) -> type[object]:
        from loopsy_core.wire import OPERATIONS

        return OPERATIONS[op]
