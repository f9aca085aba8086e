"""A stage for sessions: real programs on real terminals, viewers on pipes that may be cut."""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.client import Client
from loopsy_core.kit import one_error
from loopsy_core.sessions.host import Host
from loopsy_core.sessions.registry import open_sessions
from loopsy_core.wire import (
    AttachSession,
    Ended,
    Picture,
    Resize,
    Resized,
    Resumed,
    SessionInfo,
    Typed,
    Viewers,
    decode_attached,
)
from tests.core.sessions.emulators import near_emulator
from tests.world import PATIENCE, open_talk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from loopsy_core.links import Call
    from loopsy_core.sessions.emulator import StartEmulator
    from loopsy_core.sessions.registry import Sessions
    from loopsy_core.wire import AttachedItem, Raw
    from tests.world import MemoryChannel

PROMPT: Final = b"#"
LOG: Final = logging.getLogger("loopsy.test")


@attrs.frozen
class Drawing:
    """A picture with the bytes that draw it."""

    item: Picture
    vt: bytes = attrs.field(repr=False)


class Seat:
    """One viewer's attached call, and all that came over it since the last picture."""

    def __init__(self, call: Call, pipe: MemoryChannel, viewer: bytes) -> None:
        self._call = call
        self._pipe = pipe
        self.viewer = viewer
        self.first: Resumed | Drawing
        self.output = bytearray()
        self.items: list[AttachedItem] = []
        self.offset = 0
        self.typed = 0  # as far as we were told
        self.pictures = 0
        self.company: Viewers | None = None
        """Who looks, as far as we were told."""

    @property
    def begun(self) -> Resumed | Picture:
        """The first item."""
        return self.first.item if isinstance(self.first, Drawing) else self.first

    async def next(self) -> bytes | AttachedItem | Drawing | None:
        """Take the next thing in, but for who looks; None once the call was answered."""
        while True:
            piece = await self._call.receive()
            if piece is None:
                return None
            if isinstance(piece, bytes):
                self.output += piece
                self.offset += len(piece)
                return piece
            item = decode_attached(piece.value)
            assert item is not None
            if not isinstance(item, Viewers):
                return await self._hear(item)
            self.company = item

    async def _hear(self, item: AttachedItem) -> AttachedItem | Drawing:
        match item:
            case Picture():
                vt = b""
                while len(vt) < item.length:
                    part = await self._call.receive()
                    assert isinstance(part, bytes)
                    vt += part
                assert len(vt) == item.length
                self.output.clear()
                self.offset, self.typed = item.offset, item.typed
                self.pictures += 1
                return Drawing(item, vt)
            case Resumed():
                self.offset, self.typed = item.offset, item.typed
            case Typed():
                self.typed = item.total
        self.items.append(item)
        return item

    async def until(self, text: bytes) -> bytes:
        """Take in output until `text` is in it; return all of it since the last picture."""
        while text not in self.output:
            assert await self.next() is not None, bytes(self.output[-200:])
        return bytes(self.output)

    async def until_resized(self) -> Resized:
        while True:
            item = await self.next()
            assert item is not None
            if isinstance(item, Resized):
                return item

    async def until_ended(self) -> Ended:
        """Take in everything up to the end."""
        while True:
            item = await self.next()
            assert item is not None
            if isinstance(item, Ended):
                return item

    async def go(self) -> None:
        """Let a script of `shell` begin, once its terminal is as it should be."""
        while self.offset < len(PROMPT):
            await self.next()
        self.output.clear()
        await self.type(b"g")

    async def type(self, data: bytes) -> None:
        await self._call.send(data)

    async def wish(self, cols: int, rows: int) -> None:
        await self._call.send_item(Resize(cols, rows))

    async def answer(self) -> Raw:
        """Return what the call was answered with, or raise its fault."""
        return await self._call.answer()

    def cut(self) -> None:
        """Lose the connection."""
        self._pipe.cut()


class Stage:
    """The sessions, and ways to reach them."""

    def __init__(self, sessions: Sessions, client: Client) -> None:
        self.sessions = sessions
        self.host = Host(sessions)
        self.client = client

    async def start(
        self, *argv: str, name: str | None = None, cols: int = 80, rows: int = 24
    ) -> SessionInfo:
        """Start a program."""
        return await self.client.start(argv, name=name, cols=cols, rows=rows)

    async def shell(self, script: str, cols: int = 80, rows: int = 24) -> SessionInfo:
        """Start `sh` with a script on a terminal that passes bytes on as they are.

        Before its output stands `PROMPT`; it begins when a first byte was typed (`Seat.go`).
        """
        prelude = f"stty raw -echo; printf '{PROMPT.decode()}'; head -c 1 >/dev/null; "
        return await self.start("sh", "-c", prelude + script, cols=cols, rows=rows)

    @asynccontextmanager
    async def attach(
        self,
        session: SessionInfo | str,
        *,
        viewer: bytes | None = None,
        cols: int = 80,
        rows: int = 24,
        view_only: bool = False,
        answers: bool = False,
        epoch: str | None = None,
        offset: int | None = None,
        typed: int = 0,
    ) -> AsyncGenerator[Seat]:
        """Attach over a connection of its own, and take in the first item."""
        request = AttachSession(
            session=session if isinstance(session, str) else session.id,
            viewer=viewer or secrets.token_bytes(16),
            cols=cols,
            rows=rows,
            view_only=view_only,
            answers=answers,
            epoch=epoch,
            offset=offset,
            typed=typed,
        )
        async with (
            open_talk(self.host.answer) as (conversation, pipe),
            conversation.open_call(request) as call,
        ):
            seat = Seat(call, pipe, request.viewer)
            first = await seat.next()
            assert isinstance(first, Resumed | Drawing)
            seat.first = first
            yield seat

    async def until(
        self, session: SessionInfo, holds: Callable[[SessionInfo], bool]
    ) -> SessionInfo:
        """Wait until what the list says of `session` holds; return it."""
        async with self.client.watch_sessions() as lists:
            async for now in lists:
                for each in now.sessions:
                    if each.id == session.id and holds(each):
                        return each
        raise AssertionError("the list came to its end")

    def info(self, session: SessionInfo) -> SessionInfo:
        """Return a session as it is now."""
        return self.sessions.find(session.id).info


@asynccontextmanager
async def open_stage(
    patience: float = PATIENCE,
    start_emulator: StartEmulator = near_emulator,
    folder: Path | None = None,
) -> AsyncGenerator[Stage]:
    """Open an empty stage; all programs end with it, also those that ignore a hang-up.

    The block has `patience` seconds.
    """
    with one_error():
        async with open_sessions(LOG, folder, start_emulator) as sessions:
            try:
                async with open_talk(Host(sessions).answer) as (conversation, _):
                    with trio.fail_after(patience):
                        yield Stage(sessions, Client(conversation))
            finally:
                with trio.CancelScope(shield=True):
                    async with trio.open_nursery() as nursery:
                        for info in sessions.list().sessions:
                            nursery.start_soon(sessions.find(info.id).end)
