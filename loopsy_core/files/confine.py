"""From a path that somebody wrote to an open folder, never outside of what is allowed.

The system is not asked to follow a path, for between looking at one and using it somebody may
change what it means. We go down ourselves, one name at a time, each from the descriptor of the
folder before (`openat` with `O_NOFOLLOW`), and read symbolic links ourselves: they are followed
as far as they stay inside. What is inside is told by device and inode of the folders that were
really passed, so neither `..` nor prefixes of names matter.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import attrs

from loopsy_core.errors import BadRequest, NotFound, Refused

from .denied import Denied, Identity, identity_of
from .faults import kind_of
from .folder import Folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Self

__all__ = ["Confinement", "Place", "last_name"]

MOST_LINKS: Final = 40
"""Symbolic links on one path; as many as Linux follows."""
MOST_STEPS: Final = 4096
"""Steps of one path, those of its links included."""
MOST_DEEP: Final = 256
"""Folders within one another; each is held open on the way."""

_OUTSIDE: Final = (
    "that is outside of the folders which files may come from and go to there"
    " (transfer.allowedPaths in its config.yaml)"
)


@attrs.frozen
class Place:
    """Where a path leads: a folder, or a name in one."""

    folder: Folder
    name: bytes | None
    """None if it is the folder itself."""
    found: os.stat_result | None
    """What is there, None for nothing yet."""
    label: bytes
    """What the thing is called when it is sent elsewhere; empty for the folder /."""

    @property
    def is_folder(self) -> bool:
        """Whether the path leads to a folder."""
        return self.name is None

    @property
    def shown(self) -> str:
        """The path, for people."""
        return self.folder.shown if self.name is None else self.folder.say(self.name)


class Confinement:
    """What one asker may reach. Make one for each request: it knows folders by what they are.

    It is a context manager; at the end of its block all folders are closed that it led to.
    """

    def __init__(
        self,
        allowed: Iterable[Path] | None,
        denied: Iterable[Path],
        *,
        base: bytes,
        tilde: bool = True,
        host: bytes = b"",
    ) -> None:
        """Allow what is in the folders `allowed` (None for all) and not in `denied`.

        `base` is the absolute path that others are relative to. With `tilde` a path may begin
        with ~, and messages call this machine `host`.
        """
        self._denied = Denied(denied)
        self._allowed = None if allowed is None else _Allowed(allowed)
        self._base = base
        self._tilde = tilde
        self._host = host
        self._family: WeakSet[Folder] = WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        Folder.close_all(self._family)

    def find(self, path: bytes) -> Place:
        """Follow `path` and return where it leads. Its last name need not exist.

        Raises `NotFound` when something before that does not exist, `Refused` when it leads
        outside or to what is denied, and `BadRequest` when it cannot be a path.
        """
        absolute = self._absolute(path)
        root = Folder.root(self._denied, self._host, self._family)
        return _Way(absolute, root, self._allowed).follow()

    def _absolute(self, path: bytes) -> bytes:
        if b"\0" in path:
            raise BadRequest("a path cannot hold a NUL character")
        if self._tilde and path.startswith(b"~"):
            path = os.path.expanduser(path)
        return path if path.startswith(b"/") else self._base + b"/" + path


class _Way:
    """One path on its way down."""

    def __init__(self, path: bytes, root: Folder, allowed: _Allowed | None) -> None:
        self._allowed = allowed
        self._passed = [root]
        self._todo = deque(_steps(path))
        self._links = 0
        self._written = last_name(path)

    def follow(self) -> Place:
        for _ in range(MOST_STEPS):
            if not self._todo:
                return self._end_in_folder()
            name = self._todo.popleft()
            if name == b"..":
                # By what was passed, and not by what the system says is above: that may have
                # been moved elsewhere meanwhile.
                if len(self._passed) > 1:
                    self._check_known()
                    self._passed.pop()
            elif name != b"." and (place := self._step(name)) is not None:
                return place
        self._check_inside()
        raise BadRequest("the path has too many steps")

    def _step(self, name: bytes) -> Place | None:
        folder = self._passed[-1]
        try:
            found = folder.look(name)
            if found is not None and stat.S_ISLNK(found.st_mode):
                self._follow_link(folder, name)
                return None
            if found is not None and stat.S_ISDIR(found.st_mode):
                self._go_down(folder, name)
                return None
        except (NotFound, BadRequest, Refused):
            self._check_inside()  # whoever is outside learns nothing about what is there
            raise
        self._check_inside()
        if self._todo:
            if found is None:
                raise NotFound(f"there is no folder {folder.say(name)}")
            raise BadRequest(f"{folder.say(name)} is {kind_of(found.st_mode)}, not a folder")
        if found is not None:
            folder.check(name, found)
        return Place(folder, name, found, self._written or name)

    def _go_down(self, folder: Folder, name: bytes) -> None:
        if len(self._passed) > MOST_DEEP:
            raise BadRequest("the path has too many folders within one another")
        self._passed.append(folder.step(name))

    def _follow_link(self, folder: Folder, name: bytes) -> None:
        self._links += 1
        if self._links > MOST_LINKS:
            raise Refused(f"too many symbolic links lead to {folder.say(name)}")
        target = folder.target(name)
        if target.startswith(b"/"):
            del self._passed[1:]
        self._todo.extendleft(reversed(_steps(target)))

    def _end_in_folder(self) -> Place:
        self._check_inside()
        folder = self._passed[-1]
        label = self._written or folder.path.rpartition(b"/")[2]
        return Place(folder, None, folder.stat(), label)

    def _check_inside(self) -> None:
        """Raise `Refused` unless a folder that is allowed has been passed."""
        if self._allowed is not None and not self._is_inside(self._allowed):
            raise Refused(_OUTSIDE)

    def _check_known(self) -> None:
        """Raise `Refused` unless the asker may know that the folder is there that we are in.

        Else a path that goes outside and back would lead inside just if there is such a folder.
        """
        if self._allowed is None or self._passed[-1].identity in self._allowed.above:
            return
        self._check_inside()

    def _is_inside(self, allowed: _Allowed) -> bool:
        return any(folder.identity in allowed.folders for folder in self._passed)


class _Allowed:
    """The folders that are allowed, as they are at this moment."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Allow what is in `paths`, those of them that exist."""
        self.folders: set[Identity] = set()
        self.above: set[Identity] = set()
        """Those on the way down to them, from /."""
        for path in paths:
            if (found := _stat(path)) is not None:
                self.folders.add(identity_of(found))
                parents = map(_stat, path.resolve().parents)
                self.above.update(identity_of(each) for each in parents if each is not None)


def last_name(path: bytes) -> bytes:
    """Return the name under which what `path` leads to is sent; empty if that is not told by it.

    A symbolic link is sent under its own name, like whatever is written.
    """
    steps = [step for step in path.split(b"/") if step not in (b"", b".")]
    if not steps or steps[-1] == b".." or (len(steps) == 1 and path.startswith(b"~")):
        return b""
    return steps[-1]


def _steps(path: bytes) -> list[bytes]:
    """Return the names of a path; one that ends with / ends in a folder, so `.` stands there."""
    steps = [step for step in path.split(b"/") if step]
    if path.endswith(b"/"):
        steps.append(b".")
    return steps


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
