"""Paths that are denied, through whatever name somebody gets there.

A denied folder is recognised by its device and inode, so that no bind mount, no other spelling
of its name and no symbolic link leads into it. What is denied but does not exist yet has neither;
it is recognised by its name within the folder that does, compared as loosely as any file system
compares names (upper and lower case, Unicode forms, characters that do not show).
"""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING, TypeAlias

from loopsy_core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Denied", "Identity", "identity_of"]

Identity: TypeAlias = tuple[int, int]
"""Device and inode: what a file is, whatever it is called."""


def identity_of(found: os.stat_result) -> Identity:
    """Return what this file is."""
    return found.st_dev, found.st_ino


class Denied:
    """Some paths, as they are at this moment; make a new one for each request."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Deny `paths` and everything below, whether they exist or not."""
        self._known: set[Identity] = set()
        # What is denied below a folder, as the folded names of the way there.
        self._below: dict[Identity, list[tuple[str, ...]]] = {}
        for path in paths:
            self._deny(os.path.realpath(path))

    def _deny(self, path: str) -> None:
        found = _stat(path)
        if found is not None:
            self._known.add(identity_of(found))
        names: list[str] = []
        # Also of one that exists: it may be removed and made anew while we are at work.
        while path != (parent := os.path.dirname(path)):
            names.insert(0, _folded(os.fsencode(os.path.basename(path))))
            found = _stat(parent)
            if found is not None:
                self._below.setdefault(identity_of(found), []).append(tuple(names))
                return
            path = parent

    def check_name(self, folder: Identity, name: bytes, shown: str) -> None:
        """Raise `Refused` if `name` is denied in `folder`, whether it is there or not."""
        if (_folded(name),) in self._below.get(folder, ()):
            raise Refused(f"{shown} is denied here")

    def check(self, folder: Identity, name: bytes, found: os.stat_result, shown: str) -> None:
        """Raise `Refused` if what was `found` as `name` in `folder` is denied."""
        identity = identity_of(found)
        if identity in self._known:
            raise Refused(f"{shown} is denied here")
        ways = self._below.get(folder)
        if ways is None:
            return
        self.check_name(folder, name, shown)
        folded = _folded(name)
        # A folder on the way to what did not exist: from here on the rest of the way counts.
        if rest := [way[1:] for way in ways if len(way) > 1 and way[0] == folded]:
            known = self._below.setdefault(identity, [])
            known.extend(way for way in rest if way not in known)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _folded(name: bytes) -> str:
    text = unicodedata.normalize("NFKC", os.fsdecode(name)).casefold()
    # HFS+ overlooks characters that do not show: ".s<joiner>sh" is ".ssh" there.
    return "".join(char for char in text if unicodedata.category(char) != "Cf")
