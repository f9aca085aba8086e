"""`expect` does what pexpect does: on the same pieces, and on the same programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

import pexpect
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from loopsy_core.client import OutputLost
from loopsy_core.client.expect import MAX_BEFORE, Expecting
from loopsy_core.errors import BadRequest, LoopsyError
from loopsy_core.wire import Ended
from tests.core.sessions.stage import open_stage
from tests.play import bounded
from tests.play import pieces as cut_up

if TYPE_CHECKING:
    from collections.abc import Sequence

Found: TypeAlias = tuple[object, ...]
WINDOW: Final = 1000


class Pieces(SpawnBase):  # type: ignore[misc]  # pexpect has no types
    """pexpect itself, reading these pieces and then their end."""

    def __init__(self, pieces: Sequence[str], *, ends: bool) -> None:
        super().__init__(encoding="utf-8", timeout=1)
        self.delayafterread = None
        self._pieces = list(pieces)
        self._ends = ends

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        if self._pieces:
            return self._pieces.pop(0)
        raise EOF("over") if self._ends else TIMEOUT("slow")


class Told:
    """Stands for `Lasting`: the pieces come as fast as they are asked for."""

    def __init__(self, pieces: Sequence[bytes | LoopsyError], *, ends: bool) -> None:
        self._pieces = list(pieces)
        self._ends = ends
        self.unread = self

    def take(self, most: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if isinstance(piece, LoopsyError):
            raise piece
        if rest := piece[most:]:
            self._pieces.insert(0, rest)
        return piece[:most]

    @property
    def ended(self) -> Ended | None:
        return Ended(0) if self._ends and not self._pieces else None

    async def wait(self) -> None:
        await trio.sleep_forever()


def expecting(pieces: Sequence[bytes | LoopsyError], *, ends: bool = True) -> Expecting:
    return Expecting("told", Told(pieces, ends=ends))  # type: ignore[arg-type]


def outcome(index: object, spawn: SpawnBase) -> Found:
    match = spawn.match.span() if isinstance(spawn.match, re.Match) else spawn.match
    return index, spawn.before, spawn.after, match, spawn.match_index


def as_pexpect_does(spawn: Pieces, step: Step, window: int | None) -> Found:
    exact, patterns = step
    try:
        seek = spawn.expect_exact if exact else spawn.expect
        index = seek(patterns, timeout=0.01, searchwindowsize=window)
    except (EOF, TIMEOUT) as error:
        index = type(error)
    return outcome(index, spawn)


async def as_we_do(spawn: Expecting, step: Step, window: int | None) -> Found:
    exact, patterns = step
    index: object
    try:
        seek = spawn.until_shown if exact else spawn.until_matched
        index = await seek(patterns, 0.01, window)
    except (EOF, TIMEOUT) as error:
        index = type(error)
    return outcome(index, spawn)


Step: TypeAlias = "tuple[bool, list[object]]"

text = st.text("ab\r\né", max_size=12)
pattern = st.sampled_from(
    ["a", "ab", "b+", "a.*b", "(a|é)\r?\n", "a*?b", "x", "", "^a", re.compile("A", re.IGNORECASE)]
)
special = st.sampled_from([EOF, TIMEOUT])
regexes = st.lists(st.one_of(pattern, pattern, special), min_size=1, max_size=3)
exacts = st.lists(st.one_of(st.sampled_from(["a", "ba", "é\r", "bb", "x"]), special), min_size=1)
a_step = st.one_of(st.tuples(st.just(False), regexes), st.tuples(st.just(True), exacts))


@given(
    st.lists(text, max_size=12), st.lists(a_step, min_size=1, max_size=6), st.booleans(), st.data()
)
@bounded(400)
def test_whatever_the_pieces_and_the_patterns_the_outcome_is_that_of_pexpect(
    pieces: list[str], steps: list[Step], ends: bool, data: st.DataObject
) -> None:
    window = data.draw(st.sampled_from([None, WINDOW, 60]))
    told = [piece for piece in pieces if piece]  # an empty one is none for us
    theirs = Pieces(told, ends=ends)
    ours = expecting([piece.encode() for piece in told], ends=ends)

    async def play() -> None:
        for step in steps:
            assert await as_we_do(ours, step, window) == as_pexpect_does(theirs, step, window)

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


@given(
    st.text("ab\r\né界", max_size=40), st.lists(st.integers(1, 3), min_size=1), st.integers(0, 2)
)
@bounded(100)
def test_characters_are_whole_however_the_bytes_come(said: str, sizes: list[int], cut: int) -> None:
    data = said.encode()
    data = data[: len(data) - cut]  # a program may end in the middle of a character

    async def play() -> None:
        spawn = expecting(cut_up(data, sizes))
        assert await spawn.until_matched(EOF, 1, None) == 0
        assert spawn.before == data.decode("utf-8", "replace")

    trio.run(play)


PROGRAM: Final = r"""
stty -echo; printf 'name? '; read name
for i in 1 2 3; do echo "step $i of $name"; done
printf 'go on [y/n]? '; read yes
echo "you said <$yes>"; echo BUILD FAILED; exit 4
"""
TALK: Final[list[tuple[object, str | None]]] = [
    ("name[?] ", "kai"),
    (["nothing", r"step (\d) of kai\r\n"], None),
    ([TIMEOUT, r"step 3.*\n"], None),
    (r"\[y/n\]\? ", "yes"),
    ([r"BUILD SUCCEEDED", r"BUILD (FAILED)"], None),
    ([EOF, "never"], None),
]


async def test_the_same_program_has_the_same_talk_with_us_and_with_pexpect() -> None:
    theirs: list[Found] = []
    spawn = pexpect.spawn("sh", ["-c", PROGRAM], encoding="utf-8", timeout=20)
    for patterns, line in TALK:
        index = await trio.to_thread.run_sync(spawn.expect, patterns)
        groups = spawn.match.groups() if isinstance(spawn.match, re.Match) else spawn.match
        theirs.append((index, spawn.before, spawn.after, groups))
        if line is not None:
            spawn.sendline(line)
    spawn.close()
    ours: list[Found] = []
    async with (
        open_stage() as stage,
        stage.client.start_session(["sh", "-c", PROGRAM]) as session,
    ):
        for patterns, line in TALK:
            index = await session.expect(patterns, timeout=20)  # type: ignore[arg-type]
            groups = (
                session.match.groups() if isinstance(session.match, re.Match) else session.match
            )
            ours.append((index, session.before, session.after, groups))
            if line is not None:
                await session.send_line(line)
        assert await session.wait_ended() == 4
    assert ours == theirs


async def test_after_a_time_out_nothing_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    spawn = expecting([b"one two"], ends=False)
    with pytest.raises(TIMEOUT, match=r"the session told has shown last: 'one two'"):
        await spawn.until_matched("three", 5, None)
    assert (spawn.before, spawn.after, spawn.match) == ("one two", TIMEOUT, None)
    assert trio.current_time() == 5
    assert await spawn.until_matched("two", 5, None) == 0
    assert spawn.before == "one "


async def test_when_it_is_cancelled_nothing_is_lost() -> None:
    spawn = expecting([b"one ", b"two"], ends=False)
    with trio.move_on_after(0.01):
        await spawn.until_matched("three", None, None)
    assert (spawn.before, spawn.after, spawn.match) == ("one two", None, None)
    assert await spawn.until_matched("o", 5, None) == 0
    assert await spawn.until_matched("o", 5, None) == 0
    assert spawn.before == "ne tw"


async def test_missing_output_is_told_once_in_its_place_and_nothing_matches_across_it() -> None:
    spawn = expecting([b"on", OutputLost(70), b"e two"])
    with pytest.raises(OutputLost, match="70 bytes"):
        await spawn.until_matched("one", 5, None)
    assert spawn.before == "on"
    assert await spawn.until_matched(["one", "e"], 5, None) == 1
    assert spawn.before == ""


async def test_a_match_lies_within_the_window_and_none_is_overlooked() -> None:
    said = b"x" * 10_000 + b"needle" + b"y" * 10_000 + b"end"
    spawn = expecting([said])
    assert await spawn.until_matched("needle", 5, 24) == 0
    assert spawn.before == "x" * 10_000
    assert await spawn.until_matched("y+end", 5, 24) == 0
    assert len(spawn.after) == 24


async def test_what_goes_by_is_searched_and_forgotten_and_that_is_told() -> None:
    piece = b"." * (1 << 20)
    spawn = expecting([*[piece] * 20, b"found", b"rest"])
    assert await spawn.until_matched("found", 60, WINDOW) == 0
    assert MAX_BEFORE <= len(spawn.before) <= 2 * MAX_BEFORE
    assert len(spawn.before) + spawn.passed_over == 20 << 20
    assert await spawn.until_matched("rest", 60, WINDOW) == 0
    assert (spawn.before, spawn.passed_over) == ("", 0)


async def test_what_was_forgotten_before_a_time_out_is_told_after_it_as_well(
    autojump_clock: trio.testing.MockClock,
) -> None:
    size = 10 << 20
    spawn = expecting([b"." * (1 << 20)] * 10, ends=False)
    for _ in range(2):
        with pytest.raises(TIMEOUT):
            await spawn.until_matched("found", 5, WINDOW)
        assert spawn.passed_over > 0
        assert len(spawn.before) + spawn.passed_over == size


async def test_two_tasks_cannot_expect_at_once() -> None:
    spawn = expecting([], ends=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spawn.until_matched, "x", None, None)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BadRequest, match="another task"):
            await spawn.until_matched("y", None, None)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("wrong", [7, ["a", None], [b"bytes"]])
async def test_what_is_no_pattern_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match="as pattern"):
        await expecting([b"a"]).until_matched(wrong, 1, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="as pattern"):
        await expecting([b"a"]).until_shown(wrong, 1, None)  # type: ignore[arg-type]
