"""A cancelled receive loses nothing, not even in the middle of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.client import Client, Drawn, Viewing
from loopsy_core.wire import AttachReply, Ended, Picture
from tests.world import open_talk

if TYPE_CHECKING:
    from loopsy_core.links import Asked


class SlowHost:
    """Draws an empty screen, then lags: the next picture comes in two halves, on request."""

    def __init__(self) -> None:
        self.first_half = trio.Event()
        self.second_half = trio.Event()

    async def answer(self, asked: Asked) -> AttachReply:
        await asked.send_item(Picture("life", 0, 0, 80, 24, "", 0))
        await asked.send_item(Picture("life", 1000, 0, 100, 30, "later", 8))
        await self.first_half.wait()
        await asked.send(b"half")
        await self.second_half.wait()
        await asked.send(b"way!")
        await asked.send(b"output")
        await asked.send_item(Ended(0))
        return AttachReply(0)


async def test_a_receive_that_is_cancelled_in_a_picture_goes_on_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host, viewing = SlowHost(), Viewing("cat")
    async with (
        open_talk(host.answer) as (talk, _),
        Client(talk).attach(viewing, cols=80, rows=24) as (attached, drawn),
    ):
        assert drawn == Drawn(b"", 80, 24, "")
        for go_on in (host.first_half, host.second_half):
            with trio.move_on_after(1) as patience:
                await attached.receive()
            assert patience.cancelled_caught
            go_on.set()
            await wait_all_tasks_blocked()
        assert await attached.receive() == Drawn(b"halfway!", 100, 30, "later")
        assert await attached.receive() == b"output"
        assert viewing.request(80, 24).offset == 1006
        assert await attached.receive() == Ended(0)
