"""Files by HTTP: sent and fetched whole and verified, and folders listed, here or on a machine."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, aclosing, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias
from urllib.parse import quote

import msgspec
import trio

from loopsy_core.client import Pulling, Sending, keep_moving
from loopsy_core.errors import BadRequest
from loopsy_core.wire import FileInfo, FilePage, ListFiles, read_reply

from .camel import in_ms
from .route import Call, OnPeer, Route
from .spool import MULTIPART, RAW, open_spool, read_file, spool_form, spool_raw
from .streaming import stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.client import Client, Moved

    from .route import Stream

__all__ = ["ROUTES"]

MOST_ENTRIES: Final = 200_000
"""Entries of a folder that fit one answer."""

FilePath: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class WhereTo(OnPeer, frozen=True, rename="camel"):
    """Where an uploaded file goes to, unless the form says so; of a raw one, also its name."""

    dest_path: FilePath | None = None


class ToSend(msgspec.Struct, frozen=True, rename="camel"):
    """Files of this machine to send to another; in the place of an upload."""

    source_path: FilePath | None = None
    """A file or folder of this machine: /... or ~/..."""
    dest_path: FilePath | None = None
    """A folder there that is there, or the name to take."""


class ToFetch(msgspec.Struct, frozen=True, rename="camel"):
    """What is to be fetched."""

    source_path: FilePath
    save_to: FilePath | None = None
    """Where to keep it on this machine; without it the answer is the file, which is to be one."""


class ToList(msgspec.Struct, frozen=True):
    """What is to be listed."""

    path: FilePath


class Transferred(msgspec.Struct, frozen=True):
    """It is on disk, and what is there is what was sent."""

    path: str
    """The destination, as it was given."""
    size: int
    """Bytes."""
    files: int
    duration: int
    """Milliseconds."""
    checksum: str | None
    """SHA-256 in hex, of a file that was uploaded."""
    skipped: list[str]
    """What was not sent, and why: unreadable files, say."""


class Entry(msgspec.Struct, frozen=True):
    """A file, folder or whatever else has a name."""

    name: str
    path: str
    type: Literal["file", "directory", "symlink", "other"]
    size: int
    modified: int
    target: str | None
    """Where a symbolic link points."""


class Listed(msgspec.Struct, frozen=True):
    """What is in a folder, sorted by name."""

    path: str
    """The folder, absolute."""
    files: list[Entry]


_TYPES: Final[dict[str, Literal["file", "directory", "symlink", "other"]]] = {
    "file": "file",
    "folder": "directory",
    "link": "symlink",
    "other": "other",
}


async def push(call: Call[ToSend, WhereTo]) -> Transferred:
    """Send a file to where it is to be: an upload, or what lies on this machine."""
    content_type = call.incoming.content_type
    kind = content_type.partition(";")[0].strip().lower()
    dest = call.query.dest_path
    if kind not in (MULTIPART, RAW):
        source = call.body.source_path
        if source is None:
            raise BadRequest("sourcePath: is missing; or upload a file, as a form or as it is")
        return await _send(call, _here(source, "sourcePath"), call.body.dest_path or dest, None)
    async with open_spool() as folder:
        if kind == MULTIPART:
            came = await spool_form(folder, call.incoming.body, content_type)
            dest = came.fields.get("destPath") or dest
        else:
            name = (dest or "").rpartition("/")[2]
            came = await spool_raw(folder, call.incoming.body, name)
        return await _send(call, str(came.path), dest, came.checksum)


async def _send(
    call: Call[ToSend, WhereTo], source: str, dest: str | None, checksum: str | None
) -> Transferred:
    if not dest:
        raise BadRequest("destPath: is missing")
    began = perf_counter()
    sending = Sending([source], dest, home=call.incoming.home)
    moved = await keep_moving(sending, lambda: nullcontext(call.client))
    return _transferred(dest, moved, began, checksum)


async def pull(call: Call[ToFetch, OnPeer]) -> Transferred | Stream:
    """Fetch a file as it is; or a file or folder to a place on this machine."""
    wanted = call.body
    if wanted.save_to is not None:
        began = perf_counter()
        dest = _here(wanted.save_to, "saveTo")
        return _transferred(wanted.save_to, await _fetch(call, dest), began, None)
    if await _is_folder(call.client, wanted.source_path):
        raise BadRequest("sourcePath: is a folder; say with saveTo where to keep it")
    name = wanted.source_path.rpartition("/")[2] or "file"
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(open_spool())
        path = folder / "file"
        await _fetch(call, str(path))
        size = str((await trio.Path(path).stat()).st_size)
        headers = {
            "Content-Length": size,
            "X-Loopsy-File-Size": size,
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        }
        return await stream(RAW, _read(stack.pop_all(), path), headers)


async def _read(stack: AsyncExitStack, path: Path) -> AsyncGenerator[bytes]:
    async with stack, aclosing(read_file(path)) as pieces:
        yield b""
        async for piece in pieces:
            yield piece


async def _fetch(call: Call[ToFetch, OnPeer], dest: str) -> Moved:
    pulling = Pulling([call.body.source_path], dest, home=call.incoming.home)
    return await keep_moving(pulling, lambda: nullcontext(call.client))


async def list_folder(call: Call[ToList, OnPeer]) -> Listed:
    """List a folder, or the one file that a path is."""
    entries: list[FileInfo] = []
    operation = ListFiles(path=os.fsencode(call.body.path))
    async with call.client.open_call(operation) as listing:
        listing.end()
        while (piece := await listing.receive()) is not None:
            if not isinstance(piece, bytes):
                entries += listing.read(piece, FilePage).entries
            if len(entries) > MOST_ENTRIES:
                raise BadRequest(f"path: has more than {MOST_ENTRIES} entries")
        listed = read_reply(operation, await listing.answer())
    folder = listed.path if listed.folder else os.path.dirname(listed.path)
    entries.sort(key=lambda entry: entry.name)
    return Listed(_text(listed.path), [_entry(folder, entry) for entry in entries])


async def _is_folder(client: Client, path: str) -> bool:
    """Look, without reading a folder to its end."""
    operation = ListFiles(path=os.fsencode(path))
    seen = 0
    async with client.open_call(operation) as listing:
        listing.end()
        while seen < 2 and (piece := await listing.receive()) is not None:
            if not isinstance(piece, bytes):
                seen += len(listing.read(piece, FilePage).entries)
        return seen > 1 or read_reply(operation, await listing.answer()).folder


def _here(path: str, field: str) -> str:
    """Return a path of this machine; the folder that a daemon runs in is nobody's business."""
    expanded = os.path.expanduser(path)
    if not expanded.startswith("/"):
        raise BadRequest(f"{field}: must begin with / or ~/")
    return expanded


def _transferred(dest: str, moved: Moved, began: float, checksum: str | None) -> Transferred:
    return Transferred(
        path=dest,
        size=moved.bytes,
        files=moved.files,
        duration=in_ms(perf_counter() - began),
        checksum=checksum,
        skipped=[f"{_text(each.path)}: {each.why}" for each in moved.skipped],
    )


def _entry(folder: bytes, info: FileInfo) -> Entry:
    return Entry(
        name=_text(info.name),
        path=_text(os.path.join(folder, info.name)),
        type=_TYPES[info.kind],
        size=info.size,
        modified=info.mtime // 1_000_000,
        target=None if info.target is None else _text(info.target),
    )


def _text(path: bytes) -> str:
    """Return a path as text, with escapes for what is none."""
    return path.decode("utf-8", "backslashreplace")


ROUTES: Final = (
    Route(
        "POST",
        "/transfer/push",
        push,
        "transfer",
        ToSend,
        WhereTo,
        Transferred,
        uploads=(MULTIPART, RAW),
    ),
    Route("POST", "/transfer/pull", pull, "transfer", ToFetch, OnPeer, Transferred, downloads=RAW),
    Route("POST", "/transfer/list", list_folder, "transfer", ToList, OnPeer, Listed),
)
