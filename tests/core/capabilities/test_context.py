"""Context against a simple model: whatever is asked in whatever order, whoever watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never, cast

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.capabilities import SHARED_TABLES, Context
from loopsy_core.capabilities.lately import Lately
from loopsy_core.errors import BadRequest, Busy, Conflict, LoopsyError, NotFound
from loopsy_core.wire import (
    MAX_KEY,
    MAX_VALUE,
    ContextCurrent,
    ContextDeleted,
    ContextSet,
    DeleteContext,
    ListContext,
    SetContext,
    WatchContext,
    decode,
    encode,
)
from tests.core.links.links_world import open_two
from tests.world import InlineDatabase

if TYPE_CHECKING:
    from loopsy_core.kit import Database
    from loopsy_core.links import Asked

KEYS = ["a", "a:", "a:1", "a:2", "a;", "b", "\u00e9", "\U0010ffff", "\ud7ff"]


class Clock:
    """Seconds since 1970, which only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Context, Clock]:
    clock = Clock()
    database = cast("Database", InlineDatabase(SHARED_TABLES))
    return Context(database, clock), clock


class Model:
    """What context is: a dictionary with a counter."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[str, int, float | None]] = {}
        self.revision = 0

    def live(self, now: float) -> dict[str, tuple[str, int, float | None]]:
        return {
            key: entry for key, entry in self.entries.items() if entry[2] is None or entry[2] > now
        }

    def set(self, key: str, value: str, expires: float | None) -> None:
        self.revision += 1
        self.entries[key] = value, self.revision, expires

    def delete(self, key: str) -> None:
        self.revision += 1
        del self.entries[key]


KEY = st.sampled_from(KEYS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEY, st.text(max_size=3), st.none() | st.integers(1, 20)),
        st.tuples(st.just("swap"), KEY, st.integers(-1, 1)),
        st.tuples(st.just("delete"), KEY),
        st.tuples(st.just("get"), KEY),
        st.tuples(st.just("list"), st.sampled_from(["", "a", "a:", "b", "\U0010ffff", "zz"])),
        st.tuples(st.just("pass"), st.integers(1, 15)),
        st.tuples(st.just("sweep")),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_context_does_what_a_dictionary_would(steps: list[tuple[object, ...]]) -> None:
    async def play() -> None:
        context, clock = make()
        model = Model()
        for step in steps:
            await take(context, clock, model, *step)

    trio.run(play)


async def take(context: Context, clock: Clock, model: Model, what: object, *args: object) -> None:
    now = clock.now
    match what, args:
        case "set", (str(key), str(value), ttl):
            lifetime = float(ttl) if isinstance(ttl, int) else None
            info = await context.set(key, value, by="me", ttl=lifetime)
            model.set(key, value, None if lifetime is None else now + lifetime)
            assert (info.revision, info.size) == (model.revision, len(value.encode()))
        case "swap", (str(key), int(off)):
            stands = model.live(now).get(key, ("", 0, None))[1]
            asked = max(0, stands + off)
            if asked == stands:
                await context.set(key, "swapped", by="me", if_revision=asked)
                model.set(key, "swapped", None)
            else:
                with pytest.raises(Conflict) as caught:
                    await context.set(key, "swapped", by="me", if_revision=asked)
                assert caught.value.details == {"revision": stands}
        case "delete", (str(key),):
            if key in model.live(now):
                await context.delete(DeleteContext(key=key))
                model.delete(key)
            else:
                with pytest.raises(NotFound):
                    await context.delete(DeleteContext(key=key))
        case "get", (str(key),):
            entry = model.live(now).get(key)
            if entry is None:
                with pytest.raises(NotFound):
                    await context.get(key)
            else:
                info, value = await context.get(key)
                assert (value, info.revision, info.expires_at) == entry
        case "list", (str(prefix),):
            keys: list[str] = []
            after: str | None = ""
            while after is not None:
                page = await context.list(ListContext(prefix=prefix, after=after, limit=2))
                keys += [info.key for info in page.entries]
                after = page.next
            wanted = [key for key in model.live(now) if key.startswith(prefix)]
            assert keys == sorted(wanted, key=str.encode)
        case "pass", (int(seconds),):
            clock.now += seconds
        case "sweep", ():
            await context.sweep()
            for key in model.entries.keys() - model.live(now).keys():
                model.delete(key)


class Watcher:
    """Stands for a watching call, and puts together what it is told."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self.values: dict[str, str] = {}
        self._info: object = None

    async def send_item(self, item: object) -> None:
        await trio.lowlevel.checkpoint()
        item = decode(encode(item), type(item))
        self.items.append(item)
        self._info = item
        if isinstance(item, ContextDeleted):
            self.values.pop(item.key, None)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert isinstance(self._info, ContextSet)
        assert len(data) == self._info.info.size
        self.values[self._info.info.key] = data.decode()


