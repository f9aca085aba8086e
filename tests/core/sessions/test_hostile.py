"""Whatever somebody on the host's socket does, the host answers on, and no other session feels it.

A machine may fill up, a program may not read: whoever caused it is told so in a sentence.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING, Final

from hypothesis import given

from loopsy_core.errors import LoopsyError, error_from_code
from loopsy_core.wire import RemoveSession, ShowScreen
from tests.core.sessions.stage import Seat, Stage, open_stage
from tests.core.sessions.stranger import Move, moves, open_stranger
from tests.play import bounded
from tests.world import eventually

if TYPE_CHECKING:
    from loopsy_core.wire import Fault, SessionInfo

OUR_SIZE: Final = (91, 17)
A_MACHINES_WORDS: Final = re.compile(r"Traceback|<class|object at 0x|\[Errno|Exception|\.py\b")


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(os.listdir("/dev/fd"))


def says_why(fault: Fault) -> None:
    """Check that a fault is one of ours, and a sentence for a person."""
    assert type(error_from_code(fault.code, "")) is not LoopsyError, fault
    assert fault.message.isprintable(), fault
    assert 10 < len(fault.message) <= 2000, fault
    assert not A_MACHINES_WORDS.search(fault.message), fault


async def is_as_it_was(stage: Stage, session: SessionInfo, seat: Seat) -> None:
    """Check that a session still echoes what is typed, and is all that it was."""
    word = secrets.token_hex(4).encode()
    await seat.type(word + b"\r")
    await seat.until(word + b"\r\n" + word)
    now = await stage.until(session, lambda now: now.viewers == 1)
    assert (now.cols, now.rows) == OUR_SIZE
    assert (now.name, now.alive, now.argv) == (session.name, True, session.argv)


async def end_all_but(stage: Stage, session: SessionInfo) -> None:
    for each in await stage.client.sessions():
        if each.id != session.id:
            await stage.client.end_session(each.id)
            await stage.client.ask(RemoveSession(session=each.id))


@bounded(60)
@given(moves)
async def test_no_call_harms_the_host_or_another_session(script: list[Move]) -> None:
    async with open_stage() as stage:
        ours = await stage.start("cat", cols=OUR_SIZE[0], rows=OUR_SIZE[1])
        async with stage.attach(ours, cols=OUR_SIZE[0], rows=OUR_SIZE[1]) as seat:
            await stage.client.ask(ShowScreen(session=ours.id))  # now there is an emulator, too
            before = descriptors()
            mine = await stage.start("cat", name="mine")
            async with open_stranger(stage.host) as stranger:
                for move in script:
                    await stranger.make(move, mine.id)
                await stranger.until_all_was_heard()
            for fault in stranger.faults:
                says_why(fault)
            await is_as_it_was(stage, ours, seat)
            await end_all_but(stage, ours)
            await eventually(lambda: descriptors() == before)
