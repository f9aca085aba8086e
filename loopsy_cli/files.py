"""Files from the command line: `send`, `pull` and `ls`."""

from __future__ import annotations

import stat
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

from loopsy_core.client import Pulling, Sending, keep_moving, open_client
from loopsy_core.errors import BadRequest, error_from_code

from .looping import run
from .options import Json, Option
from .progress import progress_line
from .reaching import reach
from .show import clean, note, print_json, say, size, table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.client import Client, Moved, Moving
    from loopsy_core.wire import FileInfo

__all__ = ["list_files", "pull", "send"]


def send(
    peer: str,
    /,
    *paths: Annotated[str, Option("What to send, and where to there.", "SRC... DEST")],
    json: Json = False,
) -> int:
    """Send files and folders to a machine.

    If DEST is a folder there they go into it; else a single one gets that name. A DEST that does
    not begin with / is looked up in the home directory there (write '~/x' in quotes, or your own
    shell puts your home here in its place).

    Each file is written beside its place, compared by SHA-256, and then renamed: what has its
    name is whole. If the connection is lost it goes on by itself once there is one again; after
    Ctrl-C, the same command goes on in the middle of a large file. Modes and times are kept.

    Symbolic links in a folder are sent as links if they point into that folder, and skipped
    otherwise; one that is named as SRC is followed. What cannot be read, or is no file, is
    skipped too: that is told, and makes the exit code 1.
    """
    *sources, dest = _paths(paths, "send")
    with progress_line(json=json) as draw:
        sending = Sending(sources, dest, on_progress=draw)
        moved = _move(sending, peer)
    return _tell(moved, f"sent to {peer}", json=json)


def pull(
    peer: str,
    /,
    *paths: Annotated[str, Option("What to fetch there, and where to here.", "SRC... DEST")],
    json: Json = False,
) -> int:
    """Fetch files and folders from a machine.

    If DEST is a folder here they go into it; else a single one gets that name. A SRC that does
    not begin with / is looked up in the home directory there.

    All else is as for loopsy send: whole files only, compared by SHA-256, going on after a cut;
    links that point out of the folder, and what cannot be read, are skipped.
    """
    *sources, dest = _paths(paths, "pull")
    with progress_line(json=json) as draw:
        pulling = Pulling(sources, dest, on_progress=draw)
        moved = _move(pulling, peer)
    return _tell(moved, f"fetched from {peer}", json=json)


def list_files(peer: str, path: str = "", /, *, json: Json = False) -> None:
    """List what is in a folder of a machine; by default in the home directory there."""

    async def ask() -> list[FileInfo]:
        async with _open(peer) as client:
            return await client.list_files(path)

    entries = run(ask)
    if json:
        print_json([_document(entry) for entry in entries])
    elif entries:
        table(("MODE", "SIZE", "CHANGED", "NAME"), [_row(entry) for entry in entries])


@asynccontextmanager
async def _open(machine: str) -> AsyncGenerator[Client]:
    async with open_client() as here:
        yield reach(here, machine)


def _paths(paths: tuple[str, ...], command: str) -> tuple[str, ...]:
    if len(paths) < 2:
        raise BadRequest(f"what and where to? Write loopsy {command} PEER SRC... DEST")
    return paths


def _move(moving: Moving, peer: str) -> Moved:
    try:
        return run(partial(keep_moving, moving, partial(_open, peer)))
    except KeyboardInterrupt:
        if moving.begun:
            note("interrupted; the same command again goes on in the middle of a large file")
        raise


def _tell(moved: Moved, what: str, *, json: bool) -> int:
    if json:
        skipped = [
            {"path": _text(each.path), "code": each.code, "why": each.why} for each in moved.skipped
        ]
        print_json({"files": moved.files, "bytes": moved.bytes, "skipped": skipped})
        return 1 if skipped else 0
    if not moved.files and len(moved.skipped) == 1:
        raise error_from_code(moved.skipped[0].code, moved.skipped[0].why)
    for each in moved.skipped:
        note(f"skipped: {clean(each.why)}")
    files = "1 file" if moved.files == 1 else f"{moved.files} files"
    say(f"{clean(what)}: {files}, {size(moved.bytes)}B, verified")
    return 1 if moved.skipped else 0


def _document(entry: FileInfo) -> dict[str, object]:
    return {
        "name": _text(entry.name),
        "kind": entry.kind,
        "size": entry.size,
        "mode": f"{entry.mode:04o}",
        "mtime": entry.mtime / 1e9,
        "target": None if entry.target is None else _text(entry.target),
    }


def _row(entry: FileInfo) -> tuple[str, str, str, str]:
    kinds = {"file": stat.S_IFREG, "folder": stat.S_IFDIR, "link": stat.S_IFLNK, "other": 0}
    name = _text(entry.name) + ("/" if entry.kind == "folder" else "")
    if entry.target is not None:
        name += f" -> {_text(entry.target)}"
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.mtime / 1e9))
    length = size(entry.size) if entry.kind == "file" else ""
    return stat.filemode(kinds[entry.kind] | entry.mode), length, changed, name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
