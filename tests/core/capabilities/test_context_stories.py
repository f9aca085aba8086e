"""Context against a model that crashes with it, while clocks jump and watchers are cut off."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.capabilities import Context
from loopsy_core.errors import NotFound
from loopsy_core.wire import (
    ContextDeleted,
    ContextSet,
    DeleteContext,
    ListContext,
    WatchContext,
    decode,
    encode,
)
from tests.core.capabilities.mail import EPOCH, Disk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.kit import Database
    from loopsy_core.links import Asked

KEYS = ["a:1", "a:2", "a:3", "b"]
KEY = st.sampled_from(KEYS)
PAUSE = st.sampled_from([0.001, 0.002, 0.1, 1.5, 4.0, 70.0])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEY, st.sampled_from([None, 3.0, 5.0, 60.0])),
        st.tuples(st.just("set"), KEY, st.sampled_from([None, 3.0, 5.0, 60.0])),
        st.tuples(st.just("delete"), KEY),
        st.tuples(st.just("watch"), st.sampled_from(["", "a:"]), st.sampled_from([0.0, 2.0])),
        st.tuples(st.just("cut")),
        st.tuples(st.just("crash")),
        st.tuples(st.just("jump"), st.sampled_from([-86_400.0, -30.0, 30.0, 86_400.0])),
        st.tuples(st.just("slow"), st.sampled_from([0.0, 0.001, 1.0])),
        st.tuples(st.just("turn"), st.integers(1, 20)),
        st.tuples(st.just("pass"), PAUSE),
    ),
    min_size=5,
    max_size=40,
)


class Value(NamedTuple):
    """What may stand under a key."""

    text: str
    expires_at: float | None


class Watcher:
    """Stands for a watching call, and puts together what it is told."""

    def __init__(self, prefix: str, pause: float) -> None:
        self.prefix = prefix
        self._pause = pause
        self.values: dict[str, str] = {}
        self._told: dict[str, int] = {}
        self._key = ""

    async def send_item(self, item: object) -> None:
        await trio.sleep(self._pause)
        item = decode(encode(item), type(item))
        if isinstance(item, ContextDeleted):
            self._note(item.key, item.revision)
            self.values.pop(item.key, None)
        elif isinstance(item, ContextSet):
            self._note(item.info.key, item.info.revision)
            self._key = item.info.key

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.values[self._key] = data.decode()

    def _note(self, key: str, revision: int) -> None:
        assert key.startswith(self.prefix)
        assert revision > self._told.get(key, 0), "each change once, and none after a newer one"
        self._told[key] = revision


class Story:
    """A node's context, what must be true of it, and those who watch."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._disk = Disk()
        self._skew = 0.0
        self._number = 0
        self._revisions: set[int] = set()
        # What may stand there: one thing, or several where an answer was lost in a crash.
        self._possible: dict[str, set[Value | None]] = {key: {None} for key in KEYS}
        # The latest time of day since then: what was over by it may have been swept away. And the
        # same since a value is being set, which counts once that is acknowledged.
        self._latest = dict.fromkeys(KEYS, 0.0)
        self._latest_of_new = dict.fromkeys(KEYS, 0.0)
        self._busy: set[str] = set()
        self.watchers: list[tuple[Watcher, trio.CancelScope]] = []

    def clock(self) -> float:
        now = EPOCH + trio.current_time() + self._skew
        for latest in (self._latest, self._latest_of_new):
            for key in KEYS:
                latest[key] = max(latest[key], now)
        return now

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until the next crash."""
        self.context = Context(cast("Database", self._disk), self.clock)
        self._dead = trio.Event()
        async with trio.open_nursery() as self._life:
            self._life.start_soon(self.context.keep_swept)
            task_status.started()
        self._dead.set()

    async def take(self, step: tuple[object, ...]) -> None:
        match step:
            case "set", str(key), ttl:
                self._begin(key, self._set, cast("float | None", ttl))
            case "delete", str(key):
                self._begin(key, self._delete)
            case "watch", str(prefix), float(pause):
                watcher, scope = Watcher(prefix, pause), trio.CancelScope()
                self.watchers.append((watcher, scope))
                self._life.start_soon(self._watch, watcher, scope)
            case ("cut",):
                if self.watchers:
                    self.watchers.pop(0)[1].cancel()
            case ("crash",):
                await self._crash()
            case "jump", float(seconds):
                self.clock()
                self._skew += seconds
            case "slow", float(seconds):
                self._disk.slowness = seconds
            case "turn", int(turns):
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
            case "pass", float(seconds):
                await trio.sleep(seconds)

    async def _crash(self) -> None:
        self._life.cancel_scope.cancel()
        await self._dead.wait()
        self.watchers.clear()
        self._busy.clear()
        await self._nursery.start(self.live)

    def _begin(self, key: str, act: Callable[..., Awaitable[None]], *args: object) -> None:
        """Do something to a key; when the node crashes meanwhile, nobody hears of the answer."""

        async def begun() -> None:
            await act(key, *args)
            self._busy.discard(key)

        if key not in self._busy:
            self._busy.add(key)
            self._life.start_soon(begun)

    async def _set(self, key: str, ttl: float | None) -> None:
        self._number += 1
        now = self.clock()
        value = Value(str(self._number), None if ttl is None else now + ttl)
        self._possible[key] = self._possible[key] | {value}
        self._latest_of_new[key] = now
        info = await self.context.set(key, value.text, by="me", ttl=ttl)
        self._possible[key] = {value}
        self._latest[key] = self._latest_of_new[key]
        assert info.revision not in self._revisions, "none is given twice, whatever crashes"
        self._revisions.add(info.revision)

    async def _delete(self, key: str) -> None:
        self._possible[key] = self._possible[key] | {None}
        with suppress(NotFound):
            await self.context.delete(DeleteContext(key=key))
        self._possible[key] = {None}

    async def _watch(self, watcher: Watcher, scope: trio.CancelScope) -> None:
        with scope:
            await self.context.watch(cast("Asked", watcher), WatchContext(prefix=watcher.prefix))

    async def check(self) -> dict[str, str]:
        """Compare what is there with what may be; return it."""
        now = self.clock()
        there: dict[str, str] = {}
        for key, possible in self._possible.items():
            try:
                info, text = await self.context.get(key)
            except NotFound:
                assert any(
                    value is None
                    or (value.expires_at is not None and value.expires_at <= self._latest[key])
                    for value in possible
                ), (key, possible)
            else:
                value = Value(text, info.expires_at)
                assert value in possible, "what was acknowledged, or lost its answer"
                assert value.expires_at is None or value.expires_at > now
                there[key] = text
                if key not in self._busy:
                    self._possible[key] = {value}
        listed = (await self.context.list(ListContext())).entries
        assert [info.key for info in listed] == sorted(there)
        return there

    async def check_at_rest(self) -> None:
        """Check in the middle of it, unless something is under way."""
        if not self._busy and not self._disk.slowness:
            await self.check()

    async def end_well(self) -> None:
        self._disk.slowness = 0.0
        await self.take(("watch", "", 0.0))
        await trio.sleep(300)  # whatever is over by now is swept away
        assert not self._busy
        there = await self.check()
        for watcher, _ in self.watchers:
            assert watcher.values == {
                key: text for key, text in there.items() if key.startswith(watcher.prefix)
            }


@given(steps=STEPS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_context_keeps_its_word_whatever_crashes_and_jumps(steps: list[tuple[object, ...]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            story = Story(nursery)
            await nursery.start(story.live)
            for step in steps:
                await story.take(step)
                if step[0] == "pass":
                    await story.check_at_rest()
            await story.end_well()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
