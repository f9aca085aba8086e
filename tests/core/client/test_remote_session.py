"""A session in a script's hands: it lasts as long as its block, and over any connection."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from pexpect import EOF

from loopsy_core.client import Client, OutputLost
from loopsy_core.client.lasting import MAX_UNREAD
from loopsy_core.client.line import open_line
from loopsy_core.errors import BadRequest, Gone, NotFound
from loopsy_core.kit import one_error
from loopsy_core.wire import ShowScreen
from tests.core.client.fragile import INPUT, OUTPUT, Play, open_play
from tests.core.sessions.stage import Stage, open_stage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio.testing import MockClock

    from loopsy_core.client import RemoteSession
    from loopsy_core.links import Channel
    from loopsy_core.wire import SessionInfo

CAT = ["sh", "-c", "stty raw -echo; printf '#'; exec cat"]
"""Says back what is typed, once it has said `#`."""


async def the_one(stage: Stage) -> SessionInfo:
    [info] = await stage.client.sessions()
    return info


# Lives and ends.


async def test_leaving_the_block_ends_the_program() -> None:
    async with open_stage() as stage:
        async with stage.client.start_session(CAT, name="pet") as session:
            await session.expect_exact("#")
            assert (await the_one(stage)).alive
            assert session.name == "pet"
        info = await the_one(stage)
        assert (info.alive, info.exit_code) == (False, -1)


async def test_a_session_that_is_to_be_kept_lives_on() -> None:
    async with open_stage() as stage:
        async with stage.client.start_session(CAT, keep=True) as session:
            await session.expect_exact("#")
        assert (await the_one(stage)).alive
        with pytest.raises(Gone, match="has been left"):
            await session.expect("anything")
        with pytest.raises(Gone, match="has been left"):
            await session.send("anything")


async def test_an_error_in_the_block_ends_the_program_and_is_raised_as_it_is() -> None:
    async with open_stage() as stage:
        with pytest.raises(ZeroDivisionError):
            async with stage.client.start_session(CAT):
                raise ZeroDivisionError
        assert not (await the_one(stage)).alive


async def test_a_cancelled_block_ends_the_program() -> None:
    async with open_stage() as stage:
        with trio.CancelScope() as scope:
            async with stage.client.start_session(CAT):
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert not (await the_one(stage)).alive


@pytest.mark.parametrize("keep", [False, True])
async def test_a_start_that_is_cancelled_leaves_no_program_behind(*, keep: bool) -> None:
    async with open_stage() as stage:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with stage.client.start_session(CAT, keep=keep):
                raise AssertionError("it was cancelled before")
        assert scope.cancelled_caught
        assert not (await the_one(stage)).alive


async def test_what_cannot_be_started_is_said() -> None:
    async with open_stage() as stage:
        with pytest.raises(BadRequest, match="not to be found"):
            async with stage.client.start_session(["no-such-program"]):
                pass


async def test_what_was_typed_has_arrived_when_the_block_is_left() -> None:
    size = 300_000
    async with open_stage() as stage:
        script = f"stty raw -echo; printf '#'; head -c {size} | wc -c; exit 7"
        async with stage.client.start_session(["sh", "-c", script], keep=True) as session:
            await session.expect_exact("#")
            await session.send(b"x" * size)
        async with stage.client.session(session.id, from_beginning=True) as again:
            await again.expect(rf"\b{size}\b")
            assert await again.wait_ended() == 7
            with pytest.raises(Gone, match="has ended"):
                await again.send("too late")


async def test_end_says_how_the_program_ended() -> None:
    async with open_stage() as stage:
        script = "trap 'exit 9' HUP; printf '#'; while :; do sleep 0.01; done"
        async with stage.client.start_session(["sh", "-c", script]) as session:
            await session.expect_exact("#")
            assert await session.end() == 9
            assert await session.expect([EOF]) == 0


# What can be seen and done.


async def test_the_screen_and_the_history_are_text() -> None:
    async with open_stage() as stage:
        script = "seq 1 50; printf 'ready'; exec cat"
        async with stage.client.start_session(["sh", "-c", script], rows=5) as session:
            await session.expect_exact("ready")
            assert await session.screen() == "47\n48\n49\n50\nready"
            assert (await session.history()).split() == [*map(str, range(1, 51)), "ready"]
            assert await session.history(lines=2) == "50\nready\n"


@pytest.mark.parametrize(
    ("key", "byte"),
    [("c", 3), ("C", 3), ("z", 26), ("@", 0), ("[", 27), ("\\", 28), ("_", 31), ("?", 127)],
)
async def test_control_keys_are_what_terminals_send(key: str, byte: int) -> None:
    async with open_stage() as stage, stage.client.start_session(CAT) as session:
        await session.expect_exact("#")
        await session.send_control(key)
        await session.expect_exact(chr(byte))


@pytest.mark.parametrize("key", ["", "cc", "1", "é", "\n"])
async def test_there_are_no_other_control_keys(key: str) -> None:
    async with open_stage() as stage, stage.client.start_session(CAT) as session:
        with pytest.raises(BadRequest, match="no Ctrl-"):
            await session.send_control(key)


async def test_a_size_is_kept_until_somebody_else_chooses() -> None:
    async with open_stage() as stage, stage.client.start_session(CAT) as session:
        info = await the_one(stage)
        async with stage.attach(info, cols=50, rows=10) as other:
            await session.resize(100, 30)
            await session.send("x")
            assert (await the_one(stage)).cols == 100
            await other.type(b"y")
            await session.expect_exact("y")
            await stage.until(info, lambda now: (now.cols, now.rows) == (50, 10))
            # From here on a script that types leaves the size as it is.
            await other.until(b"y")
            await session.send("z")
            await other.until(b"z")
            screen = await stage.client.ask(ShowScreen(session=info.id))
            assert (screen.cols, screen.rows) == (50, 10)
        with pytest.raises(BadRequest, match="cols"):
            await session.resize(0, 10)


async def test_a_session_that_runs_is_read_from_now_on_or_from_its_beginning() -> None:
    async with open_stage() as stage:
        await stage.start("sh", "-c", "stty raw -echo; printf 'before#'; exec cat", name="pet")
        async with stage.client.session("pet", from_beginning=True) as session:
            await session.expect_exact("#")
            assert session.before == "before"
        async with stage.client.session("pet") as session:
            await session.send("after!")
            await session.expect_exact("!")
            assert session.before == "after"
        assert (await the_one(stage)).alive


async def test_a_session_is_found_as_a_node_finds_it() -> None:
    async with open_stage() as stage:
        info = await stage.start("cat", name="pet")
        for reference in (info.id, info.id[:6], "pet"):
            async with stage.client.session(reference) as session:
                assert session.id == info.id
        with pytest.raises(NotFound, match="no session 'nope'"):
            async with stage.client.session("nope"):
                pass
        await stage.start("cat", name="other")
        with pytest.raises(BadRequest, match="several"):
            async with stage.client.session(""):
                pass


async def test_output_that_nobody_reads_is_bounded_and_what_is_lost_is_said() -> None:
    size = MAX_UNREAD + 3_000_000
    async with open_stage(60) as stage:
        script = f"head -c {size} /dev/zero | tr '\\0' x; printf 'the end'"
        async with stage.client.start_session(["sh", "-c", script]) as session:
            assert await session.wait_ended() == 0
            with pytest.raises(OutputLost) as lost:
                await session.expect_exact("the end")
            assert lost.value.missed is not None
            assert lost.value.missed >= 3_000_000 - 65_536
            assert await session.expect_exact("the end", timeout=30) == 0
            assert session.before is not None
            seen = len(session.before) + session.passed_over
            assert seen + lost.value.missed == size


# Connections.


class Way:
    """The way to the host of a play, which somebody may close."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.cuts_left = 0
        self.closed = False

    async def connect(self) -> Channel:
        if self.closed:
            await trio.lowlevel.checkpoint()
            raise Gone("there is no way")
        if not self.cuts_left:
            return await self._play.channel()
        self.cuts_left -= 1
        return await self._play.channel(*self._play.short_life())

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        with one_error():
            async with open_line(self.connect) as line:
                yield Client(await line.converse(), again=line.converse)


