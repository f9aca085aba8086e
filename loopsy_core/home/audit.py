"""The audit log: one line for each request, who asked what of what, and how it went.

JSON lines, appended as they come and rotated by size. Never what was typed, sent or stored, and
never a secret: only names, ids and paths.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

__all__ = ["AuditLine", "AuditLog", "follow_audit_log", "open_audit_log", "read_audit_log"]

MAX_FILE: Final = 8 << 20
"""Bytes of one file; then another is begun."""
FILES: Final = 5
"""Files that are kept, the one that is written included."""
LOOK: Final = 0.25
"""Seconds between two looks at whether the file has grown."""
LONGEST: Final = 300
"""Characters of a name or path that are kept."""

_log = logging.getLogger(__name__)


class AuditLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request."""

    at: str
    """When it ended: ISO 8601 with milliseconds, in UTC."""
    actor: str
    """Who asked: this machine's user, or the kind and name of a contact."""
    op: str
    result: str
    """`ok`, the code of an error, or `left` when the asker went away first."""
    ms: float
    """How long it took."""
    where: str | None = None
    """Which session, path, key or contact it was about."""
    contact: str | None = None
    """The asker's id; None for this machine's user."""
    to: str | None = None
    """The machine that it was passed on to."""


class AuditLog:
    """The file that is written; `open_audit_log` makes it."""

    def __init__(self, path: Path) -> None:
        """Append to `path`."""
        self._path = path
        self._descriptor = -1
        self._size = 0
        self._failed = False
        self._torn = False
        self._encoder = msgspec.json.Encoder()

    def note(
        self,
        *,
        now: float,
        actor: str,
        op: str,
        result: str,
        seconds: float,
        where: str | None = None,
        contact: str | None = None,
        to: str | None = None,
    ) -> None:
        """Write a line; `now` is in seconds since 1970. A full disk costs the line and no more."""
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        line = AuditLine(
            moment.replace("+00:00", "Z"),
            actor[:LONGEST],
            op[:LONGEST],
            result,
            round(seconds * 1000, 3),
            where and where[:LONGEST],
            contact,
            to and to[:LONGEST],
        )
        try:
            self._append(self._encoder.encode(line) + b"\n")
        except OSError as error:
            if not self._failed:
                _log.warning("the audit log cannot be written: %s", error.strerror)
            self._failed = True
        else:
            self._failed = False

    def close(self) -> None:
        """Write no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, line: bytes) -> None:
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._descriptor).st_size
        if self._size and self._size + len(line) > MAX_FILE:
            self.close()
            self._rotate()
            self._append(line)
            return
        if self._torn:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._size += written
        self._torn = written < len(line)  # the next line must not go down with this one
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _rotate(self) -> None:
        names = [_numbered(self._path, number) for number in range(FILES)]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            with suppress(FileNotFoundError):
                newer.replace(older)


@contextmanager
def open_audit_log(path: Path) -> Generator[AuditLog]:
    """Append to the log at `path` for as long as the block lasts."""
    log = AuditLog(path)
    try:
        yield log
    finally:
        log.close()


def read_audit_log(path: Path) -> Iterator[AuditLine]:
    """Read all that is kept, the oldest line first; what is no line is passed over."""
    for number in reversed(range(FILES)):
        with suppress(FileNotFoundError), _numbered(path, number).open("rb") as file:
            yield from _lines(file)


def follow_audit_log(path: Path) -> Iterator[AuditLine]:
    """Read all that is kept and then each line as it comes, for ever; blocks meanwhile.

    It looks every quarter of a second, for not every system tells of a file that has grown.
    """
    for number in reversed(range(1, FILES)):
        with suppress(FileNotFoundError), _numbered(path, number).open("rb") as file:
            yield from _lines(file)
    while True:
        with suppress(FileNotFoundError), path.open("rb") as file:
            yield from _lines(file)
            while _is_at(path, file):
                time.sleep(LOOK)
                yield from _lines(file)
            # Another was begun, but this one may have grown between our last two looks.
            yield from _lines(file)
            continue
        time.sleep(LOOK)


def _lines(file: BinaryIO) -> Iterator[AuditLine]:
    """Read what has come since the last time; a line that is half written waits for the next."""
    decoder = msgspec.json.Decoder(AuditLine)
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield decoder.decode(line)


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still names that file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return True  # it comes back with the next line


def _numbered(path: Path, number: int) -> Path:
    return path if not number else path.with_suffix(f".{number}{path.suffix}")