async def test_a_watcher_is_told_what_there_is_and_then_what_changes(
    autojump_clock: object,
) -> None:
    context, _ = make()
    await context.set("a:old", "1", by="me")
    await context.set("b:old", "2", by="me")
    watcher = Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.watch, cast("Asked", watcher), WatchContext(prefix="a:"))
        await trio.testing.wait_all_tasks_blocked()
        assert watcher.values == {"a:old": "1"}
        assert isinstance(watcher.items[-1], ContextCurrent)
        await context.set("a:new", "3", by="me")
        await context.set("b:new", "4", by="me")
        await context.delete(DeleteContext(key="a:old"))
        await trio.testing.wait_all_tasks_blocked()
        assert watcher.values == {"a:new": "3"}
        nursery.cancel_scope.cancel()


@given(seed=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_nothing_is_missed_between_what_there_is_and_what_changes(seed: object) -> None:
    """Writers change keys while a watcher is still being told what there is."""

    async def play() -> None:
        import random

        assert isinstance(seed, random.Random)
        context, _ = make()
        for number in range(20):
            await context.set(f"k{number}", "before", by="me")
        watcher = Watcher()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(context.watch, cast("Asked", watcher), WatchContext())
            for number in range(60):
                for _ in range(seed.randrange(4)):
                    await trio.lowlevel.checkpoint()
                key = f"k{seed.randrange(25)}"
                if seed.random() < 0.3:
                    try:
                        await context.delete(DeleteContext(key=key))
                    except NotFound:
                        continue
                else:
                    await context.set(key, str(number), by="me")
            await trio.testing.wait_all_tasks_blocked()
            there = {
                info.key: (await context.get(info.key))[1]
                for info in (await context.list(ListContext())).entries
            }
            assert watcher.values == there
            nursery.cancel_scope.cancel()

    # A clock that jumps: then all is at rest when no task can go on, and not just for a moment.
    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_watcher_that_falls_behind_is_told_to_start_over(autojump_clock: object) -> None:
    context, _ = make()

    class Stuck(Watcher):
        async def send_item(self, item: object) -> None:
            await super().send_item(item)
            if isinstance(item, ContextSet):
                await trio.sleep(1000)

    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            with pytest.raises(Busy, match="watch anew"):
                await context.watch(cast("Asked", Stuck()), WatchContext())
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(1500):
            await context.set(f"k{number}", "x", by="me")
        await trio.sleep_forever()


async def test_an_expired_entry_is_gone_at_once_and_watchers_are_told(
    autojump_clock: object,
) -> None:
    database = cast("Database", InlineDatabase(SHARED_TABLES))
    context = Context(database, lambda: 1000 + trio.current_time())
    watcher = Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.keep_swept)
        nursery.start_soon(context.watch, cast("Asked", watcher), WatchContext())
        await trio.testing.wait_all_tasks_blocked()
        await context.set("soon", "x", by="me", ttl=30)
        await context.set("sooner", "x", by="me", ttl=10)
        await trio.sleep(9.9)
        assert watcher.values.keys() == {"soon", "sooner"}
        await trio.sleep(0.3)
        assert watcher.values.keys() == {"soon"}
        await trio.sleep(20)
        assert not watcher.values
        assert [item.why for item in watcher.items if isinstance(item, ContextDeleted)] == [
            "expired",
            "expired",
        ]
        nursery.cancel_scope.cancel()


class LockedDatabase(InlineDatabase):
    """A database that another process has locked whenever it is read at once."""

    def __init__(self) -> None:
        super().__init__(SHARED_TABLES)
        self.asked = 0

    def read_nowait(self, _work: object) -> Never:
        self.asked += 1
        raise trio.WouldBlock


async def test_what_cannot_be_read_at_once_is_waited_for() -> None:
    database = LockedDatabase()
    context = Context(cast("Database", database), Clock())
    await context.set("k", "v", by="me")
    await context.set("large", "v" * 100_000, by="me")
    assert [(await context.get(key)).value[:1] for key in ("k", "large")] == ["v", "v"]
    assert database.asked == 1  # a large value is not even tried