async def speak(play: Play, session: RemoteSession, size: int, read: bytearray) -> None:
    """Let the program print and the script type `size` bytes, a little at a time.

    Not far ahead of what was `read`: a connection must be able to carry it at once.
    """
    typed = 0
    while typed < size or play.terminal.printed < size:
        await trio.sleep(play.dice.random() / 50)
        if play.terminal.printed < min(size, len(read) + 4000):
            await play.program.print(play.dice.randint(1, 2000))
        if typed - play.terminal.typed < 4000 and typed < size:
            some = play.dice.randint(1, 1000)
            await session.send(INPUT.at(typed, some))
            typed += some
    while play.terminal.typed < typed:  # noqa: ASYNC110 - of a clock that jumps
        await trio.sleep(0.01)
    await play.program.end()


@pytest.mark.parametrize("seed", [1, 2, None])
async def test_a_script_does_not_notice_that_its_connection_is_lost_again_and_again(
    seed: int | None, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, seed) as play:
        way = Way(play)
        async with way.client() as client, trio.open_nursery() as nursery:
            async with client.session("played", from_beginning=True) as session:
                way.cuts_left = 300
                play.latest.lose()
                read = bytearray()
                nursery.start_soon(speak, play, session, 200_000, read)
                while await session.expect([r".+", EOF]) == 0:
                    assert isinstance(session.after, str)
                    assert session.before == ""
                    read += session.after.encode()
                assert await session.wait_ended() == 0
            assert play.cuts > 100
            assert read == OUTPUT.at(0, play.terminal.printed).decode(errors="replace").encode()


