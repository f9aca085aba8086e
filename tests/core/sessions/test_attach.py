"""Attaching: a picture, then every byte; resuming at exactly the byte that was missing."""

from __future__ import annotations

import random
import resource
from typing import Final

import pytest
import trio

from loopsy_core.errors import BadRequest, NotFound
from loopsy_core.screen import Screen
from loopsy_core.sessions.audience import MAX_VIEWERS
from loopsy_core.sessions.output import LOG_SIZE
from loopsy_core.wire import Picture, Resized, Resumed, Typed
from tests.core.sessions.stage import PROMPT, Drawing, Seat, open_stage

MEBIBYTE: Final = 1 << 20


def counted(last: int) -> bytes:
    """Return what `seq 1 LAST` prints: every place of it looks different."""
    return b"".join(b"%d\n" % number for number in range(1, last + 1))


def screen_after(output: bytes) -> str:
    """Return what a terminal shows after `output`."""
    screen = Screen(80, 24, lambda _: None)
    screen.feed(output)
    return screen.text


async def test_a_viewer_gets_a_picture_and_then_the_output() -> None:
    async with open_stage() as stage:
        session = await stage.shell("printf one; head -c 1 >/dev/null; printf two; cat")
        async with stage.attach(session) as first:
            await first.go()
            await first.until(b"one")
            async with stage.attach(session) as second:
                assert isinstance(second.first, Drawing)
                item = second.first.item
                assert (item.offset, item.cols, item.rows) == (4, 80, 24)
                assert screen_after(second.first.vt) == "#one"
                await first.type(b"g")
                assert await second.until(b"two") == b"two"
                assert await first.until(b"two") == b"onetwo"


