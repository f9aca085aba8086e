"""Who decides how large a terminal is: the viewer that typed last, else the one that came first."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING

import pytest

from loopsy_core.errors import BadRequest
from loopsy_core.screen import Screen
from loopsy_core.wire import (
    Picture,
    Resized,
    ResizeSession,
    Resumed,
    ShowScreen,
    StartSession,
)
from tests.core.sessions.stage import PROMPT, Stage, open_stage

if TYPE_CHECKING:
    from loopsy_core.wire import SessionInfo


def size(stage: Stage, session: SessionInfo) -> tuple[int, int]:
    now = stage.info(session)
    return now.cols, now.rows


async def test_the_first_viewer_sets_the_size_and_a_second_does_not_change_it() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat", cols=100, rows=40)
        assert size(stage, session) == (100, 40)
        async with stage.attach(session, cols=90, rows=30) as first:
            assert (first.begun.cols, first.begun.rows) == (90, 30)
            async with stage.attach(session, cols=40, rows=20) as second:
                assert (second.begun.cols, second.begun.rows) == (90, 30)
                assert size(stage, session) == (90, 30)


async def test_whoever_types_owns_the_size() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with (
            stage.attach(session, cols=90, rows=30) as first,
            stage.attach(session, cols=40, rows=20) as second,
        ):
            await second.type(b"x")
            assert await first.until_resized() == Resized(40, 20)
            assert await second.until_resized() == Resized(40, 20)
            await first.type(b"x")
            assert await second.until_resized() == Resized(90, 30)


async def test_an_owner_that_leaves_gives_the_size_back() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with stage.attach(session, cols=90, rows=30) as first:
            async with stage.attach(session, cols=40, rows=20) as second:
                await second.type(b"x")
                assert await first.until_resized() == Resized(40, 20)
            assert await first.until_resized() == Resized(90, 30)


async def test_when_the_first_leaves_the_next_that_came_owns_the_size() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with (
            stage.attach(session, cols=90, rows=30) as first,
            stage.attach(session, cols=70, rows=17) as second,
            stage.attach(session, cols=50, rows=15),
        ):
            assert size(stage, session) == (90, 30)
            first.cut()
            assert await second.until_resized() == Resized(70, 17)


async def test_typing_nothing_is_not_typing() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with (
            stage.attach(session, cols=90, rows=30) as first,
            stage.attach(session, cols=40, rows=20) as second,
        ):
            await second.wish(41, 21)
            await second.type(b"")
            await first.type(b"x")
            await second.until(b"x")
            assert not [item for item in second.items if isinstance(item, Resized)]


async def test_the_wish_of_another_waits_until_it_owns_the_size() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with stage.attach(session, cols=60, rows=20) as second:
            async with stage.attach(session, cols=90, rows=30) as first:
                await first.type(b"x")
                await second.until_resized()
                await second.wish(61, 21)
                await second.wish(62, 22)
                await first.type(b"y\r")
                await second.until(b"xy\r\nxy\r\n")
                assert size(stage, session) == (90, 30)
            assert await second.until_resized() == Resized(62, 22)


async def test_a_viewer_that_only_looks_never_owns_the_size() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat", cols=100, rows=40)
        async with stage.attach(session, cols=10, rows=5, view_only=True) as looker:
            assert (looker.begun.cols, looker.begun.rows) == (100, 40)
            await looker.wish(20, 6)
            async with stage.attach(session, cols=90, rows=30):
                assert await looker.until_resized() == Resized(90, 30)
            await stage.until(session, lambda now: now.viewers == 1)
            assert size(stage, session) == (90, 30)


async def test_an_owner_that_reconnects_still_owns_the_size() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        viewer = secrets.token_bytes(16)
        async with (
            stage.attach(session, cols=60, rows=20) as other,
            stage.attach(session, viewer=viewer, cols=90, rows=30) as owner,
        ):
            await owner.type(b"x")
            assert await other.until_resized() == Resized(90, 30)
            # Its old connection has not been missed yet.
            async with stage.attach(session, viewer=viewer, cols=91, rows=31) as again:
                assert (again.begun.cols, again.begun.rows) == (91, 31)


async def test_the_program_hears_of_its_size() -> None:
    async with open_stage() as stage:
        session = await stage.shell(
            "trap 'stty size' WINCH; printf '!'; while :; do sleep 0.01; done"
        )
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"!")
            await seat.wish(77, 33)
            await seat.until(b"33 77\n")


async def test_a_size_can_be_set_without_looking() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        info = await stage.client.ask(ResizeSession(session=session.id, cols=1, rows=1000))
        assert (info.cols, info.rows) == (1, 1000)


@pytest.mark.parametrize(("cols", "rows"), [(0, 24), (80, 0), (1001, 24), (80, 65_000), (-1, 24)])
async def test_a_size_that_cannot_be_is_refused(cols: int, rows: int) -> None:
    async with open_stage() as stage:
        with pytest.raises(BadRequest, match=r"cols|rows"):
            await stage.client.ask(StartSession(argv=["cat"], cols=cols, rows=rows))
        session = await stage.start("cat")
        with pytest.raises(BadRequest, match=r"cols|rows"):
            await stage.client.ask(ResizeSession(session=session.id, cols=cols, rows=rows))
        assert size(stage, session) == (80, 24)
        assert len(stage.sessions.list().sessions) == 1


async def test_sizes_that_change_with_nothing_printed_between_are_all_told_in_order() -> None:
    async with open_stage() as stage:
        session = await stage.shell("printf '%0100d' 7; head -c 1 >/dev/null; printf end; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"7")
            sizes = [(30, 10), (7, 24), (80, 3), (31, 9)]
            for cols, rows in sizes:
                await stage.client.ask(ResizeSession(session=session.id, cols=cols, rows=rows))
            await seat.type(b"g")
            await seat.until(b"end")
            told = [(item.cols, item.rows) for item in seat.items if isinstance(item, Resized)]
            assert told[: len(sizes)] == sizes
            # Nobody can say how many of them somebody saw who was here: that takes a picture.
            epoch, before = seat.begun.epoch, seat.offset - len(b"end")
            async with stage.attach(session, epoch=epoch, offset=before) as late:
                assert isinstance(late.begun, Picture)
            async with stage.attach(session, epoch=epoch, offset=before + 1) as late:
                assert isinstance(late.begun, Resumed)
                assert await late.until(b"nd") == b"nd"


async def test_a_viewer_that_was_told_all_sizes_shows_what_the_session_shows() -> None:
    dice = random.Random(4)
    async with open_stage() as stage:
        session = await stage.shell("cat")
        viewed = Screen(80, 24, lambda _: None)
        viewed.feed(PROMPT)
        async with stage.attach(session) as seat:
            await seat.go()
            for _ in range(40):
                text = b"".join(b"%d " % number for number in range(dice.randint(1, 60)))
                await seat.type(text)
                while len(seat.output) < len(text):
                    piece = await seat.next()
                    if isinstance(piece, Resized):
                        viewed.resize(piece.cols, piece.rows)
                    elif isinstance(piece, bytes):
                        viewed.feed(piece)
                seat.output.clear()
                for _ in range(dice.randint(0, 4)):
                    cols, rows = dice.randint(2, 90), dice.randint(2, 30)
                    await stage.client.ask(ResizeSession(session=session.id, cols=cols, rows=rows))
            screen = await stage.client.ask(ShowScreen(session=session.id))
            while viewed.size != (screen.cols, screen.rows):
                piece = await seat.next()
                if isinstance(piece, Resized):
                    viewed.resize(piece.cols, piece.rows)
            assert screen.lines == viewed.lines
