"""All sessions of one host: starting, finding, listing and forgetting them."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from loopsy_core.errors import BadRequest, Busy, LoopsyError, NotFound
from loopsy_core.kit import Watched, contained, one_error
from loopsy_core.wire import Nothing, SessionInfo, SessionList, StartSession, clean_name

from .emulator import Emulator, open_emulator_process
from .listing import fitting_list
from .program import Program, find_program
from .records import Records
from .session import Session

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.links import Asked

    from .emulator import StartEmulator
    from .records import Head, Record

__all__ = ["Sessions", "open_sessions"]

MAX_ALIVE: Final = 1000
MAX_ENDED: Final = 50
"""Ended sessions that are kept with their last screen; that which ended first goes first."""
RECORD_EVERY: Final = 3.0
"""Seconds between two looks at what sessions show, to keep it on disk."""
LONGEST_PAUSE: Final = 60.0
"""The same while something cannot be written; it is tried less and less often."""
LOST: Final = "its session host ended before it"
RECORD_SHARE: Final = 10
"""For each second that it took, so many pass before it is done again."""
LAST_PICTURES: Final = 3.0
"""Seconds that a host which leaves may spend on drawing what its sessions showed last."""
LAST_HEADS: Final = 2.0
"""Seconds for noting how those ended of which there was no picture in time."""
NEWS_PAUSE: Final = 0.05
"""Seconds between two lists to one watcher, so that a busy title does not become a flood."""


class Sessions:
    """The sessions, in order of their start."""

    def __init__(
        self,
        programs: trio.Nursery,
        screens: trio.Nursery,
        emulator: Emulator,
        log: logging.Logger,
        records: Records | None = None,
    ) -> None:
        """Run programs and the feeding of screens in two nurseries; `open_sessions` makes these."""
        self._programs = programs
        self._screens = screens
        self._emulator = emulator
        self._records = records
        self._unrecorded = trio.Event()
        self._recording = trio.Lock()
        self._feeding: dict[str, trio.CancelScope] = {}
        self._log = log
        self._sessions: dict[str, Session] = {}
        self._ended: dict[str, Session] = {}  # in the order of their end
        self._version = Watched(0)

    @property
    def alive(self) -> int:
        """How many programs run."""
        return sum(session.alive for session in self._sessions.values())

    def list(self) -> SessionList:
        """Return what there is, as far as it fits one value."""
        return fitting_list([session.info for session in self._sessions.values()])

    async def watch(self, asked: Asked) -> NoReturn:
        """Send the list now and after each change, for ever."""
        async for _ in self._version.changes():
            await asked.send_item(self.list())
            await trio.sleep(NEWS_PAUSE)
        raise AssertionError("a host's list never closes")

    async def start(self, request: StartSession) -> SessionInfo:
        """Start a session; raises `BadRequest` or `Busy` when its program cannot be started."""
        if self.alive >= MAX_ALIVE:
            raise Busy(f"{MAX_ALIVE} sessions run already; end some first")
        session_id = self._new_id()
        marks = {"LOOPSY_SESSION": session_id}
        program = find_program(request.argv, request.cwd, {**request.env, **marks})
        name = self._free_name(request.name, program.name)
        session = self._make(program, session_id, name, request)
        try:
            with one_error():
                await self._programs.start(self._run, session)
        except BaseException:
            self._drop(session)
            raise
        self._printed()
        self._changed()
        return session.info

    def revive(self, head: Head) -> None:
        """Take up what a former host has left behind."""
        info = head.info
        session = self._make(Program(info.argv, info.cwd, {}), info.id, info.name, info)
        session.revive(head, LOST)
        self._ended[session.id] = session
        self._printed()

    def _make(
        self, program: Program, session_id: str, name: str, like: StartSession | SessionInfo
    ) -> Session:
        """Make a session of the kind and size that were asked for, or that there were."""
        session = self._sessions[session_id] = Session(
            program,
            session_id=session_id,
            name=name,
            kind=like.kind,
            auto_approve=like.auto_approve,
            size=(like.cols, like.rows),
            emulator=self._emulator,
            on_change=self._changed,
            on_output=self._printed,
            on_failed=self._end_soon,
            read_record=self._read_record,
        )
        self._feeding[session_id] = trio.CancelScope()
        self._screens.start_soon(self._feed, session, self._feeding[session_id])
        return session

    async def _feed(self, session: Session, scope: trio.CancelScope) -> None:
        with scope:
            await session.feeder.run()

    def _drop(self, session: Session) -> None:
        """Let go of a session as a whole."""
        del self._sessions[session.id]
        self._feeding.pop(session.id).cancel()
        session.close()

    def _end_soon(self, session: Session) -> None:
        self._programs.start_soon(session.end)

    # What is kept on disk.

    async def keep_records(self) -> None:
        """Keep on disk what the sessions show, a little behind what they print."""
        pause = RECORD_EVERY
        while True:
            await self._unrecorded.wait()
            self._unrecorded = trio.Event()
            began = trio.current_time()
            kept = [await self._keep_record(session) for session in list(self._sessions.values())]
            # Large screens take long to draw and to write; then it is done less often. And a
            # disk that is full stays so for a while, other than a limit that a start has lowered.
            pause = RECORD_EVERY if all(kept) else min(2 * pause, LONGEST_PAUSE)
            await trio.sleep(max(pause, RECORD_SHARE * (trio.current_time() - began)))

    async def _keep_record(self, session: Session) -> bool:
        """Keep how a session is, if that is news; return False if it could not be written."""
        async with self._recording:  # one after the other: an older one must not come later
            if self._records is None or not session.unrecorded or session.id not in self._sessions:
                return True
            kept = False
            session.unrecorded = False  # until it prints something else
            try:
                record = await session.record()
                async with session.writing:
                    if session.id not in self._sessions:
                        return True  # removed while it was drawn; its remover may be told already
                    kept = await trio.to_thread.run_sync(self._records.write, record)
                    if session.id not in self._sessions:
                        self._records.remove(session.id)
            except LoopsyError:
                self._printed()  # there is no emulator for now
                return True
            finally:
                if not kept:  # cancelled, it may not have begun
                    session.unrecorded = True
            if kept:
                session.recorded(record)
            else:
                self._printed()
            return kept

    async def record_all(self) -> None:
        """Keep on disk how all sessions are; without their screens where that takes too long."""
        with trio.move_on_after(LAST_PICTURES):
            for session in list(self._sessions.values()):
                await self._keep_record(session)
        with trio.move_on_after(LAST_HEADS):
            for session in self._sessions.values():
                if self._records is not None and session.unrecorded:
                    await trio.to_thread.run_sync(self._records.write_head, session.head())

    async def _read_record(self, session_id: str) -> Record | None:
        if self._records is None:
            return None
        return await trio.to_thread.run_sync(self._records.read, session_id)

    def _printed(self) -> None:
        self._unrecorded.set()

    def find(self, reference: str) -> Session:
        """Return the session with this id, name, or unique beginning of an id.

        Raises `NotFound`, or `BadRequest` when several could be meant.
        """
        if (session := self._sessions.get(reference)) is not None:
            return session
        named = [s for s in self._sessions.values() if s.name == reference]
        found = named or [s for s in self._sessions.values() if s.id.startswith(reference)]
        if not found:
            raise NotFound(f"there is no session {reference!r}; `loopsy list` shows them")
        if len(found) > 1:
            ids = ", ".join(session.id for session in found[:5])
            raise BadRequest(f"{reference!r} may mean several sessions: {ids}")
        return found[0]

    def rename(self, reference: str, name: str) -> SessionInfo:
        """Give a session another name that no other has."""
        session = self.find(reference)
        wanted = clean_name(name, "session")
        if session.name != wanted:
            if any(other.name == wanted for other in self._sessions.values()):
                raise BadRequest(_taken(wanted))
            session.rename(wanted)
        return session.info

    async def remove(self, reference: str) -> Nothing:
        """Forget a session that has ended; nothing of it is on disk when this returns."""
        session = self.find(reference)
        if session.alive:
            raise BadRequest(f"{session.name} still runs; end it first")
        self._forget(session)
        async with session.writing:  # who was writing it removes it
            return Nothing()

    async def _run(self, session: Session, *, task_status: trio.TaskStatus[None]) -> None:
        started = _Started(task_status)
        try:
            await session.run(task_status=started)
        except Exception:
            if not started.done:
                raise
            with contained(self._log, f"session {session.id}"):
                raise
        self._ended[session.id] = session
        await self._keep_record(session)
        while len(self._ended) > MAX_ENDED:
            self._forget(next(iter(self._ended.values())))

    def _forget(self, session: Session) -> None:
        self._ended.pop(session.id, None)
        self._drop(session)
        if self._records is not None:
            self._records.remove(session.id)
        self._changed()

    def _changed(self) -> None:
        self._version.set(self._version.value + 1)

    def _new_id(self) -> str:
        while True:
            session_id = secrets.token_hex(4)
            if session_id not in self._sessions:
                return session_id

    def _free_name(self, wanted: str | None, program: str) -> str:
        """Return a name no other session has: the wanted one, or the program's and a number."""
        taken = {session.name for session in self._sessions.values()}
        if wanted is not None:
            name = clean_name(wanted, "session")
            if name in taken:
                raise BadRequest(_taken(name))
            return name
        base = "".join(c for c in program if c.isprintable())[:48] or "session"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        return name


