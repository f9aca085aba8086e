"""Typing: every byte arrives once and in order, whatever happens to the connection."""

from __future__ import annotations

import itertools
import random
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Gone, Refused
from loopsy_core.sessions.audience import MAX_REMEMBERED_VIEWERS
from loopsy_core.sessions.viewer import TELL_TYPED_EVERY
from loopsy_core.wire import Resumed, Typed
from tests.core.sessions.stage import PROMPT, Drawing, Seat, Stage, open_stage
from tests.world import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.wire import SessionInfo


def counted(last: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, last + 1))


async def started(stage: Stage, session: SessionInfo) -> str:
    """Let the script of `session` begin; return the epoch."""
    async with stage.attach(session) as seat:
        await seat.go()
        await seat.until(b"!")
        return seat.begun.epoch


async def test_what_is_typed_arrives_once_over_many_cuts() -> None:
    dice = random.Random(3)
    payload = counted(60_000)
    async with open_stage() as stage:
        session = await stage.shell("printf '!'; cat")
        epoch = await started(stage, session)
        viewer = secrets.token_bytes(16)
        got, typed, cuts = bytearray(), 0, 0
        while len(got) < len(payload):
            at = len(PROMPT + b"!") + len(got)
            async with (
                stage.attach(session, viewer=viewer, epoch=epoch, offset=at, typed=typed) as seat,
                trio.open_nursery() as nursery,
            ):
                assert isinstance(seat.first, Resumed)
                assert typed <= seat.typed <= len(payload)
                typed = seat.typed
                nursery.start_soon(type_until_cut, seat, payload[typed:])
                enough = min(dice.randint(1, 20_000), len(payload) - len(got))
                while len(seat.output) < enough:
                    await seat.next()
                seat.cut()
                nursery.cancel_scope.cancel()
            got += seat.output
            cuts += 1
        assert bytes(got) == payload
        assert cuts > 10


async def type_until_cut(seat: Seat, data: bytes) -> None:
    try:
        for at in range(0, len(data), 1000):
            await seat.type(data[at : at + 1000])
    except Gone:
        pass


async def test_a_viewer_that_comes_back_before_it_was_missed_types_nothing_twice(
    tmp_path: Path,
) -> None:
    payload = counted(20_000)
    go_on = tmp_path / "go on"
    script = f"printf '!'; while [ ! -e '{go_on}' ]; do sleep 0.01; done; cat"
    async with open_stage() as stage:
        session = await stage.shell(script)
        await started(stage, session)
        viewer = secrets.token_bytes(16)
        async with stage.attach(session, viewer=viewer) as lost:
            await lost.type(payload)  # more than a terminal holds: the host waits in the middle
            await trio.testing.wait_all_tasks_blocked(0.05)
            async with stage.attach(session, viewer=viewer) as found:
                assert 0 < found.typed < len(payload)
                await found.type(payload[found.typed :])
                go_on.touch()
                while len(found.output) < len(payload):
                    await found.next()
                assert bytes(found.output) == payload


async def test_a_connection_whose_viewer_is_elsewhere_is_told_so() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        viewer = secrets.token_bytes(16)
        async with (
            stage.attach(session, viewer=viewer) as lost,
            stage.attach(session, viewer=viewer),
        ):
            with pytest.raises(Gone, match="reconnected"):
                await lost.answer()


async def test_a_connection_left_over_from_before_is_told_so_when_the_newer_has_left() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        viewer = secrets.token_bytes(16)
        async with stage.attach(session, viewer=viewer) as lost:
            async with stage.attach(session, viewer=viewer):
                pass
            await stage.until(session, lambda now: now.viewers == 0)
            with pytest.raises(Gone, match="reconnected"):
                await lost.answer()


async def test_the_host_tells_now_and_then_how_much_it_has() -> None:
    payload = counted(30_000)
    async with open_stage() as stage:
        session = await stage.shell("printf '!'; cat >/dev/null")
        await started(stage, session)
        async with stage.attach(session) as seat, trio.open_nursery() as nursery:
            nursery.start_soon(seat.type, payload)
            while seat.typed + TELL_TYPED_EVERY < len(payload):
                await seat.next()
        told = [item.total for item in seat.items if isinstance(item, Typed)]
        assert told == sorted(set(told))
        assert all(later - sooner >= TELL_TYPED_EVERY for sooner, later in itertools.pairwise(told))


