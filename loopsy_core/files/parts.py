"""A file while it comes in: written beside its place under a private name, and renamed at last.

The name of a large one is made of what the file is (name, size, time), so that the same file is
found again after a cut. Whoever writes it holds its lock. All of it blocks; call it in a thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from loopsy_core.errors import BadRequest, Busy, LoopsyError, Refused
from loopsy_core.wire.transfer import ReceivingFile

from .direct import WORTH_IT, DirectWriter
from .faults import explained
from .folder import Folder

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from loopsy_core.wire.transfer import FileEnds

__all__ = ["Part", "private_name", "remove_old_parts"]

FORGOTTEN: Final = 86_400.0
"""Seconds after which a part that nobody goes on with is removed."""
MOST_NAME: Final = 255
_PART: Final = re.compile(rb"\..+\.loopsy-[0-9a-f]{16}\.part", re.DOTALL)


def private_name(name: bytes, about: bytes | None = None) -> bytes:
    """Return what the file `name` is called until it is whole; `about` is what is known of it."""
    token = secrets.token_hex(8) if about is None else hashlib.sha256(about).hexdigest()[:16]
    tail = b".loopsy-" + token.encode("ascii") + b".part"
    return b"." + name[: MOST_NAME - len(tail) - 1] + tail


@attrs.define(eq=False)
class Part:
    """One file that comes in; `close` it in any case."""

    folder: Folder
    name: bytes
    size: int
    mode: int
    mtime: int
    descriptor: int
    private: bytes
    kept: bool
    """Whether it stays when it is not finished, to go on later."""
    receiving: ReceivingFile
    there: int = 0
    """Bytes that were there at first."""
    _direct: DirectWriter | None = None

    @classmethod
    def fresh(cls, folder: Folder, name: bytes, size: int, mode: int, mtime: int) -> Part:
        """Make one that is not to be found again."""
        private = private_name(name)
        descriptor = folder.create(private)
        receiving = ReceivingFile(size)
        receiving.begin(0)
        return cls(folder, name, size, mode, mtime, descriptor, private, False, receiving)

    @classmethod
    def found(cls, folder: Folder, name: bytes, size: int, mode: int, mtime: int) -> Part:
        """Open the one that an earlier try has left, or make it.

        Raises `Busy` while another transfer writes it.
        """
        about = b"%d %d " % (size, mtime) + name
        private = private_name(name, about)
        shown = folder.say(name)
        while True:
            descriptor, there = folder.change(private)
            try:
                if there.st_uid != os.geteuid() or there.st_nlink > 1:
                    raise Refused(f"{folder.say(private)} is not ours; remove it and try again")
                _lock(descriptor, shown)
                # Whoever had the lock may have finished the file and renamed it.
                if not _is_still(folder, private, descriptor):
                    os.close(descriptor)
                    continue
                with explained(shown):
                    os.fchmod(descriptor, 0o600)
                    size_there = os.fstat(descriptor).st_size
                    if size_there > size:
                        os.ftruncate(descriptor, 0)
                        size_there = 0
            except BaseException:
                os.close(descriptor)
                raise
            receiving = ReceivingFile(size)
            part = cls(folder, name, size, mode, mtime, descriptor, private, True, receiving)
            part.there = size_there
            return part

    @classmethod
    def same(cls, folder: Folder, name: bytes, size: int, mode: int, mtime: int) -> Part | None:
        """Open the file `name` that is there, if it seems to be the very same already.

        If its digest proves it there is nothing to write. Else the caller makes another part:
        what has a final name is never written to.
        """
        found = folder.look(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        if (found.st_size, found.st_mtime_ns) != (size, mtime) or found.st_uid != os.geteuid():
            return None
        descriptor, _ = folder.read(name)
        receiving = ReceivingFile(size)
        part = cls(folder, name, size, mode, mtime, descriptor, name, True, receiving)
        part.there = size
        return part

    @property
    def is_final(self) -> bool:
        """Whether it has its name already, and must not be written to."""
        return self.private == self.name

    @property
    def shown(self) -> str:
        """The path that it will have, for people."""
        return self.folder.say(self.name)

    def hash_some(self, most: int) -> bool:
        """Look at the next `most` bytes of what is there; return whether there is more."""
        with explained(self.shown):
            offset = self.receiving.offset
            data = os.pread(self.descriptor, min(most, self.there - offset), offset)
        if data:
            self.receiving.hash_prefix(data)
        return bool(data) and self.receiving.offset < self.there

    def go_on(self, offset: int) -> None:
        """Go on at `offset`, as the sender says."""
        self.receiving.begin(offset)
        if self.is_final:
            return
        with explained(self.shown):
            os.ftruncate(self.descriptor, offset)
            os.lseek(self.descriptor, offset, os.SEEK_SET)
        if self.size - offset >= WORTH_IT:
            self._direct = DirectWriter(self.descriptor, offset)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append some pieces. Where the disk does not take them, nothing of the file is kept."""
        for piece in pieces:
            self.receiving.take(piece)
        with self._kept_if_written():
            if self._direct is not None:
                self._direct.write(pieces)
                return
            views = [memoryview(piece) for piece in pieces]
            while views:
                written = os.writev(self.descriptor, views)
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if written:
                    views[0] = views[0][written:]

    def end(self, item: FileEnds) -> None:
        """Check that all of it is there, and that it is what was sent; else it is not kept."""
        try:
            self.receiving.end(item)
        except BadRequest as error:
            self.void()
            raise BadRequest(f"{self.shown}: {error}") from None
        self._flush()

    def _flush(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            with self._kept_if_written():
                direct.flush()

    @contextmanager
    def _kept_if_written(self) -> Generator[None]:
        with explained(self.shown):
            try:
                yield
            except OSError:
                self.void()
                raise

    def sync(self, umask: int) -> None:
        """Give it its mode and time, and bring it to the disk."""
        with explained(self.shown):
            os.fchmod(self.descriptor, self.mode & 0o777 & ~umask)
            os.utime(self.descriptor, ns=(time.time_ns(), self.mtime))
            os.fsync(self.descriptor)

    def finish(self) -> None:
        """Give it its name, in place of what may have had it, and close it."""
        if not self.is_final:
            self.folder.check_may_be_written(self.name)
            self.folder.rename(self.private, self.name)
        self.kept = True  # there is nothing left to remove
        self.close()

    def void(self) -> None:
        """Do not keep it: what is in it is wrong."""
        self.kept = False

    def close(self) -> None:
        """Close it; unless it was finished or is to be found again, nothing is left of it."""
        if self.descriptor < 0:
            return
        if self.kept:
            with suppress(LoopsyError):
                self._flush()  # to go on behind it
        descriptor, self.descriptor = self.descriptor, -1
        if not self.kept and not self.is_final:
            with suppress(LoopsyError):
                self.folder.remove(self.private)
        os.close(descriptor)


def remove_old_parts(folder: Folder) -> None:
    """Remove from a folder what transfers have left there that nobody went on with for a day."""
    too_old = time.time() - FORGOTTEN
    try:
        names = folder.entries()
    except LoopsyError:
        return  # it cannot be read, which matters to nobody who only writes there
    for name in names:
        if not _PART.fullmatch(name):
            continue
        with suppress(LoopsyError, OSError):
            descriptor, found = folder.read(name)
            try:
                if found.st_ctime < too_old and found.st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    folder.remove(name)
            finally:
                os.close(descriptor)


def _lock(descriptor: int, shown: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(f"{shown} is being written by another transfer") from None
    except OSError:
        pass  # a file system without locks


def _is_still(folder: Folder, name: bytes, descriptor: int) -> bool:
    found = folder.look(name)
    return found is not None and os.path.samestat(found, os.fstat(descriptor))