async def test_the_title_comes_with_the_picture() -> None:
    async with open_stage() as stage:
        session = await stage.shell(r"printf '\033]2;hey\007.'; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b".")
            await stage.until(session, lambda now: now.title == "hey")
            async with stage.attach(session) as late:
                assert isinstance(late.begun, Picture)
                assert late.begun.title == "hey"


async def test_output_is_exact_over_a_hundred_cuts() -> None:
    dice = random.Random(1)
    expected = PROMPT + counted(200_000)
    async with open_stage() as stage:
        session = await stage.shell("seq 1 200000; cat")
        got = bytearray()
        async with stage.attach(session) as seat:
            await seat.go()
            epoch = seat.begun.epoch
            await seat.until(b"1")
            got += expected[: seat.offset]
        cuts = 0
        while len(got) < len(expected):
            async with stage.attach(session, epoch=epoch, offset=len(got)) as seat:
                assert seat.begun == Resumed(epoch, len(got), 0, 80, 24, "")
                enough = min(dice.randint(0, 30_000), len(expected) - len(got))
                while len(seat.output) < enough:
                    await seat.next()
                got += seat.output[:enough]  # the rest was lost on the way
                if dice.random() < 0.5:
                    seat.cut()
            cuts += 1
        assert bytes(got) == expected
        assert cuts > 50


async def test_a_viewer_with_all_output_resumes_at_the_end() -> None:
    async with open_stage() as stage:
        session = await stage.shell("printf one; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"one")
            epoch, offset = seat.begun.epoch, seat.offset
        async with stage.attach(session, epoch=epoch, offset=offset) as seat:
            assert isinstance(seat.first, Resumed)
            await seat.type(b"more")
            assert await seat.until(b"more") == b"more"


@pytest.mark.parametrize("offset", [5, 1_000_000, 2**63 - 1])
async def test_a_viewer_from_the_future_gets_a_picture(offset: int) -> None:
    async with open_stage() as stage:
        session = await stage.shell("printf one; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"one")
            epoch = seat.begun.epoch
        async with stage.attach(session, epoch=epoch, offset=offset) as seat:
            assert isinstance(seat.first, Drawing)
            assert seat.offset == 4


@pytest.mark.parametrize("epoch", [None, "", "another"])
async def test_a_viewer_of_another_life_gets_a_picture(epoch: str | None) -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with stage.attach(session, epoch=epoch, offset=0) as seat:
            assert isinstance(seat.first, Drawing)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"offset": -1}, "offset"),
        ({"typed": -1}, "typed"),
        ({"cols": 0}, "cols"),
        ({"rows": 1001}, "rows"),
        ({"cols": 65_000}, "cols"),
        ({"viewer": b"short"}, "viewer"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(wrong: dict[str, object], field: str) -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        with pytest.raises(BadRequest, match=field):
            async with stage.attach(session, **wrong):  # type: ignore[arg-type]
                pass
        assert stage.info(session).viewers == 0


async def test_attaching_to_nothing_is_not_found() -> None:
    async with open_stage() as stage:
        with pytest.raises(NotFound, match="there is no session 'nope'"):
            async with stage.attach("nope"):
                pass


async def test_viewers_are_counted_and_limited() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with trio.open_nursery() as nursery:
            leave = trio.Event()

            async def look(task_status: trio.TaskStatus[None]) -> None:
                async with stage.attach(session):
                    task_status.started()
                    await leave.wait()

            for _ in range(MAX_VIEWERS):
                await nursery.start(look)
            assert stage.info(session).viewers == MAX_VIEWERS
            with pytest.raises(BadRequest, match="viewers look at this session already"):
                async with stage.attach(session):
                    pass
            leave.set()
        await stage.until(session, lambda now: now.viewers == 0)


# Falling behind.


async def read_on(seat: Seat, expected: bytes) -> None:
    """Read to the end of `expected`, checking each piece against its place."""
    checked = seat.offset
    while seat.offset < len(expected):
        pictures = seat.pictures
        piece = await seat.next()
        if seat.pictures != pictures:
            assert isinstance(piece, Drawing)
            assert screen_after(piece.vt) == screen_after(expected[: seat.offset])
        elif isinstance(piece, bytes):
            assert piece == expected[checked : seat.offset]
        checked = seat.offset


async def test_a_viewer_that_lags_gets_a_picture_while_others_and_the_program_go_on() -> None:
    expected = PROMPT + counted(800_000)
    assert len(expected) > LOG_SIZE + MEBIBYTE
    async with open_stage(60) as stage:
        session = await stage.shell("seq 1 800000; cat")
        async with stage.attach(session) as slow, stage.attach(session) as quick:
            await quick.go()
            await read_on(quick, expected)  # to the end, and nobody waits for the slow one
            seen = slow.offset
            await read_on(slow, expected)
            assert slow.pictures == 2  # the first, and the one that skipped
            assert slow.offset == len(expected) > seen


async def test_a_lagging_viewer_costs_no_memory() -> None:
    async with open_stage(60) as stage:
        session = await stage.shell("head -c 30000000 /dev/zero | tr '\\0' x; printf done; cat")
        async with stage.attach(session), stage.attach(session) as quick:
            await quick.go()
            await quick_to(quick, 6_000_000)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await quick_to(quick, 30_000_000)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown * 1024 < 4 * MEBIBYTE


async def quick_to(seat: Seat, offset: int) -> None:
    while seat.offset < offset:
        await seat.next()
        seat.output.clear()


async def test_a_key_acts_at_once_although_the_viewer_lags() -> None:
    async with open_stage() as stage:
        session = await stage.start("sh", "-c", "stty -echo; printf '#'; yes; echo over")
        async with stage.attach(session) as seat:
            while seat.offset < 300_000:
                await seat.next()
            await seat.type(b"\x03")  # and from here on nothing is read until it has ended
            await stage.until(session, lambda now: not now.alive)
            ended = await seat.until_ended()
            assert ended.exit_code == -2


async def test_a_resize_stands_at_its_place_in_the_output() -> None:
    async with open_stage() as stage:
        session = await stage.shell(
            "printf before; head -c 1 >/dev/null; stty size; head -c 1 > /dev/null; printf end; cat"
        )
        async with stage.attach(session) as owner, stage.attach(session) as other:
            await owner.go()
            await owner.until(b"before")
            await owner.wish(100, 30)
            assert await owner.until_resized() == Resized(100, 30)
            await owner.type(b"g")
            await owner.until(b"30 100\n")
            at = owner.offset
            await owner.wish(90, 20)
            await owner.until_resized()
            await owner.type(b"g")
            await owner.until(b"end")
            await other.until(b"end")
            # For whoever resumes from the beginning, too, all of it is where it was.
            epoch = other.begun.epoch
            async with stage.attach(session, epoch=epoch, offset=1, view_only=True) as late:
                assert late.begun == Resumed(epoch, 1, 0, 80, 24, "")
                story: list[object] = []
                while late.offset < owner.offset:
                    story.append(await late.next())
            assert story == [
                b"before",
                Resized(100, 30),
                b"30 100\n",
                Resized(90, 20),
                b"end",
            ]
            assert at == len(b"#before30 100\n")
        assert not [item for item in other.items if isinstance(item, Typed)]
