"""Pastes of a hundred megabytes: they arrive whole, fill nobody's memory and delay nobody else."""

from __future__ import annotations

import hashlib
import resource
import sys
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.sessions.viewer import TELL_TYPED_EVERY
from loopsy_core.wire import WINDOW
from tests.core.sessions.stage import open_stage

if TYPE_CHECKING:
    from tests.core.sessions.stage import Seat

LARGE: Final = 100 << 20
BLOCK: Final = bytes(range(256)) * 4096
"""A megabyte of every byte there is; the terminal passes them on as they are."""
ROOM: Final = 32 << 20
"""Bytes by which this process, host and viewers in one, may grow; it grows by 3 MiB."""
PATIENCE: Final = 120.0


def largest() -> int:
    """Return the most memory that this process has ever had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


async def echoes(seat: Seat, word: bytes) -> None:
    await seat.type(word + b"\r")
    await seat.until(word + b"\r\n" + word)


async def test_a_paste_arrives_whole_and_others_go_on_meanwhile() -> None:
    async with open_stage(PATIENCE) as stage:
        session = await stage.shell(f"head -c {LARGE} | md5sum; cat >/dev/null")
        other = await stage.start("cat")
        async with stage.attach(session) as seat, stage.attach(other) as beside:
            await seat.go()
            before = largest()
            digest = hashlib.md5(usedforsecurity=False)
            for number in range(LARGE // len(BLOCK)):
                await seat.type(BLOCK)
                if not number % 10:
                    await echoes(beside, b"%d" % number)
                digest.update(BLOCK)
            await seat.until(digest.hexdigest().encode())
            assert largest() - before < ROOM


async def test_a_paste_into_a_program_that_never_reads_waits_and_can_be_left() -> None:
    async with open_stage(PATIENCE) as stage:
        session = await stage.shell("printf '!'; exec sleep 1000")
        other = await stage.start("cat")
        async with stage.attach(other) as beside:
            before = largest()
            async with stage.attach(session) as seat, trio.open_nursery() as pasting:
                await seat.go()
                await seat.until(b"!")
                pasting.start_soon(paste_for_ever, seat)
                for number in range(10):
                    await echoes(beside, b"%d" % number)
                    await trio.testing.wait_all_tasks_blocked(0.01)
                pasting.cancel_scope.cancel()
            assert largest() - before < ROOM
            await stage.until(session, lambda now: now.viewers == 0)
            async with stage.attach(session, viewer=seat.viewer) as again:
                assert again.typed < WINDOW
            assert (await stage.client.end_session(session.id)).exit_code in (-1, -9)
            await echoes(beside, b"still here")


async def paste_for_ever(seat: Seat) -> None:
    while True:
        await seat.type(BLOCK)


@pytest.mark.parametrize("way", ["leaves", "is cut off", "ends the session"])
async def test_a_viewer_may_go_in_the_middle_of_a_paste(way: str) -> None:
    async with open_stage(PATIENCE) as stage:
        session = await stage.shell("printf '!'; exec cat >/dev/null")
        async with stage.attach(session) as seat, trio.open_nursery() as pasting:
            await seat.go()
            await seat.until(b"!")
            for _ in range(5):
                await seat.type(BLOCK)
            pasting.start_soon(paste_for_ever, seat)
            await trio.testing.wait_all_tasks_blocked()
            if way == "ends the session":
                ended = await stage.client.end_session(session.id)
                assert (ended.alive, ended.exit_code) == (False, -1)
            pasting.cancel_scope.cancel()
            if way == "is cut off":
                seat.cut()
        now = await stage.until(session, lambda now: now.viewers == 0)
        if way == "ends the session":
            assert not now.alive
            return
        async with stage.attach(session) as other:  # may type, for nobody holds the terminal
            await other.type(BLOCK)
            while other.typed + TELL_TYPED_EVERY < len(BLOCK):
                await other.next()
