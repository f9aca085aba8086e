"""Opening a session for a script, and leaving it: started and ended with a block, or only shown."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import BadRequest, Gone, LoopsyError, NotFound
from loopsy_core.kit import one_error
from loopsy_core.wire import EndSession

from .lasting import Lasting
from .session import RemoteSession
from .viewing import Viewing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from loopsy_core.wire import SessionInfo

    from .client import Client

__all__ = ["PATIENCE", "open_running", "open_started"]

PATIENCE: Final = 60.0
"""Seconds for which a node may be away; `loopsy restart` takes one or two, an upgrade more."""
STARTING: Final = 5.0
"""Seconds in which a program whose start was cancelled must have started, to be ended at once."""
ENDING: Final = 10.0
"""Seconds that ending a program may take: three until it is forced, and a node that is away."""
BETWEEN_TRIES: Final = 0.2


@asynccontextmanager
async def open_started(
    client: Client, start: Callable[[], Awaitable[SessionInfo]], *, keep: bool, patience: float
) -> AsyncGenerator[RemoteSession]:
    """Do what `Client.start_session` says; `start` starts the program."""
    info = await _start(client, start)
    session: RemoteSession | None = None
    try:
        viewing = Viewing(info.id, all_output=True)
        async with _open(client, info, viewing, patience) as session:
            yield session
    except BaseException:
        if not keep:
            with suppress(LoopsyError):  # what went wrong before is what matters
                await _end(client, info)
        raise
    if not (keep or session.ended):
        await _end(client, info)


@asynccontextmanager
async def open_running(
    client: Client, reference: str, *, from_beginning: bool, patience: float
) -> AsyncGenerator[RemoteSession]:
    """Do what `Client.session` says."""
    info = _find(await client.sessions(), reference)
    viewing = Viewing(info.id, all_output=from_beginning)
    if not from_beginning:
        # A picture tells where the output stands now; from there on all of it is wanted.
        async with client.attach(viewing, cols=info.cols, rows=info.rows):
            viewing.all_output = True
    async with _open(client, info, viewing, patience) as session:
        yield session


@asynccontextmanager
async def _open(
    client: Client, info: SessionInfo, viewing: Viewing, patience: float
) -> AsyncGenerator[RemoteSession]:
    lasting = Lasting(client, viewing, (info.cols, info.rows), patience)
    with one_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(lasting.run)
            yield RemoteSession(client, info, lasting, patience)
            await lasting.leave()


async def _start(client: Client, start: Callable[[], Awaitable[SessionInfo]]) -> SessionInfo:
    """Start a program; cancelled, leave none behind, although it may have started already."""
    started: list[SessionInfo] = []
    grace = trio.CancelScope(shield=True)
    try:
        with one_error():
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    with grace:
                        started.append(await start())
                    nursery.cancel_scope.cancel()

                nursery.start_soon(ask)
                try:
                    await trio.sleep_forever()
                finally:
                    grace.deadline = trio.current_time() + STARTING
    except BaseException:
        for info in started:
            with suppress(LoopsyError):
                await _end(client, info)
        raise
    return started[0]


async def _end(client: Client, info: SessionInfo) -> None:
    """End a program, also when we are cancelled; raises `Gone` when it cannot be."""
    with trio.move_on_after(ENDING, shield=True):
        while True:
            try:
                await client.ask(EndSession(session=info.id))
            except Gone:
                await trio.sleep(BETWEEN_TRIES)
            except NotFound:  # it has ended, and somebody has removed it
                return
            else:
                return
    raise Gone(
        f"{info.name} could not be ended, for the node is away; `loopsy kill {info.id}` does"
    )


def _find(sessions: Sequence[SessionInfo], reference: str) -> SessionInfo:
    """Return the session that is meant, as a node finds it; its id is the same for good."""
    found = (
        [session for session in sessions if session.id == reference]
        or [session for session in sessions if session.name == reference]
        or [session for session in sessions if session.id.startswith(reference)]
    )
    if not found:
        raise NotFound(f"there is no session {reference!r}; `loopsy list` shows them")
    if len(found) > 1:
        ids = ", ".join(session.id for session in found[:5])
        raise BadRequest(f"{reference!r} may mean several sessions: {ids}")
    return found[0]