def test_only_the_keys_that_were_used_last_are_read_at_once() -> None:
    lately = Lately()
    for number in range(10_000):
        lately.note(f"k{number}", 10)
        lately.note("always", 10)
    assert "always" in lately
    assert sum(f"k{number}" in lately for number in range(10_000)) < 5000
    assert "k9999" in lately
    lately.note("always", 1_000_000)
    assert "always" not in lately


async def set_over_a_call(context: Context, key: str, *pieces: bytes) -> None:
    """Set a key as whoever asks over a call does, its value in these pieces."""

    async def answer(asked: Asked) -> object:
        return await context.set_from(asked, SetContext(key=key), "me")

    async with open_two(answer) as (near, _), near.open_call(SetContext(key=key)) as call:
        for piece in pieces:
            await call.send(piece)
        call.end()
        await call.answer()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a\nb", b"x"),
        ("a\0b", b"x"),
        ("\x1b[31m", b"x"),
        ("k", b"\xff"),
        ("k", b"\xed\xa0\x80"),
        ("k", bytes(MAX_VALUE + 1)),
    ],
)
async def test_what_cannot_be_kept_is_refused_in_a_sentence(key: str, value: bytes) -> None:
    context, _ = make()
    with pytest.raises(BadRequest):
        await set_over_a_call(context, key, value)
    assert not (await context.list(ListContext())).entries


async def test_the_longest_key_and_value_are_kept() -> None:
    context, _ = make()
    key, value = "\u00e9" * MAX_KEY, b"v" * MAX_VALUE
    await set_over_a_call(context, key, value[:9], value[9:])
    assert (await context.get(key))[1].encode() == value


@pytest.mark.parametrize(
    "fields",
    [
        {"key": ""},
        {"key": "k" * (MAX_KEY + 1)},
        {"key": "k", "ttl": 0},
        {"key": "k", "ttl": -5},
        {"key": "k", "ttl": 100 * 366 * 86_400},
        {"key": "k", "ttl": "abc"},
        {"key": "k", "if_revision": -1},
        {"key": 5},
    ],
)
def test_requests_out_of_bounds_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(LoopsyError):
        decode(encode(fields), SetContext)


async def test_a_watcher_of_very_many_keys_keeps_up_while_others_write(
    autojump_clock: object,
) -> None:
    """It reads on and on, and yet thousands of changes meanwhile do not overtake it."""
    context, _ = make()
    for number in range(1500):
        await context.set(f"k{number:05d}", "before", by="me")
    watcher = Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.watch, cast("Asked", watcher), WatchContext())
        for number in range(4000):
            await context.set(f"k{number * 7 % 1500:05d}", str(number), by="me")
        await trio.testing.wait_all_tasks_blocked()
        told = [item.info.revision for item in watcher.items if isinstance(item, ContextSet)]
        assert len(told) == len(set(told)), "nothing twice"
        assert [type(item) for item in watcher.items].count(ContextCurrent) == 1
        assert len(watcher.values) == 1500
        for key, value in watcher.values.items():
            assert (await context.get(key)).value == value
        nursery.cancel_scope.cancel()


async def test_a_page_of_the_longest_keys_fits_an_answer(autojump_clock: object) -> None:
    context, _ = make()
    keys = [f"{number:03d}" + "\U0001f600" * (MAX_KEY - 3) for number in range(500)]
    for key in keys:
        await context.set(key, "", by="somebody")
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await context.list(ListContext(after=after))
        assert len(encode(page)) < 1 << 20
        found += [info.key for info in page.entries]
        after = page.next
    assert found == keys


async def test_a_late_word_of_a_change_is_not_told_after_a_newer_one(
    autojump_clock: object,
) -> None:
    """Many set and delete the same key at once; what a watcher hears is in order."""
    context, _ = make()
    watcher = Watcher()

    async def act(number: int) -> None:
        try:
            if number % 3:
                await context.set("k", str(number), by="me")
            else:
                await context.delete(DeleteContext(key="k"))
        except NotFound:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.watch, cast("Asked", watcher), WatchContext())
        async with trio.open_nursery() as actors:
            for number in range(300):
                actors.start_soon(act, number)
        await trio.testing.wait_all_tasks_blocked()
        told = [
            item.info.revision if isinstance(item, ContextSet) else item.revision
            for item in watcher.items
            if isinstance(item, (ContextSet, ContextDeleted))
        ]
        assert told == sorted(set(told))
        last = (await context.list(ListContext())).entries
        assert watcher.values.keys() == {info.key for info in last}
        nursery.cancel_scope.cancel()