async def test_what_one_viewer_types_at_once_stays_together(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    script = f"printf '!'; while [ ! -e '{go_on}' ]; do sleep 0.01; done; cat"
    async with open_stage() as stage:
        session = await stage.shell(script)
        await started(stage, session)
        async with stage.attach(session) as one, stage.attach(session) as other:
            await one.type(b"1" * 30_000)
            await other.type(b"2" * 30_000)
            await one.type(b"3" * 30_000)
            await trio.testing.wait_all_tasks_blocked(0.05)
            go_on.touch()
            while len(one.output) < 90_000:
                await one.next()
        runs = [(letter, len(list(run))) for letter, run in itertools.groupby(one.output)]
        assert sorted(runs) == [(ord(letter), 30_000) for letter in "123"]


async def test_a_viewers_total_outlives_many_other_viewers() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        viewer = secrets.token_bytes(16)
        async with stage.attach(session, viewer=viewer, view_only=False) as seat:
            await seat.type(b"12345\r")
            await seat.until(b"12345\r\n12345\r\n")
            for _ in range(MAX_REMEMBERED_VIEWERS + 10):
                async with stage.attach(session):
                    pass
            await seat.type(b"678\r")
            await seat.until(b"678\r\n678\r\n")
        async with stage.attach(session, viewer=viewer, typed=6) as again:
            assert again.typed == 10


async def test_a_viewer_that_only_looks_cannot_type() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with stage.attach(session, view_only=True) as seat:
            await seat.type(b"x")
            with pytest.raises(Refused, match="may look but not type"):
                await seat.answer()
        assert stage.info(session).alive


async def test_a_viewer_that_sends_nonsense_is_told_so() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        for wrong in ((0, 24), (80, 1001)):
            async with stage.attach(session) as seat:
                await seat.wish(*wrong)
                with pytest.raises(BadRequest, match=r"cols|rows"):
                    await seat.answer()
        assert stage.info(session).cols == 80


async def test_typing_into_a_program_that_has_ended_is_swallowed() -> None:
    async with open_stage() as stage:
        session = await stage.start("true")
        async with stage.attach(session) as seat:
            await seat.type(b"anybody there?\r" * 1000)
            assert (await seat.until_ended()).exit_code == 0


async def test_a_program_that_reads_nothing_holds_up_nobody_else() -> None:
    async with open_stage() as stage:
        session = await stage.shell("printf '!'; while :; do sleep 0.05; printf .; done")
        await started(stage, session)
        async with stage.attach(session) as typist, stage.attach(session) as other:
            await typist.type(b"x" * 200_000)
            await other.until(b"..")
            assert (await stage.client.end_session(session.id)).alive is False


# Queries of the program.


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (r"\033[c", b"033   [   ?   6   2"),
        (r"\033[5n", b"033   [   0   n"),
        (r"\033]11;?\007", b"033   ]   1   1   ;   r   g   b"),
    ],
)
async def test_a_query_is_answered_by_the_host_when_nobody_is_there(
    query: str, answer: bytes
) -> None:
    async with open_stage() as stage:
        read = f"head -c {len(answer.split())} | od -An -c"
        asks = rf"stty raw -echo; printf '{query}'; {read}; printf '\033]2;!\007'; cat"
        session = await stage.start("sh", "-c", asks)
        await stage.until(session, lambda now: now.title == "!")
        async with stage.attach(session) as seat:
            assert isinstance(seat.first, Drawing)
            assert answer in seat.first.vt


async def answers_to_a_query(*viewers: dict[str, bool]) -> bytes:
    """Return what a program hears that asks while the first of some viewers owns the size."""
    async with open_stage() as stage, AsyncExitStack() as stack:
        session = await stage.shell(r"printf '!\033[6n'; head -c 1 | od -An -c; printf '$'; cat")
        first, *_ = [
            await stack.enter_async_context(stage.attach(session, **viewer))  # type: ignore[arg-type]
            for viewer in viewers
        ]
        await first.go()
        await first.until(b"!")
        await trio.testing.wait_all_tasks_blocked(0.1)
        await first.type(b"x")
        return await first.until(b"$")


async def test_a_query_is_answered_by_the_host_unless_the_owners_terminal_does() -> None:
    assert b"033" not in await answers_to_a_query({"answers": True})
    assert b"033" not in await answers_to_a_query({"answers": True}, {})
    assert b"033" in await answers_to_a_query({})
    assert b"033" in await answers_to_a_query({}, {"answers": True})
    assert b"033" in await answers_to_a_query({}, {"answers": True, "view_only": True})


async def test_an_answer_that_comes_late_is_passed_on_and_takes_no_size() -> None:
    async with open_stage() as stage:
        session = await stage.shell("head -c 10 | od -An -c; cat")
        async with (
            stage.attach(session, answers=True, cols=90) as first,
            stage.attach(session, answers=True, cols=70) as second,
        ):
            # They have connections of their own, and what they type may change places.
            audience = stage.sessions.find(session.id).audience
            await first.go()
            await eventually(lambda: audience.typed(first.viewer) == 1)
            await second.type(b"x")
            await eventually(lambda: audience.typed(second.viewer) == 1)
            await first.type(b"\x1b[?62;22c")
            await first.until(b"x 033   [   ?   6   2   ;   2   2   c")
            assert stage.info(session).cols == 70
            await first.type(b"\x1b[1;5R")  # or is it F3?
            await first.until(b"5R")
            assert stage.info(session).cols == 90
