"""Two machines on a wire that delivers as late as it likes: calls stay whole, and finish."""

from __future__ import annotations

from collections import deque

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loopsy_core.wire import (
    CHUNK,
    WINDOW,
    Answer,
    Ask,
    Calls,
    Data,
    Drop,
    Fault,
    Item,
    Message,
    Ping,
    Raw,
    cost,
    encode,
)
from loopsy_core.wire.calls import MAX_OPEN
from tests.play import NOTHING, bounded

SIZES = [0, 1, 100, CHUNK, 100_000, WINDOW - cost(b"")]

sides = st.booleans()  # True for the one that opened the connection
numbers = st.integers(0, 1000)


@attrs.define
class Talk:
    """What a call should be, as somebody sees it who sees both ends."""

    id: int
    asker: bool
    asked: bool = False
    sent: dict[bool, list[Message]] = attrs.field(factory=lambda: {True: [], False: []})
    heard: dict[bool, list[Message]] = attrs.field(factory=lambda: {True: [], False: []})
    unconsumed: dict[bool, deque[int]] = attrs.field(
        factory=lambda: {True: deque(), False: deque()}
    )
    ended: bool = False
    dropped: bool = False
    dropped_there: bool = False
    said: Message | None = None
    result: Message | None = None

    def over(self, side: bool) -> bool:
        """Whether `side` may say nothing more in this call."""
        if side == self.asker:
            return self.dropped or self.result is not None
        return not self.asked or self.dropped_there or self.said is not None


class TwoMachines(RuleBasedStateMachine):
    """Every rule is something one side may do at any time, or a moment of the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = {side: Calls(opener=side) for side in (True, False)}
        self.way: dict[bool, deque[bytes]] = {True: deque(), False: deque()}  # towards that side
        self.talks: dict[int, Talk] = {}
        self.marks = 0

    def pick(self, number: int) -> Talk:
        talks = list(self.talks.values())
        return talks[number % len(talks)]

    @rule(side=sides)
    def ask(self, side: bool) -> None:
        number = self.calls[side].ask("talk", bytes(NOTHING))
        assert number not in self.talks
        self.talks[number] = Talk(number, side)

    some = precondition(lambda self: self.talks)

    @some
    @rule(side=sides, number=numbers, size=st.sampled_from(SIZES), item=st.booleans())
    def send(self, side: bool, number: int, size: int, item: bool) -> None:
        talk, calls = self.pick(number), self.calls[side]
        if side == talk.asker and talk.ended:
            return
        self.marks += 1
        data = (b"%d" % self.marks).ljust(size, b".")[:size]
        if talk.over(side):
            calls.send_data(talk.id, data)  # nothing happens
        elif calls.allowance(talk.id) >= size:
            (calls.send_item if item else calls.send_data)(talk.id, data)
            talk.sent[side].append((Item if item else Data)(talk.id, data))

    @some
    @rule(number=numbers)
    def end(self, number: int) -> None:
        talk = self.pick(number)
        self.calls[talk.asker].end(talk.id)
        talk.ended = True

    @some
    @rule(number=numbers, well=st.booleans())
    def finish(self, number: int, well: bool) -> None:
        talk = self.pick(number)
        if not talk.asked:
            return
        calls = self.calls[not talk.asker]
        result = encode(talk.id)
        if well:
            calls.answer(talk.id, result)
        else:
            calls.fault(talk.id, "gone", "sorry")
        if not talk.over(not talk.asker):
            talk.said = Answer(talk.id, Raw(result)) if well else Fault(talk.id, "gone", "sorry")

    @some
    @rule(number=numbers)
    def drop(self, number: int) -> None:
        talk = self.pick(number)
        self.calls[talk.asker].drop(talk.id)
        if talk.result is None:
            talk.dropped = True

    @some
    @rule(side=sides, number=numbers, most=st.integers(1, 5))
    def consume(self, side: bool, number: int, most: int) -> None:
        talk = self.pick(number)
        for _ in range(min(most, len(talk.unconsumed[side]))):
            self.calls[side].consumed(talk.id, talk.unconsumed[side].popleft())

    @rule(side=sides)
    def ping(self, side: bool) -> None:
        self.way[side].append(encode(Ping(1)))

    @rule(side=sides, most=st.sampled_from([1, 1000, CHUNK]))
    def write(self, side: bool, most: int) -> None:
        self.way[not side].extend(self.calls[side].take(most))

    @rule(side=sides, count=st.integers(1, 10))
    def deliver(self, side: bool, count: int) -> None:
        for _ in range(min(count, len(self.way[side]))):
            # Raises, and so fails, if one side lets the other break the protocol.
            message = self.calls[side].receive(self.way[side].popleft())
            if message is not None:
                self.hear(side, message)

    def hear(self, side: bool, message: Message) -> None:
        match message:
            case Ask(id=number):
                self.talks[number].asked = True
            case Data(id=number, data=data) | Item(id=number, value=data):
                self.talks[number].heard[side].append(message)
                self.talks[number].unconsumed[side].append(cost(data))
            case Answer(id=number) | Fault(id=number):
                assert not self.talks[number].dropped
                self.talks[number].result = message
            case Drop(id=number):
                assert self.talks[number].dropped
                self.talks[number].dropped_there = True

    @invariant()
    def what_is_heard_was_said_and_in_that_order(self) -> None:
        for talk in self.talks.values():
            for side in (True, False):
                heard = talk.heard[side]
                assert heard == talk.sent[not side][: len(heard)]

    @invariant()
    def what_is_unconsumed_is_bounded(self) -> None:
        for talk in self.talks.values():
            for side in (True, False):
                assert sum(talk.unconsumed[side]) <= WINDOW

    def teardown(self) -> None:
        self.let_all_arrive()
        for talk in self.talks.values():
            answerer = not talk.asker
            if not talk.dropped:
                assert talk.asked
                assert talk.heard[talk.asker] == talk.sent[answerer]
                assert talk.result == talk.said
            if not talk.over(answerer):
                assert talk.heard[answerer] == talk.sent[talk.asker]
            for side in (True, False):
                if not talk.over(side):
                    # Everything was consumed: half a window, at least, is there again.
                    assert self.calls[side].allowance(talk.id) >= WINDOW // 2 - cost(b"")
        self.nothing_is_left_behind()

    def let_all_arrive(self) -> None:
        while any(self.way.values()) or any(calls.pending for calls in self.calls.values()):
            for side in (True, False):
                self.write(side, CHUNK)
                self.deliver(side, 10**6)
                for number in range(len(self.talks)):
                    self.consume(side, number, 10**6)

    def nothing_is_left_behind(self) -> None:
        for number, talk in enumerate(self.talks.values()):
            if talk.asked:
                self.finish(number, well=True)
            else:
                self.drop(number)
        self.let_all_arrive()
        for calls in self.calls.values():
            for _ in range(MAX_OPEN):
                calls.ask("as many as ever", bytes(NOTHING))
        for side in (True, False):
            self.write(side, 10**6)
            for message in self.way[not side]:
                assert self.calls[not side].receive(message) is not None  # and not busy


TestTwoMachines = TwoMachines.TestCase
TestTwoMachines.settings = bounded(80)
