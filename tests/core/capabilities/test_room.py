"""How much there may be: in all and of each contact, whoever writes it and by whatever way."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, cast

import attrs
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.capabilities import SHARED_TABLES, Shared, open_shared, share
from loopsy_core.errors import Full, LoopsyError, NotFound
from loopsy_core.home import ContextConfig
from loopsy_core.wire import (
    AckMessage,
    AddTask,
    ClaimTask,
    DeleteContext,
    DeliverMessages,
    Delivery,
    FinishTask,
    ListContext,
    SendMessage,
)
from tests.world import InlineDatabase

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from loopsy_core.kit import Database

SMALL = ContextConfig(max_size=2000, max_entries=12, contact_max_size=800, contact_max_entries=5)


class Book:
    """What is kept count of, beside what there is."""

    def __init__(self) -> None:
        self.database = InlineDatabase(SHARED_TABLES)
        self.now = 1000.0

    def open(self, limits: ContextConfig = SMALL) -> AbstractAsyncContextManager[Shared]:
        return share(cast("Database", self.database), "kai", (), lambda: self.now, limits)

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        return await self.database.read(lambda connection: connection.execute(query).fetchall())

    async def check(self, limits: ContextConfig = SMALL) -> None:
        sizes = "count(*), coalesce(sum(size + length(CAST(key AS BLOB))), 0)"
        there = await self.rows(f"SELECT {sizes} FROM context")
        assert await self.rows("SELECT entries, size FROM context_revision") == there
        [(entries, size)] = cast("list[tuple[int, int]]", there)
        # A task or message that is there already may become somewhat longer than there is room.
        assert entries <= limits.max_entries
        assert size <= limits.max_size + 2000
        shares = await self.rows("SELECT * FROM context_share ORDER BY owner")
        assert shares == await self.rows(
            f"SELECT owner, {sizes} FROM context WHERE owner <> '' GROUP BY owner ORDER BY owner"
        )
        assert all(cast("int", share[1]) <= limits.contact_max_entries for share in shares)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("set"),
            st.sampled_from("abcdefgh"),
            st.integers(0, 900),
            st.sampled_from(["", "phone", "mac"]),
            st.none() | st.integers(1, 20),
        ),
        st.tuples(st.just("delete"), st.sampled_from("abcdefgh")),
        st.tuples(st.just("send"), st.integers(0, 300), st.sampled_from(["", "phone"])),
        st.tuples(st.just("receive"), st.integers(0, 99), st.integers(0, 300)),
        st.tuples(st.just("ack"), st.integers(0, 99)),
        st.tuples(st.just("add"), st.integers(0, 300), st.sampled_from(["", "phone"])),
        st.tuples(st.just("work"), st.integers(0, 300)),
        st.tuples(st.just("pass"), st.integers(1, 30)),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_the_count_is_what_there_is_and_never_more_than_it_may_be(
    steps: list[tuple[object, ...]],
) -> None:
    async def play() -> None:
        book = Book()
        async with book.open() as shared:
            for step in steps:
                with contextlib.suppress(Full, NotFound):
                    await take(book, shared, *step)
                await book.check()

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


async def take(book: Book, shared: Shared, what: object, *args: object) -> None:
    match what, args:
        case "set", (str(key), int(size), str(owner), ttl):
            lifetime = float(ttl) if isinstance(ttl, int) else None
            await shared.context.set(key, "v" * size, by="me", owner=owner, ttl=lifetime)
        case "delete", (str(key),):
            await shared.context.delete(DeleteContext(key=key))
        case "send", (int(size), str(owner)):
            message = SendMessage(to="mac", body="b" * size, ttl=30)
            await shared.messages.send(message, "key of mac", "mac", owner)
        case "receive", (int(number), int(size)):
            delivery = Delivery(f"m{number}", 0, "chat", "b" * size, 30)
            await shared.messages.receive(DeliverMessages(messages=[delivery]), "mac", "mac")
        case "ack", (int(number),):
            await shared.messages.acknowledge(AckMessage(id=f"m{number}"))
        case "add", (int(size), str(owner)):
            await shared.tasks.add(AddTask(body="b" * size), "me", owner)
        case "work", (int(size),):
            task = (await shared.tasks.claim(ClaimTask(), "me")).task
            if task is not None:
                request = FinishTask(id=task.id, attempt=task.attempts, result="r" * size)
                await shared.tasks.finish(request)
        case "pass", (int(seconds),):
            book.now += seconds
            await shared.context.sweep()
            await shared.messages.expire()
        case _:
            raise AssertionError(what)


async def test_who_wants_more_than_there_is_room_for_is_told_which_limit_it_was() -> None:
    async with Book().open() as shared:
        context = shared.context
        await context.set("a", "v" * 1500, by="me")
        with pytest.raises(Full, match=r"2000 bytes.*context\.maxSize") as caught:
            await context.set("b", "v" * 500, by="me")
        assert (caught.value.code, caught.value.details) == ("full", {"limit": 2000})
        assert [info.key for info in (await context.list(ListContext())).entries] == ["a"]
        await context.set("a", "v" * 1999, by="me")  # in its own place there is room for it
        await context.set("a", "v" * 10, by="me")
        for number in range(11):
            await context.set(str(number), "", by="me")
        with pytest.raises(Full, match=r"12 entries.*context\.maxEntries"):
            await context.set("one more", "", by="me")
        await context.delete(DeleteContext(key="a"))
        await context.set("one more", "", by="me")


async def test_one_contact_takes_no_more_than_its_share_and_none_of_another() -> None:
    async with Book().open() as shared:
        context = shared.context
        await context.set("a", "v" * 700, by="phone", owner="1")
        with pytest.raises(Full, match=r"800 bytes.*context\.contactMaxSize"):
            await context.set("b", "v" * 200, by="phone", owner="1")
        await context.set("b", "v" * 700, by="mac", owner="2")
        # What somebody else has written over is theirs.
        await context.set("a", "v" * 100, by="me")
        for number in range(5):
            await context.set(f"p{number}", "", by="phone", owner="1")
        with pytest.raises(Full, match=r"5 entries.*context\.contactMaxEntries"):
            await context.set("p5", "", by="phone", owner="1")
        with pytest.raises(Full):
            await shared.tasks.add(AddTask(body="x"), "phone", "1")
        message = SendMessage(to="mac", body="x")
        with pytest.raises(Full):
            await shared.messages.send(message, "key of mac", "mac", "1")
        await shared.messages.send(message, "key of mac", "mac", "")


async def test_who_is_above_a_limit_that_was_lowered_may_only_become_less() -> None:
    book = Book()
    async with book.open() as shared:
        await shared.context.set("a", "v" * 1500, by="me")
    async with book.open(attrs.evolve(SMALL, max_size=100)) as shared:
        await shared.context.set("a", "v" * 1400, by="me")
        with pytest.raises(Full):
            await shared.context.set("a", "v" * 1401, by="me")
        await shared.context.set("a", "v", by="me")


async def test_work_goes_on_where_nothing_new_finds_room() -> None:
    book = Book()
    async with book.open() as shared:
        task = await shared.tasks.add(AddTask(body="x"), "me")
        sent = await shared.messages.send(SendMessage(to="kai", body="x"), None, "kai")
        room = SMALL.max_size - 2000
        while True:
            try:
                await shared.context.set(f"k{room}", "v" * 50, by="me")
            except Full:
                break
            room += 1
        claimed = (await shared.tasks.claim(ClaimTask(), "me")).task
        assert claimed is not None
        done = FinishTask(id=task.id, attempt=claimed.attempts, result="r" * 5000)
        assert (await shared.tasks.finish(done)).state == "done"
        await shared.messages.acknowledge(AckMessage(id=sent.id))
        assert '"read"' in (await shared.context.get(f"outbox:{sent.id}")).value


def test_mail_that_was_there_before_anybody_counted_is_counted() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for script in SHARED_TABLES[:5]:
        connection.executescript(script)
    for key in ("outbox:1", "outbox:2", "inbox:kai:3"):
        connection.execute("INSERT INTO context VALUES (?, 'v', 1, 1, 1.0, 'me', NULL, '')", (key,))
    for key, waiting in (("outbox:1", 1), ("outbox:2", 0)):
        connection.execute(
            "INSERT INTO sent (key, id, peer, expires_at, waiting) VALUES (?, ?, 'mac', 9.0, ?)",
            (key, key, waiting),
        )
    connection.execute("INSERT INTO inbox VALUES ('inbox:kai:3', 'eve', 7)")
    connection.execute("INSERT INTO received VALUES ('3', 'eve', 9.0)")
    connection.executescript(SHARED_TABLES[5])
    found = connection.execute("SELECT * FROM mail_counts ORDER BY peer").fetchall()
    assert found == [("eve", 0, 1, 7, 1), ("mac", 1, 0, 0, 0)]
    connection.close()


async def test_what_was_there_before_anybody_counted_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    older = sqlite3.connect(path, isolation_level=None)
    for script in SHARED_TABLES[:4]:
        older.executescript(script)
    older.execute("PRAGMA user_version = 4")
    for key, value in (("a", "x"), ("\u00e9", "yy")):
        older.execute(
            "INSERT INTO context VALUES (?, ?, ?, 1, 1.0, 'me', NULL)", (key, value, len(value))
        )
    older.close()
    path.chmod(0o600)
    with trio.fail_after(30):
        limits = attrs.evolve(SMALL, max_size=9)
        async with open_shared(path, "kai", (), limits) as shared:  # there are 6 bytes
            with pytest.raises(LoopsyError, match="9 bytes"):
                await shared.context.set("b", "xxx", by="me")
            await shared.context.set("b", "xx", by="me")