async def test_patience_with_a_node_that_is_away_has_its_end(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, 1) as play:
        way = Way(play)
        async with way.client() as client, client.session("played", patience=7) as session:
            way.closed = True
            play.latest.lose()
            began = trio.current_time()
            for ask in (session.expect("x", timeout=None), session.screen(), session.send("late")):
                with pytest.raises(Gone, match="no way"):
                    await ask
            assert 7 <= trio.current_time() - began < 16


async def test_what_is_typed_while_the_node_is_away_arrives_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, 1) as play:
        way = Way(play)
        async with way.client() as client, trio.open_nursery() as nursery:
            async with client.session("played") as session:
                way.closed = True
                play.latest.lose()
                await trio.sleep(1)
                await session.send(INPUT.at(0, 1000))

                async def come_back() -> None:
                    await trio.sleep(5)
                    assert play.terminal.typed == 0
                    way.closed = False

                nursery.start_soon(come_back)
            assert play.terminal.typed == 1000


async def test_questions_wait_for_a_node_that_is_away(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, 1) as play:
        way = Way(play)
        await play.program.print(100)
        async with (
            way.client() as client,
            client.session("played") as session,
            trio.open_nursery() as nursery,
        ):
            before = await session.screen()
            way.closed = True
            play.latest.lose()

            async def come_back() -> None:
                await trio.sleep(5)
                way.closed = False

            nursery.start_soon(come_back)
            assert await session.screen() == before
            assert trio.current_time() >= 5


async def test_a_size_that_was_chosen_is_chosen_again_after_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_play(monkeypatch, 1) as play:
        way = Way(play)
        async with (
            way.client() as client,
            client.session("played") as session,
            play.connected() as talk,
            Client(talk).attach("played", cols=50, rows=10),
        ):
            await session.resize(100, 30)
            await trio.sleep(1)
            way.closed = True
            play.latest.lose()
            await trio.sleep(1)
            way.closed = False
            await trio.sleep(5)
            assert play.terminal.sizes[-1][1:] == (100, 30)
