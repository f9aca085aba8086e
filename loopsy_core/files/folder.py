"""A folder by its descriptor: what is done in it happens there, wherever its path leads by then.

Every name is a single step (no `/`, no `..`), no step follows a symbolic link, and each is
compared with what is denied. All of it blocks; call it in a thread.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest

from .denied import identity_of
from .faults import explained, kind_of, readable

if TYPE_CHECKING:
    from weakref import WeakSet

    from .denied import Denied, Identity

__all__ = ["Folder", "check_name"]

# O_PATH asks for no more than the right to go through, which is all that /home may give.
_STEP: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SAFELY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""For files: a symbolic link is an error, a named pipe does not make us wait for its other end."""
_CLOSED_TO_OTHERS: Final = 0o700
_MOST_NAME: Final = 255


def check_name(name: bytes) -> None:
    """Raise `BadRequest` unless `name` is a single step down."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise BadRequest(f"{readable(name)!r} cannot be the name of a file")
    if len(name) > _MOST_NAME:
        raise BadRequest(f"the name {readable(name[:40])}... is too long")


class Folder:
    """An open folder, closed when nobody holds it any more: many do, at different times.

    An error may hold it too, for as long as there is the error; so whoever opened the first of a
    family closes them all in the end.
    """

    def __init__(
        self, descriptor: int, path: bytes, denied: Denied, host: bytes, family: WeakSet[Folder]
    ) -> None:
        """Take over `descriptor`; `path` is where it was, which people are shown as `host:path`."""
        self._descriptor = descriptor
        self.path = path
        self._denied = denied
        self._host = host
        self.identity: Identity = identity_of(os.fstat(descriptor))
        self._family = family
        family.add(self)

    def __del__(self) -> None:
        self.close()

    @classmethod
    def root(cls, denied: Denied, host: bytes, family: WeakSet[Folder]) -> Folder:
        """Open the folder / of this machine, which is shown as `host:/`."""
        return cls(os.open("/", _STEP), b"/", denied, host, family)

    @classmethod
    def close_all(cls, family: WeakSet[Folder]) -> None:
        """Close all that is open of a family; nothing can be done in them any more."""
        for folder in list(family):
            folder.close()

    def close(self) -> None:
        """Close it, for whoever holds it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def path_of(self, name: bytes) -> bytes:
        """Return the path of `name`."""
        return self.path.removesuffix(b"/") + b"/" + name

    @property
    def shown(self) -> str:
        """The path of this folder, for people."""
        return self._show(self.path)

    def say(self, name: bytes) -> str:
        """Return the path of `name`, for people."""
        return self._show(self.path_of(name))

    def _show(self, path: bytes) -> str:
        return readable(self._host + b":" + path if self._host else path)

    # Looking.

    def look(self, name: bytes) -> os.stat_result | None:
        """Return what `name` is, None if there is nothing; a symbolic link is not followed."""
        check_name(name)
        with explained(self.say(name)):
            try:
                return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def entries(self) -> list[bytes]:
        """Return the names of all that is in here, sorted."""
        with explained(self.shown):
            readable_one = self._open_here()
            try:
                return sorted(os.fsencode(name) for name in os.listdir(readable_one))
            finally:
                os.close(readable_one)

    def target(self, name: bytes) -> bytes:
        """Return where the symbolic link `name` points."""
        with explained(self.say(name)):
            return os.readlink(name, dir_fd=self._descriptor)

    def stat(self) -> os.stat_result:
        """Return what the system knows of this folder."""
        return os.fstat(self._descriptor)

    def room(self) -> int:
        """Return how many bytes the disk has left for us."""
        with explained(self.shown):
            here = self._open_here()
            try:
                found = os.fstatvfs(here)
            finally:
                os.close(here)
        return found.f_bavail * found.f_frsize

    def check(self, name: bytes, found: os.stat_result) -> None:
        """Raise `Refused` if what was `found` as `name` in here is denied."""
        self._denied.check(self.identity, name, found, self.say(name))

    # Going down.

    def step(self, name: bytes) -> Folder:
        """Open the folder `name` in here."""
        check_name(name)
        with explained(self.say(name)):
            descriptor = os.open(name, _STEP, dir_fd=self._descriptor)
        path = self.path_of(name)
        below = Folder(descriptor, path, self._denied, self._host, self._family)
        self.check(name, below.stat())
        return below

    def read(self, name: bytes) -> tuple[int, os.stat_result]:
        """Open the file `name` for reading; the caller closes the descriptor."""
        return self._open(name, os.O_RDONLY)

    def change(self, name: bytes) -> tuple[int, os.stat_result]:
        """Open the file `name` for reading and writing, making it (0600) if it is not there."""
        self._denied.check_name(self.identity, name, self.say(name))
        return self._open(name, os.O_RDWR | os.O_CREAT)

    def create(self, name: bytes) -> int:
        """Make the file `name` (0600), which must not be there, for writing."""
        self._denied.check_name(self.identity, name, self.say(name))
        return self._open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)[0]

    def _open(self, name: bytes, how: int) -> tuple[int, os.stat_result]:
        check_name(name)
        shown = self.say(name)
        with explained(shown):
            descriptor = os.open(name, how | _SAFELY, 0o600, dir_fd=self._descriptor)
        try:
            found = os.fstat(descriptor)
            self.check(name, found)
            if not stat.S_ISREG(found.st_mode):
                raise BadRequest(f"{shown} is {kind_of(found.st_mode)}, not a file")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found

    # Changing.

    def check_may_be_written(self, name: bytes) -> os.stat_result | None:
        """Return what a new file `name` would replace, None for nothing.

        Raises `Refused` if it is denied, and `BadRequest` if it is no file and no link.
        """
        shown = self.say(name)
        self._denied.check_name(self.identity, name, shown)
        found = self.look(name)
        if found is not None:
            self.check(name, found)
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
                raise BadRequest(f"{shown} is {kind_of(found.st_mode)} there already")
        return found

    def make(self, name: bytes) -> Folder:
        """Make the folder `name`, closed to others, and open it."""
        check_name(name)
        shown = self.say(name)
        self._denied.check_name(self.identity, name, shown)
        with explained(shown), suppress(FileExistsError):
            os.mkdir(name, _CLOSED_TO_OTHERS, dir_fd=self._descriptor)
        return self.step(name)

    def rename(self, old: bytes, new: bytes) -> None:
        """Give `old` the name `new`, in place of what may be there."""
        check_name(new)
        with explained(self.say(new)):
            os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def link(self, name: bytes, target: bytes) -> None:
        """Make the symbolic link `name`."""
        check_name(name)
        with explained(self.say(name)):
            os.symlink(target, name, dir_fd=self._descriptor)

    def remove(self, name: bytes) -> None:
        """Remove the file or link `name`, if it is there."""
        with explained(self.say(name)), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def dress(self, mode: int, mtime: int) -> None:
        """Give this folder a mode and a time; what is not ours keeps its own."""
        with explained(self.shown), suppress(PermissionError):
            here = self._open_here()
            try:
                os.fchmod(here, mode)
                os.utime(here, ns=(mtime, mtime))
            finally:
                os.close(here)

    def sync(self) -> None:
        """Bring the names in here to the disk, which syncing the files does not promise."""
        with explained(self.shown):
            here = self._open_here()
            try:
                os.fsync(here)
            finally:
                os.close(here)

    def _open_here(self) -> int:
        # Anew, for a descriptor that only goes through can be neither read nor synced.
        how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(b".", how, dir_fd=self._descriptor)