def _taken(name: str) -> str:
    return f"a session is named {name!r} already; rename or remove that one, or take another name"


class _Started:
    """Knows whether a session has told that it started."""

    def __init__(self, task_status: trio.TaskStatus[None]) -> None:
        self._task_status = task_status
        self.done = False

    def started(self, _value: None = None) -> None:
        self.done = True
        self._task_status.started()


@asynccontextmanager
async def open_sessions(
    log: logging.Logger,
    folder: Path | None = None,
    start_emulator: StartEmulator = open_emulator_process,
) -> AsyncGenerator[Sessions]:
    """Keep sessions for as long as the block lasts; leaving it hangs up on their programs.

    What they show is kept in `folder`, and what a former host left there is taken up.
    """
    emulator = Emulator(start_emulator)
    async with _open_lasting_nursery() as screens:
        screens.start_soon(emulator.keep)
        records = None if folder is None else Records(folder)
        heads = [] if records is None else await trio.to_thread.run_sync(records.take_up)
        sessions: Sessions | None = None
        try:
            async with trio.open_nursery() as programs:
                sessions = Sessions(programs, screens, emulator, log, records)
                for head in heads:
                    sessions.revive(head)
                programs.start_soon(sessions.keep_records)
                try:
                    yield sessions
                finally:
                    programs.cancel_scope.cancel()
        finally:
            if sessions is not None:
                with trio.CancelScope(shield=True):
                    await sessions.record_all()  # also how those ended that we just hung up on


@asynccontextmanager
async def _open_lasting_nursery() -> AsyncGenerator[trio.Nursery]:
    """Open a nursery whose tasks are cancelled when the block is left, and not before."""

    async def last(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        async with trio.open_nursery() as lasting:
            lasting.cancel_scope.shield = True
            task_status.started(lasting)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        lasting = await nursery.start(last)
        try:
            yield lasting
        finally:
            lasting.cancel_scope.cancel()
