"""What is asked about files: listing a folder, and moving files and folders either way.

Paths and names are bytes, as the system has them: not every name is UTF-8, and all of them
have to arrive as they were. Times are nanoseconds since 1970 (UTC), for a float would round them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from ..operation import Offset, Operation

__all__ = [
    "FetchFiles",
    "FileInfo",
    "FilePage",
    "FilesListed",
    "FilesMoved",
    "ListFiles",
    "PullFiles",
    "PushFiles",
    "SendFiles",
]

MOST_SOURCES: Final = 4096

FilePath: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=4096)]
FileName: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=1, max_length=1024)]
Mode: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
Nanoseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
FileKind: TypeAlias = Literal["file", "folder", "link", "other"]


class FileInfo(msgspec.Struct, frozen=True):
    """One file, folder or whatever else has a name."""

    name: FileName
    kind: FileKind
    size: Offset
    mode: Mode
    mtime: Nanoseconds
    target: FilePath | None = None
    """Where a symbolic link points."""


class FilePage(msgspec.Struct, frozen=True):
    """Some of the entries of a folder."""

    entries: list[FileInfo]


class FilesListed(msgspec.Struct, frozen=True):
    """All entries have been sent."""

    path: FilePath
    """What was listed, absolute, with no symbolic link in it."""
    folder: bool
    """Whether that is a folder; else the only entry is the file itself."""


class ListFiles(Operation[FilesListed], frozen=True, kw_only=True):
    """Stream what is in a folder, in no order, as Items (`FilePage`).

    A path that does not begin with / is looked up in the home directory of the node's user, and
    so is one that begins with ~.
    """

    op = "files.list"
    grant = "files.read"
    about = "path"
    reply = FilesListed

    path: FilePath


class FilesMoved(msgspec.Struct, frozen=True):
    """All that could be sent has been sent or, where files came in, is kept on disk."""

    files: Offset
    bytes: Offset


class PushFiles(Operation[FilesMoved], frozen=True, kw_only=True):
    """Send files and folders there; see PROTOCOL.md section 8 for the stream."""

    op = "files.push"
    grant = "files.write"
    limited_as = "transfer"
    about = "path"
    reply = FilesMoved

    path: FilePath
    """A folder that they go into or, for a single one, the name that it takes."""
    into: bool = False
    """Whether `path` has to be a folder that is there."""


class PullFiles(Operation[FilesMoved], frozen=True, kw_only=True):
    """Have files and folders sent here; see PROTOCOL.md section 8 for the stream."""

    op = "files.pull"
    grant = "files.read"
    limited_as = "transfer"
    about = "paths"
    reply = FilesMoved

    paths: Annotated[list[FilePath], msgspec.Meta(min_length=1, max_length=MOST_SOURCES)]
    after: FilePath | None = None
    """What has arrived already, up to this path of the stream; those files are not sent again."""


class _CarryFiles(Operation[FilesMoved], frozen=True, kw_only=True):
    """Have our node itself move files between here and the machine that this is asked of.

    So the bytes need not pass through whoever asks. It streams Items (`FilesCarried`). For this
    machine's own user only, and only where the node sees the same files: it answers `Refused` with
    `why` "elsewhere" where it does not.
    """

    about = "paths"
    reply = FilesMoved

    paths: Annotated[list[FilePath], msgspec.Meta(min_length=1, max_length=MOST_SOURCES)]
    dest: FilePath
    after: FilePath | None = None
    """What has been kept already, up to this path of the stream."""
    sight: Annotated[str, msgspec.Meta(max_length=4096)]
    """Which files whoever asks sees (`loopsy_core.files.sight`)."""


class SendFiles(_CarryFiles, frozen=True, kw_only=True):
    """Send what is at `paths`, which are absolute, as `PushFiles` does."""

    op = "files.send"
    grant = "admin"


class FetchFiles(_CarryFiles, frozen=True, kw_only=True):
    """Fetch what is at `paths` there to `dest`, which is absolute, as `PullFiles` does."""

    op = "files.fetch"
    grant = "admin"

    umask: Mode
