"""Files and folders between this machine and others."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
import trio

from loopsy_core.client import Progress
from loopsy_core.errors import BadRequest, error_from_code
from loopsy_mcp.tool import Group, MachineName, Said, Tool

if TYPE_CHECKING:
    from loopsy_core.client import Moved
    from loopsy_core.wire import FileInfo
    from loopsy_mcp.desk import Desk
    from loopsy_mcp.tool import Json, Tell

__all__ = ["ListRemoteFiles", "TransferFile"]

BETWEEN_WORDS: Final = 1.0
"""Seconds between two progress notifications."""
MOST_SKIPPED: Final = 50
"""Things that were not moved which are told one by one."""

Partner: TypeAlias = Annotated[str, msgspec.Meta(max_length=64, description="Machine name")]
FilePath: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class TransferFile(Tool, frozen=True, kw_only=True):
    """Copy files and folders between this machine and `peer`: whole, verified by SHA-256, any
    size. `send` takes `paths` here to `dest` there, `pull` takes `paths` there to `dest` here. Into
    `dest` if that is a folder or ends with /, else it is the new name. There, relative paths begin
    in the home directory. If it is cut, the same call goes on where it was.
    """

    tool: ClassVar[str] = "loopsy_transfer_file"
    group: ClassVar[Group] = "files"

    peer: Partner
    direction: Literal["send", "pull"]
    paths: Annotated[list[FilePath], msgspec.Meta(min_length=1, max_length=1000)]
    dest: FilePath

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Copy them, telling how far it is."""
        place = await desk.reach(self.peer)
        progress = Progress()

        def note(now: Progress) -> None:
            nonlocal progress
            progress = now

        async def tick() -> None:
            while True:
                await trio.sleep(BETWEEN_WORDS)
                done, total = progress.bytes, progress.total_bytes or None
                await tell(done, total, f"{done} bytes, now {progress.path[-80:]}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            if self.direction == "send":
                moved = await place.client.send(_here(self.paths), self.dest, on_progress=note)
            else:
                (dest,) = _here([self.dest])
                moved = await place.client.pull(self.paths, dest, on_progress=note)
            nursery.cancel_scope.cancel()
        return _said(
            moved, f"to {place.name}" if self.direction == "send" else "from " + place.name
        )


class ListRemoteFiles(Tool, frozen=True, kw_only=True):
    """List a folder of a machine (default: the home directory there), or look at one file."""

    tool: ClassVar[str] = "loopsy_list_remote_files"
    group: ClassVar[Group] = "files"
    reads_only: ClassVar[bool] = True

    peer: MachineName | None = None
    path: FilePath = "~"
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 200

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """List it, by name."""
        place = await desk.reach(self.peer)
        entries = await place.client.list_files(self.path)
        shown = entries[self.skip : self.skip + self.limit]
        more = len(entries) - self.skip - len(shown)
        lines = [_line(entry) for entry in shown]
        if more > 0:
            lines.append(f"[{more} more: skip={self.skip + len(shown)}]")
        data: Json = [_data(entry) for entry in shown]
        nothing = f"{self.path} on {place.name} has {len(entries) or 'no'} entries"
        facts: dict[str, Json] = {"machine": place.name, "entries": data, "total": len(entries)}
        return Said("\n".join(lines) or nothing, facts)


def _here(paths: list[str]) -> list[str]:
    """Return paths of this machine, `~` replaced: no shell has seen them."""
    for path in paths:
        if "\0" in path:
            raise BadRequest("a path holds no NUL character")
    return [os.path.expanduser(path) for path in paths]


def _said(moved: Moved, where: str) -> Said:
    if not moved.files and len(moved.skipped) == 1:
        raise error_from_code(moved.skipped[0].code, moved.skipped[0].why)
    lines = [f"copied {where}: {moved.files} files, {moved.bytes} bytes, verified"]
    skipped: list[Json] = [
        {"path": _text(each.path), "why": each.why} for each in moved.skipped[:MOST_SKIPPED]
    ]
    lines += [f"skipped: {each.why}" for each in moved.skipped[:MOST_SKIPPED]]
    if len(moved.skipped) > MOST_SKIPPED:
        lines.append(f"[{len(moved.skipped) - MOST_SKIPPED} more were skipped]")
    data: dict[str, Json] = {"files": moved.files, "bytes": moved.bytes, "skipped": skipped}
    return Said("\n".join(lines), data)


def _line(entry: FileInfo) -> str:
    name = _text(entry.name)
    if entry.kind == "folder":
        return f"{name}/"
    if entry.target is not None:
        return f"{name} -> {_text(entry.target)}"
    return f"{name}  ({entry.size} bytes, changed {round(time.time() - entry.mtime / 1e9)} s ago)"


def _data(entry: FileInfo) -> dict[str, Json]:
    return {
        "name": _text(entry.name),
        "kind": entry.kind,
        "size": entry.size,
        "mode": f"{entry.mode:04o}",
        "mtime": entry.mtime / 1e9,
        "target": None if entry.target is None else _text(entry.target),
    }


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
