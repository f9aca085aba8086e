"""What comes in, put in its place: folders entered or made, files written, links made.

One `Writer` works through everything that the sender says, in order, in a thread. Files that are
complete are handed over as `Finished`: they are synced, which may take as long as the disk likes,
then get their names, and then the folders get their times.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import attrs

from loopsy_core.errors import BadRequest, LoopsyError, NotFound, ProtocolViolation, Refused
from loopsy_core.wire.transfer import (
    FileAgain,
    FileBegins,
    FileEnds,
    FileFrom,
    FileHave,
    FolderEnds,
    LinkThere,
    SmallFile,
)

from .denied import Identity
from .faults import readable
from .folder import Folder, check_name
from .parts import Part, private_name, remove_old_parts
from .symlinks import stays_inside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from loopsy_core.wire.transfer import SenderItem

    from .confine import Place

__all__ = ["Finished", "Writer"]

DEEPEST: Final = 110
"""Folders within one another; each is held open."""
MOST_UNSETTLED: Final = 48
"""Complete files that wait for the disk; each is held open."""


@attrs.define
class Finished:
    """What is complete but not yet on disk under its name."""

    parts: list[Part] = attrs.field(factory=list)
    folders: list[tuple[Folder, FolderEnds]] = attrs.field(factory=list)
    changed: dict[Identity, Folder] = attrs.field(factory=dict)
    """Folders that are not what the disk has of them."""
    last: bytes | None = None
    """The path of the last file or link."""
    files: int = 0
    size: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.parts or self.folders or self.changed)

    @property
    def large(self) -> bool:
        """Whether so much waits that more of it has to wait with us."""
        open_now = max(len(self.parts), len(self.folders), len(self.changed))
        return open_now >= MOST_UNSETTLED

    def name_files(self, mask: int) -> None:
        """Give the files, which are synced, their names, and the folders their modes and times."""
        for part in self.parts:
            part.finish()
        for folder, item in self.folders:
            folder.dress(item.mode & ~mask, item.mtime)
            self.changed[folder.identity] = folder

    def close(self) -> None:
        """Leave nothing of what was not settled."""
        for part in self.parts:
            part.close()


class Writer:
    """Puts in its place what one sender says; `close` it in any case."""

    def __init__(
        self, place: Place, *, into: bool, most: int | None, names: Collection[bytes] | None
    ) -> None:
        """Write at `place`: into a folder, or a single thing under that name.

        `into` says that it has to be a folder, `most` is the size of the largest file in bytes,
        and `names` are those that the sender may use in that folder (None for any).
        """
        if into and not place.is_folder:
            if place.found is None:
                raise NotFound(f"there is no folder {place.shown}; make it first")
            raise BadRequest(f"{place.shown} is not a folder")
        self._base = place.folder
        self._rename = place.name
        self._most = most
        self._names = names
        self._entered: list[tuple[bytes, Folder]] = []
        self._part: Part | None = None
        self._part_path = b""
        self.finished = Finished()
        remove_old_parts(self._base)

    def take(self, said: Sequence[SenderItem | bytes]) -> bool:
        """Do what was said; return whether the sender waits for `have`, which is then next."""
        asked = False
        for each in _gathered(said):
            if asked:
                raise ProtocolViolation("the sender did not wait to be told what is here")
            match each:
                case list():
                    self._need_part().write(each)
                case SmallFile():
                    self._small(each)
                case FileBegins():
                    asked = self._begin(each)
                case FileFrom():
                    self._go_on(each.offset)
                case FileEnds():
                    self._end(each)
                case FileAgain():
                    part, self._part = self._need_part(), None
                    part.void()
                    part.close()
                case FolderEnds():
                    folder = self._enter(self._split(each.path))
                    self.finished.folders.append((folder, each))
                case LinkThere():
                    self._link(each)
        return asked

    def hash_some(self, most: int) -> bool:
        """Look at the next `most` bytes of what is there of a file; return if there is more."""
        return self._need_part().hash_some(most)

    def have(self) -> FileHave:
        """Return what is here of the file that the sender asked about."""
        return self._need_part().receiving.have()

    def take_finished(self) -> Finished:
        """Hand over what is complete; whoever takes it syncs it."""
        finished, self.finished = self.finished, Finished()
        return finished

    def check_ended(self) -> None:
        """Raise `BadRequest` if the sender left in the middle of a file."""
        if self._part is not None:
            raise BadRequest(f"{self._part.shown} was not sent to its end")

    def close(self) -> None:
        """Let go of everything; a large file that is incomplete stays, to go on later."""
        if self._part is not None:
            self._part.close()
        self.finished.close()

    # Files.

    def _begin(self, item: FileBegins) -> bool:
        if self._part is not None:
            raise ProtocolViolation("a file begins in the middle of another")
        folder, name = self._open_place(item.path, item.size)
        about = (folder, name, item.size, item.mode, item.mtime)
        if item.ask:
            self._part = Part.same(*about) or Part.found(*about)
        else:
            self._part = Part.fresh(*about)
        self._part_path = item.path
        left = item.size - self._part.there
        if left > folder.room():
            self._part.void()
            raise LoopsyError(f"the disk has no space for the {left} bytes of {folder.say(name)}")
        return item.ask

    def _go_on(self, offset: int) -> None:
        part = self._need_part()
        if part.is_final and offset != part.size:  # it only seemed to be the same
            part.close()
            about = (part.folder, part.name, part.size, part.mode, part.mtime)
            self._part = part = Part.found(*about)
        part.go_on(offset)

    def _end(self, item: FileEnds) -> None:
        part, self._part = self._need_part(), None
        self._complete(part, self._part_path, item)

    def _small(self, item: SmallFile) -> None:
        if self._part is not None:
            raise ProtocolViolation("a file begins in the middle of another")
        size = len(item.data)
        folder, name = self._open_place(item.path, size)
        part = Part.fresh(folder, name, size, item.mode, item.mtime)
        try:
            part.write([item.data])
        except BaseException:
            part.close()
            raise
        self._complete(part, item.path, FileEnds(item.sha256))

    def _complete(self, part: Part, path: bytes, ends: FileEnds) -> None:
        try:
            part.end(ends)
        except BaseException:
            part.close()
            raise
        finished = self.finished
        finished.parts.append(part)
        finished.changed[part.folder.identity] = part.folder
        finished.last = path
        finished.files += 1
        finished.size += part.size

    def _open_place(self, path: bytes, size: int) -> tuple[Folder, bytes]:
        *way, name = self._split(path)
        if self._most is not None and size > self._most:
            raise Refused(
                f"{readable(path)} has {size} bytes, and at most"
                f" {self._most} are taken there (transfer.maxFileSize in its config.yaml)"
            )
        name = name if way else (self._rename or name)
        folder = self._enter(way)
        folder.check_may_be_written(name)
        return folder, name

    def _need_part(self) -> Part:
        if self._part is None:
            raise ProtocolViolation("bytes of a file come that did not begin")
        return self._part

    def _link(self, item: LinkThere) -> None:
        *way, name = steps = self._split(item.path)
        if not stays_inside(steps, item.target):
            raise Refused(f"{readable(item.path)} is a link that points outside of what is sent")
        folder = self._enter(way)
        folder.check_may_be_written(name)
        private = private_name(name)
        folder.link(private, item.target)
        try:
            folder.rename(private, name)
        except BaseException:
            folder.remove(private)
            raise
        self.finished.changed[folder.identity] = folder
        self.finished.last = item.path

    # Folders.

    def _split(self, path: bytes) -> list[bytes]:
        """Return the names of a path that the sender says; the first has to be an expected one."""
        steps = path.split(b"/")
        for step in steps:
            check_name(step)
        if self._rename is not None and self._names is None:
            self._names = (steps[0],)  # one thing gets that name, and no more than one
        if self._names is not None and steps[0] not in self._names:
            raise Refused(f"the other side sends {readable(steps[0])!r}, which nobody asked for")
        return steps

    def _enter(self, way: Sequence[bytes]) -> Folder:
        """Open the folder at `way`, making what is not there of it."""
        if len(way) > DEEPEST:
            raise BadRequest(f"{len(way)} folders within one another are too many")
        same = 0
        while same < min(len(way), len(self._entered)) and self._entered[same][0] == way[same]:
            same += 1
        del self._entered[same:]
        for name in way[same:]:
            above = self._entered[-1][1] if self._entered else self._base
            real = name if self._entered else (self._rename or name)
            check_name(real)
            self._entered.append((name, self._enter_one(above, real)))
        return self._entered[-1][1] if self._entered else self._base

    def _enter_one(self, above: Folder, name: bytes) -> Folder:
        found = above.look(name)
        if found is None:
            self.finished.changed[above.identity] = above
            return above.make(name)
        below = above.step(name)
        remove_old_parts(below)
        return below


def _gathered(said: Sequence[SenderItem | bytes]) -> Iterator[SenderItem | list[bytes]]:
    """Yield what was said, with pieces of Data that follow one another in one list."""
    for is_data, run in groupby(said, key=lambda each: isinstance(each, bytes)):
        if is_data:
            yield [each for each in run if isinstance(each, bytes)]
        else:
            yield from (each for each in run if not isinstance(each, bytes))
