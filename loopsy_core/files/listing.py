"""What is in a folder, page by page."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import LoopsyError, NotFound
from loopsy_core.wire import FileInfo, FilePage

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from loopsy_core.wire.operations.files import FileKind

    from .confine import Place
    from .folder import Folder

__all__ = ["list_place"]

PAGE: Final = 200
"""Entries that are told at once; each has a name and perhaps a target of a few kilobytes."""
LARGE: Final = 65_536
"""Bytes of names and targets after which a page is told earlier."""


def list_place(place: Place) -> Iterator[FilePage]:
    """Yield the entries of a folder, or the one file that `place` is. Blocks.

    Raises `NotFound` when there is nothing.
    """
    if place.found is None:
        raise NotFound(f"there is no file or folder {place.shown}")
    if place.name is not None:
        yield FilePage([_info(place.folder, place.name, place.found)])
        return
    page: list[FileInfo] = []
    size = 0
    for name in place.folder.entries():
        found = place.folder.look(name)
        if found is None:
            continue  # it vanished while we were looking
        page.append(_info(place.folder, name, found))
        size += len(name) + len(page[-1].target or b"")
        if len(page) >= PAGE or size >= LARGE:
            yield FilePage(page)
            page, size = [], 0
    if page:
        yield FilePage(page)


def _info(folder: Folder, name: bytes, found: os.stat_result) -> FileInfo:
    kind = _kind(found.st_mode)
    target = None
    if kind == "link":
        try:
            target = folder.target(name)
        except LoopsyError:
            kind = "other"  # replaced in this very moment
    mode = stat.S_IMODE(found.st_mode)
    return FileInfo(name, kind, found.st_size, mode, found.st_mtime_ns, target)


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"
