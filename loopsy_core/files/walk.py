"""What there is to send: files and folders in a fixed order, each opened safely.

The order is that of the names, byte by byte, a folder behind everything in it. It is the same
each time, so after a cut a path says how far we were. All of it blocks; call it in a thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from loopsy_core.errors import BadRequest, LoopsyError, NotFound
from loopsy_core.wire.transfer import SMALL, FileSkipped, FolderEnds, LinkThere, SmallFile

from .faults import explain, kind_of
from .symlinks import stays_inside

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from .confine import Confinement, Place
    from .folder import Folder

__all__ = ["OpenFile", "Sent", "find_sources", "sizes", "walk"]

DEEPEST: Final = 100
"""Folders within one another; each is held open."""
MODE: Final = 0o777
"""What is told of a mode: never setuid, setgid or sticky."""
TRIES: Final = 2
"""How often a small file is read that changes meanwhile."""


@attrs.frozen
class OpenFile:
    """A file that does not fit into one Item; whoever gets it closes the descriptor."""

    path: bytes
    descriptor: int
    found: os.stat_result
    shown: str

    def changed(self) -> bool:
        """Whether it is no longer what it was when it was opened."""
        now = os.fstat(self.descriptor)
        return (now.st_size, now.st_mtime_ns) != (self.found.st_size, self.found.st_mtime_ns)


Sent: TypeAlias = SmallFile | OpenFile | LinkThere | FolderEnds | FileSkipped


def find_sources(confinement: Confinement, paths: Iterable[bytes]) -> list[Place]:
    """Return where `paths` lead, in the order in which what is there is sent.

    Raises `NotFound` or `BadRequest` for what cannot be sent at all, and when two of them would
    get the same name.
    """
    places = [confinement.find(path) for path in paths]
    for place in places:
        if place.found is None:
            raise NotFound(f"there is no file or folder {place.shown}")
        if not place.is_folder and not stat.S_ISREG(place.found.st_mode):
            raise BadRequest(f"{place.shown} is {kind_of(place.found.st_mode)}, not a file")
        if not place.label:
            raise BadRequest("the folder / as a whole has no name to be sent under")
    ordered = sorted(places, key=lambda place: place.label)
    for one, other in pairwise(ordered):
        if one.label == other.label:
            raise BadRequest(f"{one.shown} and {other.shown} would get the same name there")
    return ordered


def sizes(places: Iterable[Place]) -> Iterator[int]:
    """Yield the size of each file that there is to send, as far as can be told."""
    for place in places:
        if place.name is None:
            yield from _sizes(place.folder, DEEPEST)
        elif place.found is not None:
            yield place.found.st_size


def _sizes(folder: Folder, deepest: int) -> Iterator[int]:
    try:
        names = folder.entries()
    except LoopsyError:
        return
    for name in names:
        try:
            found = folder.look(name)
            if found is not None and stat.S_ISREG(found.st_mode):
                yield found.st_size
            elif found is not None and stat.S_ISDIR(found.st_mode) and deepest:
                yield from _sizes(folder.step(name), deepest - 1)
        except (LoopsyError, OSError):
            continue


def walk(places: Iterable[Place], after: bytes | None = None) -> Generator[Sent]:
    """Yield everything to send that comes after the path `after`; what cannot be sent, too."""
    done = None if after is None else tuple(after.split(b"/"))
    for place in places:
        way = (place.label,)
        if _is_done(way, done):
            continue
        if place.name is None:
            with closing(_walk_folder(place.folder, way, done)) as below:
                yield from below
        else:
            yield _read(place.folder, place.name, way)


def _walk_folder(
    folder: Folder, way: tuple[bytes, ...], done: tuple[bytes, ...] | None
) -> Generator[Sent]:
    try:
        names = folder.entries()
    except LoopsyError as error:
        yield _skipped(way, error)
        return
    for name in names:
        below = (*way, name)
        if not _is_done(below, done):
            with closing(_walk_entry(folder, name, below, done)) as entries:
                yield from entries
    found = folder.stat()
    yield FolderEnds(b"/".join(way), found.st_mode & MODE, found.st_mtime_ns)


def _walk_entry(
    folder: Folder, name: bytes, way: tuple[bytes, ...], done: tuple[bytes, ...] | None
) -> Generator[Sent]:
    try:
        found = folder.look(name)
        if found is None:
            raise NotFound(f"{folder.say(name)} vanished before it was read")
        if stat.S_ISLNK(found.st_mode):
            yield _read_link(folder, name, way)
            return
        if not stat.S_ISDIR(found.st_mode):
            yield _read(folder, name, way)
            return
        if len(way) > DEEPEST:
            raise BadRequest(f"{folder.say(name)} lies in more than {DEEPEST} folders")
        below = folder.step(name)
    except LoopsyError as error:
        yield _skipped(way, error)
        return
    with closing(_walk_folder(below, way, done)) as entries:
        yield from entries


def _read(folder: Folder, name: bytes, way: tuple[bytes, ...]) -> Sent:
    path = b"/".join(way)
    shown = folder.say(name)
    try:
        for _ in range(TRIES):
            try:
                descriptor, found = folder.read(name)
            except NotFound:
                raise NotFound(f"{shown} vanished before it was read") from None
            if found.st_size > SMALL:
                return OpenFile(path, descriptor, found, shown)
            file = OpenFile(path, descriptor, found, shown)
            try:
                data = os.read(descriptor, SMALL + 1)
                changed = len(data) != found.st_size or file.changed()
            finally:
                os.close(descriptor)
            if not changed:
                digest = hashlib.sha256(data).digest()
                return SmallFile(path, found.st_mode & MODE, found.st_mtime_ns, data, digest)
        raise LoopsyError(f"{shown} changed each time that it was read; try again")
    except OSError as error:
        return _skipped(way, explain(error, shown))
    except LoopsyError as error:
        return _skipped(way, error)


def _read_link(folder: Folder, name: bytes, way: tuple[bytes, ...]) -> Sent:
    target = folder.target(name)
    if not stays_inside(way, target):
        raise BadRequest(f"{folder.say(name)} is a link that points outside of what is sent")
    return LinkThere(b"/".join(way), target)


def _skipped(way: tuple[bytes, ...], error: LoopsyError) -> FileSkipped:
    # As in a Fault: half a surrogate pair cannot be written.
    why = error.message[:2000].encode(errors="backslashreplace").decode()[:2000]
    return FileSkipped(b"/".join(way), error.code, why)


def _is_done(way: tuple[bytes, ...], done: tuple[bytes, ...] | None) -> bool:
    """Whether all below `way`, itself included, comes before or at `done`."""
    return (done is not None and way != done[: len(way)] and way < done) or way == done
