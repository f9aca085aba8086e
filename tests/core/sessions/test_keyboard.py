"""What viewers type gets to the program once, in order, and each piece in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone
from loopsy_core.sessions.audience import Audience
from loopsy_core.sessions.keyboard import Keyboard
from loopsy_core.sessions.viewer import Viewer
from loopsy_core.wire import AttachSession

if TYPE_CHECKING:
    from loopsy_core.sessions.running import Running


class Terminal:
    """Stands for a program and its terminal, which takes only so much until it is read."""

    def __init__(self) -> None:
        self.pty: Terminal | None = self
        self.room = 0
        self.got = b""
        self._readers = trio.lowlevel.ParkingLot()

    def write_some_nowait(self, view: memoryview) -> int:
        taken = min(self.room, len(view))
        self.got += view[:taken]
        self.room -= taken
        return taken

    async def wait_writable(self) -> None:
        if self.pty is None:
            raise trio.ClosedResourceError
        while not self.room:
            await self._readers.park()

    def read(self, room: int) -> None:
        self.room += room
        self._readers.unpark_all()


class Desk:
    """A keyboard, and those who sit before it."""

    def __init__(self) -> None:
        self.terminal = Terminal()
        self.audience = Audience()
        self.news = 0
        running = cast("Running", self.terminal)
        self.keyboard = Keyboard(running, self.audience, self._note)

    def _note(self) -> None:
        self.news += 1

    def sit(self, number: int) -> Viewer:
        viewer = Viewer(AttachSession(session="s", viewer=bytes([number] * 16), cols=80, rows=24))
        self.audience.join(viewer.id, viewer)
        return viewer


async def test_a_key_is_typed_at_once_and_counted() -> None:
    desk = Desk()
    viewer = desk.sit(1)
    desk.terminal.room = 100
    assert desk.keyboard.type_nowait(viewer, b"k") == b""
    assert desk.terminal.got == b"k"
    assert desk.audience.typed(viewer.id) == 1
    assert not desk.news


async def test_what_the_program_does_not_take_yet_is_typed_before_what_others_type() -> None:
    desk = Desk()
    one, two = desk.sit(1), desk.sit(2)
    desk.terminal.room = 3
    rest = desk.keyboard.type_nowait(one, b"\x1b[200~")
    assert rest == b"00~"
    assert desk.keyboard.is_typing(one)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.keyboard.type, two, b"two")
            await wait_all_tasks_blocked()
            desk.terminal.read(100)
            assert desk.keyboard.type_nowait(two, b"not yet") == b"not yet"
            await desk.keyboard.type(one, rest)
    assert desk.terminal.got == b"\x1b[200~two"
    assert [desk.audience.typed(viewer.id) for viewer in (one, two)] == [6, 3]
    assert not desk.keyboard.is_typing(two)


async def test_who_leaves_in_the_middle_lets_others_type() -> None:
    desk = Desk()
    one, two = desk.sit(1), desk.sit(2)
    desk.terminal.room = 1
    assert desk.keyboard.type_nowait(one, b"one") == b"ne"
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.keyboard.type, two, b"two")
            await wait_all_tasks_blocked()
            desk.keyboard.leave(two)  # it is not at it
            desk.terminal.read(100)
            await wait_all_tasks_blocked()
            assert desk.terminal.got == b"o"
            desk.keyboard.leave(one)
    assert desk.terminal.got == b"otwo"


async def test_a_cancelled_piece_is_counted_as_far_as_it_got() -> None:
    desk = Desk()
    one, two = desk.sit(1), desk.sit(2)
    desk.terminal.room = 2
    with trio.move_on_after(0.01):
        await desk.keyboard.type(one, b"one")
    assert desk.audience.typed(one.id) == 2
    desk.terminal.read(100)
    assert desk.keyboard.type_nowait(two, b"two") == b""
    assert desk.terminal.got == b"ontwo"


async def test_who_has_reconnected_types_by_its_new_connection_alone() -> None:
    desk = Desk()
    former = desk.sit(1)
    desk.sit(1)
    desk.terminal.room = 100
    assert desk.keyboard.type_nowait(former, b"again") == b"again"
    with pytest.raises(Gone):
        await desk.keyboard.type(former, b"again")
    assert desk.terminal.got == b""


async def test_what_is_typed_for_an_ended_program_is_gone_and_keeps_nobody() -> None:
    desk = Desk()
    viewer = desk.sit(1)
    desk.terminal.room = 1
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.keyboard.type, viewer, b"x" * 40_000)
            await wait_all_tasks_blocked()
            desk.terminal.pty = None
            desk.terminal.read(1)
    assert desk.audience.typed(viewer.id) == 40_000
    assert desk.news
