"""What the system says about files, as a sentence of ours that names the file."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest, Busy, LoopsyError, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["explain", "explained", "kind_of", "readable"]

_SENTENCES: Final[dict[int, tuple[type[LoopsyError], str]]] = {
    errno.ENOENT: (NotFound, "there is no file or folder {}"),
    errno.ENOTDIR: (BadRequest, "{} is not a folder"),
    errno.EISDIR: (BadRequest, "{} is a folder"),
    errno.ENOTEMPTY: (BadRequest, "{} is a folder"),
    errno.EEXIST: (Busy, "somebody else has just made {}"),
    errno.ELOOP: (Refused, "{} is a symbolic link, which is not followed here"),
    errno.EACCES: (Refused, "the system does not permit it: {}"),
    errno.EPERM: (Refused, "the system does not permit it: {}"),
    errno.ENXIO: (BadRequest, "{} is a socket or a device, not a file"),
    errno.EROFS: (Refused, "{} is on a file system that can only be read"),
    errno.ENOSPC: (LoopsyError, "no space is left on the disk for {}"),
    errno.EDQUOT: (LoopsyError, "the disk quota leaves no space for {}"),
    errno.EFBIG: (LoopsyError, "{} would be larger than what the system allows"),
    errno.ENAMETOOLONG: (BadRequest, "the name is too long: {}"),
    errno.EMFILE: (Busy, "too many files are open here already: {}"),
    errno.ENFILE: (Busy, "too many files are open here already: {}"),
}


def explain(error: OSError, shown: str) -> LoopsyError:
    """Return the error of ours that says what the system said about the file `shown`."""
    kind, sentence = _SENTENCES.get(error.errno or 0, (LoopsyError, ""))
    if not sentence:
        return LoopsyError(f"{shown}: {error.strerror or error}")
    return kind(sentence.format(shown))


@contextmanager
def explained(shown: str) -> Generator[None]:
    """Turn an `OSError` that leaves the block into one of ours."""
    try:
        yield
    except OSError as error:
        raise explain(error, shown) from None


def readable(path: bytes) -> str:
    """Return a path for a person, with escapes for what is not UTF-8 in it."""
    return path.decode("utf-8", "backslashreplace")


def kind_of(mode: int) -> str:
    """Return what a file of this mode is, as a person calls it."""
    for test, kind in (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return kind
    return "a device"


def umask() -> int:
    """Return this process's umask."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    # Elsewhere it can only be had by setting it. A file that another thread makes in that very
    # moment is closed to others, which harms nobody.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sight() -> str:
    """Return what tells processes apart that do not see the same files under the same paths."""
    root = os.stat("/")
    try:
        mounts = os.readlink("/proc/self/ns/mnt")
    except OSError:
        mounts = ""
    groups = " ".join(map(str, sorted({os.getegid(), *os.getgroups()})))
    return f"{mounts} {root.st_dev} {root.st_ino} as {os.geteuid()} in {groups}"[:4096]
