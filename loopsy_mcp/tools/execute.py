"""Running commands: waiting for them, or coming back to them later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
import trio

from loopsy_core.errors import BadRequest
from loopsy_mcp.desk import telling
from loopsy_mcp.plain import cut_off, left_over, readable
from loopsy_mcp.tool import PATIENCE, Group, MachineName, MostText, Said, Seconds, Tool

if TYPE_CHECKING:
    from loopsy_core.wire import OutputName
    from loopsy_mcp.desk import Desk
    from loopsy_mcp.jobs import Job, Kept
    from loopsy_mcp.tool import Json, Tell

__all__ = ["Command", "Execute", "argv_of"]

Command: TypeAlias = Annotated[
    str | list[str], msgspec.Meta(description="Shell line, or exact argv as a list")
]
Limit: TypeAlias = Annotated[
    float, msgspec.Meta(gt=0, le=2_592_000, description="Seconds until it is ended")
]
LIMIT: Final = 3600.0
"""Not what the settings say for whoever names none: that is five minutes, in the middle of many a
build, and the agent, which can end what hangs, would have been told that it may wait an hour."""
MOST_TEXT: Final = 20_000
"""Characters of output that one call returns unless it is told otherwise."""


def argv_of(command: str | list[str]) -> list[str]:
    """Return what to run: a text is for the shell."""
    if not command or not command[0]:
        raise BadRequest("`command` is empty")
    return ["/bin/sh", "-c", command] if isinstance(command, str) else command


class Execute(Tool, frozen=True, kw_only=True):
    """Run a command without a terminal on any machine and get exit code, stdout, stderr. For
    programs that ask questions or outlive this conversation use loopsy_session_start.
    Waits up to `timeout`; if it still runs then, you get a `job` id: call again with `job` to wait
    on and get what is new, with `job` and `cancel` to end it. A long output lacks its middle: read
    any part with `job`, `stream` and `offset` (bytes; the first 64 KiB and last 2 MiB are kept).
    """

    tool: ClassVar[str] = "loopsy_execute"
    group: ClassVar[Group] = "execute"

    command: Command | None = None
    job: str | None = None
    peer: MachineName | None = None
    cwd: Annotated[str, msgspec.Meta(description="Default: home directory")] | None = None
    env: dict[str, str] | None = None
    stdin: str | None = None
    timeout: Annotated[Seconds, msgspec.Meta(description="Seconds to wait")] = PATIENCE
    kill_after: Limit = LIMIT
    cancel: bool = False
    stream: Literal["stdout", "stderr"] = "stdout"
    offset: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_chars: MostText = MOST_TEXT

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Run it, or go on with a job."""
        if (self.command is None) == (self.job is None):
            raise BadRequest("loopsy_execute needs either `command` (to run) or `job` (to go on)")
        if self.job is not None:
            return await self._go_on(desk.jobs.find(self.job), tell)
        place = await desk.reach(self.peer)
        assert self.command is not None
        job = await desk.jobs.start(
            place,
            argv_of(self.command),
            self.command if isinstance(self.command, str) else " ".join(self.command),
            cwd=self.cwd,
            env=self.env,
            stdin=None if self.stdin is None else self.stdin.encode(),
            limit=self.kill_after,
        )
        try:
            await self._wait(job, tell)
        except BaseException:
            job.cancel()  # whoever asked for it does not want it any more
            raise
        return self._report(job)

    async def _go_on(self, job: Job, tell: Tell) -> Said:
        if self.offset is not None:
            return self._page(job, self.offset)
        if self.cancel:
            job.cancel()
            await job.over.wait()
        else:
            await self._wait(job, tell)
        return self._report(job)

    async def _wait(self, job: Job, tell: Tell) -> None:
        with trio.move_on_after(self.timeout):
            async with telling(tell, self.timeout, f"{job.command[:60]} on {job.machine}"):
                await job.over.wait()

    def _page(self, job: Job, offset: int) -> Said:
        kept = job.outputs[self.stream]
        data, at = kept.read(offset, self.max_chars)
        if at + len(data) < kept.total:
            data = data[: len(data) - cut_off(data)]
        following = at + len(data)
        text = readable(data)
        if at > offset:
            text = f"[{at - offset} bytes before this are not kept]\n{text}"
        more = f"\n[{kept.total - following} bytes follow: offset={following}]"
        return Said(
            text + (more if following < kept.total else ""),
            {"job": job.name, self.stream: text, "offset": following, "total": kept.total},
        )

    def _report(self, job: Job) -> Said:
        stderr, err = self._new(job, "stderr", self.max_chars // 3)
        stdout, out = self._new(job, "stdout", self.max_chars - len(stderr))
        state, facts = _state(job)
        parts = [stdout.rstrip("\n")] if stdout else []
        if stderr:
            parts += ["--- stderr", stderr.rstrip("\n")]
        text = "\n".join([*parts, f"[{state}]"])
        data = {**facts, "stdout": stdout, "stderr": stderr, **out, **err}
        return Said(text, data, failed=job.error is not None)

    def _new(self, job: Job, stream: OutputName, most: int) -> tuple[str, dict[str, Json]]:
        """Return what the agent was not told of yet, and what of that is left out."""
        kept: Kept = job.outputs[stream]
        since, kept.told = kept.told, kept.total
        size = kept.total - since
        if size <= most:
            data, at = kept.read(since, size)
            if len(data) == size:
                return readable(data), {}
            return readable(data + kept.read(at + len(data), size)[0]), {}
        head, at = kept.read(since, most // 3)
        head = head[: len(head) - cut_off(head)]
        tail, tail_at = kept.read(kept.total - (most - most // 3), most)
        begun = left_over(tail)
        tail, tail_at = tail[begun:], tail_at + begun
        gap = tail_at - at - len(head)
        mark = (
            f"\n[... {gap} bytes left out; read on with job={job.name}, stream={stream},"
            f" offset={at + len(head)} ...]\n"
        )
        left_out: Json = {"bytes": gap, "offset": at + len(head)}
        text = readable(head) + mark + readable(tail)
        return text, {f"{stream}_left_out": left_out}


def _state(job: Job) -> tuple[str, dict[str, Json]]:
    """Say how a job is, in words and as data."""
    took = f"{job.seconds:.1f} s on {job.machine}"
    facts: dict[str, Json] = {
        "job": job.name,
        "machine": job.machine,
        "running": not job.over.is_set(),
        "seconds": round(job.seconds, 3),
        "exit_code": None,
    }
    if not job.over.is_set():
        trouble = f"; the connection is lost ({job.trouble})" if job.trouble else ""
        wait_on = f"call loopsy_execute with job={job.name} to wait on"
        return f"still running as job {job.name} after {took}{trouble}; {wait_on}", facts
    if job.end is None:
        facts["error"] = "cancelled" if job.error is None else job.error.message
        return f"{facts['error']} after {took}", facts
    facts["exit_code"] = job.end.exit_code
    facts["timed_out"] = job.end.timed_out
    code = job.end.exit_code
    how = f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
    if job.end.timed_out:
        how += ", for its time limit (kill_after) was over"
    return f"{how}, {took}, job {job.name}", facts
