"""One job: a command's life from its start to its last words, and showing it to its asker."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import BadRequest, Gone
from loopsy_core.kit import brief, cannot_start, clip, signal_group, wait_group_empty
from loopsy_core.wire import CHUNK, JobEnd, JobInfo, JobOutput, JobStarted

from .output import Output, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loopsy_core.links import Asked
    from loopsy_core.wire import OutputName

    from .command import Command

__all__ = ["PATIENCE", "PICK_UP", "Job"]

PATIENCE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
PICK_UP: Final = 60.0
"""Seconds that a job whose connection was lost waits for its asker to come back."""
GOODBYE: Final = 1.0
"""Seconds after SIGKILL in which a command is gone, unless the system holds it."""
LAST_WORDS: Final = 0.25
"""Seconds of silence after which what a command left behind is held to say no more."""
MAX_LAST_WORDS: Final = 1 << 20
"""Bytes that it may say all the same."""


class Job:
    """A command, its output, and whoever attends to it.

    The command leads a session and a process group of its own; its pid names both.
    """

    def __init__(
        self, job_id: str, owner: str | None, command: Command, timeout: float, *, stdin: bool
    ) -> None:
        """Prepare; `run` is the job's life."""
        self.id = job_id
        self.owner = owner
        self.output = Output()
        self._command = command
        self._wants_stdin = stdin
        self._process: trio.Process
        self._taken = 0  # bytes of standard input
        self._started_at = time.time()
        self._ended_at: float | None = None
        self._limit = trio.current_time() + timeout
        self._life = trio.CancelScope(deadline=self._limit)
        self._unwanted = False
        self._timed_out = False
        self._cancelled = False
        self._attendant: Reader | None = None
        self._changed = trio.lowlevel.ParkingLot()  # that it ended, or nobody attends any more
        self._vacant = False  # whether its process group was seen to be empty
        self._pumping = 2
        self._most = math.inf  # bytes of output, once the command has exited
        self._said_all = trio.Event()

    @property
    def ended(self) -> bool:
        """Whether the command and all its process group are gone."""
        return self._ended_at is not None

    @property
    def info(self) -> JobInfo:
        """The job as others see it."""
        return JobInfo(
            id=self.id,
            argv=brief(self._command.argv),
            cwd=clip(self._command.cwd),
            owner=self.owner,
            pid=self._process.pid,
            attached=self._attendant is not None,
            started_at=self._started_at,
            stdout=self.output.ends["stdout"],
            stderr=self.output.ends["stderr"],
            ended_at=self._ended_at,
            exit_code=self._process.returncode if self.ended else None,
            timed_out=self._timed_out,
            cancelled=self._cancelled,
        )

    async def start(self) -> int:
        """Start the command and return its process group; `run` must follow at once.

        Raises `BadRequest` or `Busy` when it cannot be started.
        """
        command = self._command
        try:
            # In a thread of trio's, without Python between fork and exec: vfork stops whoever calls
            # it until then. In the event loop's own thread it was 170 jobs a second instead of 600,
            # eight at once on a busy machine.
            self._process = await trio.lowlevel.open_process(
                command.argv,
                executable=command.program,
                cwd=command.cwd,
                env=command.env,
                stdin=subprocess.PIPE if self._wants_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_start(command.program, error) from None
        return self._process.pid

    async def run(self) -> None:
        """Stay until the command has ended and nothing of its process group is left.

        Cancelled, it ends the command first.
        """
        process = self._process
        try:
            async with trio.open_nursery() as pumps:
                assert process.stdout is not None
                assert process.stderr is not None
                pumps.start_soon(self._pump, "stdout", process.stdout)
                pumps.start_soon(self._pump, "stderr", process.stderr)
                await self._wait_last_words(await self._wait_exit())
                pumps.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):  # it has an end of its own
                await self._clean_up()

    def cancel(self) -> None:
        """Have the command ended; it takes a while."""
        self._unwanted = True
        self._life.cancel()

    async def wait_ended(self) -> None:
        """Wait for the end."""
        while not self.ended:
            await self._changed.park()

    async def wait_done(self) -> None:
        """Wait until it has ended and nobody is about to read its output any more."""
        while not self.ended or self._attendant is not None:
            await self._changed.park()

    # Whoever asked.

    async def attend(self, asked: Asked, offsets: Mapping[OutputName, int]) -> JobEnd:
        """Show the job to its asker from `offsets` on, hand its Data over, and return how it ended.

        Whoever attended until now is told that somebody else does. An asker that drops the call
        ends the job; one whose connection is lost may come back for a while.
        """
        reader = self.output.read_from(offsets)
        self._attendant = reader
        self._life.deadline = self._limit
        handed_over = False
        try:
            async with trio.open_nursery() as nursery:
                if self._process.stdin is not None:
                    nursery.start_soon(self._feed, asked, reader)
                await self._show(asked, reader, offsets)
                nursery.cancel_scope.cancel()
            handed_over = True
        finally:
            if self._attendant is reader:
                self._attendant = None
                if asked.dropped:
                    self.cancel()
                elif not handed_over:
                    self._life.deadline = min(self._limit, trio.current_time() + PICK_UP)
                self._changed.unpark_all()
        if self._process.returncode is None:
            raise Gone("the node is leaving, and the command could not be ended")
        return JobEnd(self._process.returncode, self._timed_out, self._cancelled)

    async def _show(self, asked: Asked, reader: Reader, offsets: Mapping[OutputName, int]) -> None:
        await asked.send_item(JobStarted(self.id, self._process.pid, self._taken))
        for name, offset in offsets.items():
            if reader.at[name] != offset:  # what lies between is lost
                await asked.send_item(JobOutput(name, reader.at[name]))
        current: OutputName | None = None
        while (stream := await reader.wait()) is not None:
            if stream != current:
                await asked.send_item(JobOutput(stream, reader.at[stream]))
                current = stream
            asked.send_nowait(reader.take(min(await asked.wait_room(), CHUNK)))

    async def _feed(self, asked: Asked, reader: Reader) -> None:
        """Hand the asker's Data over until it ends, or the command wants no more of it.

        Then nothing is taken from the asker any more, which so has at most a window under way.
        """
        stdin = self._process.stdin
        assert isinstance(stdin, trio.lowlevel.FdStream)
        with suppress(trio.ClosedResourceError):  # the command has ended meanwhile
            while (piece := await asked.receive()) is not None:
                if not isinstance(piece, bytes):
                    raise BadRequest("what is sent to a job is Data")
                left = memoryview(piece)
                # Written and counted with no await between: whoever picks the job up is told how
                # much it has been given, and from then on nobody else gives it anything.
                while left and not reader.replaced:
                    try:
                        count = os.write(stdin.fileno(), left)
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(stdin.fileno())
                    except OSError:
                        stdin.close()
                        return
                    else:
                        left = left[count:]
                        self._taken += count
            if not reader.replaced:
                stdin.close()

    # The command.

    async def _pump(self, stream: OutputName, pipe: trio.abc.ReceiveStream) -> None:
        while self.output.total < self._most and (data := await pipe.receive_some(CHUNK)):
            self.output.append(stream, bytes(data))
            await self.output.wait_room()
        self._pumping -= 1
        if not self._pumping:
            self._said_all.set()

    async def _wait_exit(self) -> float:
        """Wait for the command's exit, ending it when its time is up or nobody wants it any more.

        Returns until when the rest of its group may take to end as well.
        """
        process = self._process
        with self._life:
            await process.wait()
            return trio.current_time() + LAST_WORDS
        self._timed_out = not self._unwanted and trio.current_time() >= self._limit
        self._cancelled = not self._timed_out
        until = trio.current_time() + PATIENCE
        await self._end(until)
        return until

    async def _end(self, until: float) -> None:
        """End the command: SIGTERM, patience `until` then, SIGKILL."""
        signal_group(self._process.pid, signal.SIGTERM)
        signal_group(self._process.pid, signal.SIGCONT)  # a stopped program cannot end itself
        with trio.move_on_at(until):
            await self._process.wait()
            return
        signal_group(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def _wait_last_words(self, until: float) -> None:
        """Take what is still said after the command's exit, by others of its group perhaps.

        Whoever of them is there then, in silence and after `until`, is not waited for.
        """
        output = self.output
        self._most = output.total + MAX_LAST_WORDS
        output.let_go()  # the pipes hold little, and whoever reads may be slow
        was_ended = self._timed_out or self._cancelled
        self._life = trio.CancelScope(deadline=until if was_ended else max(until, self._limit))
        with self._life:
            while self._pumping:
                # What has left the group may talk on for hours, and the number be given away.
                self._vacant = self._vacant or not signal_group(self._process.pid, 0)
                said = output.total
                with trio.move_on_after(LAST_WORDS):
                    await self._said_all.wait()
                if output.total == said and trio.current_time() >= until:
                    break
        with trio.move_on_at(until):
            if not self._vacant:
                await wait_group_empty(self._process.pid)

    async def _clean_up(self) -> None:
        """End what is left, and say that the job has ended."""
        process = self._process
        with trio.move_on_after(PATIENCE + GOODBYE):  # one that cannot even be killed is left
            if process.returncode is None:  # we are cancelled: the node is leaving
                await self._end(trio.current_time() + PATIENCE)
        if not self._vacant and signal_group(process.pid, signal.SIGKILL):
            with trio.move_on_after(GOODBYE):
                await wait_group_empty(process.pid)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if isinstance(pipe, trio.lowlevel.FdStream):
                pipe.close()
        self._ended_at = time.time()
        self.output.close()
        self._changed.unpark_all()
