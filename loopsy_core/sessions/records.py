"""What each session last showed, kept on disk: it outlives the host, and the machine's end.

One file a session, written whole or not at all: a head, and behind it the picture. The next host
reads the heads: a session that had ended is as it was, and one that had not is lost, with its
last known screen. Pictures are read when somebody wants to see them.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from loopsy_core.errors import LoopsyError
from loopsy_core.home import write_private
from loopsy_core.wire import SessionInfo, decode, encode

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Head", "Record", "Records"]

LARGEST: Final = 64 << 20
"""Bytes of a picture that is kept; one of ten thousand long lines has some ten million."""
MOST: Final = 1000
"""Sessions of a former host that are taken up; as many as can run at once."""
MOST_BYTES: Final = 1 << 30
"""Bytes of all their files together. Of either, what is too much goes, the oldest first."""
LARGEST_HEAD: Final = 1 << 20
_LENGTH: Final = Struct(">I")
_OURS: Final = re.compile(r"[0-9a-f]{8}")

_log = logging.getLogger(__name__)


class Head(msgspec.Struct, frozen=True):
    """One session as it was when its picture was drawn."""

    info: SessionInfo
    epoch: str
    """In which the place in its output is told where the picture was drawn."""
    offset: int
    resizes: int


@attrs.frozen
class Record:
    """What is kept of one session."""

    head: Head
    picture: bytes = attrs.field(repr=False)
    """Terminal output that draws its screen."""


class Records:
    """The files in one folder. All of it blocks on the disk for a moment."""

    def __init__(self, folder: Path) -> None:
        """Keep records in `folder`, which is made when the first is written."""
        self._folder = folder

    def take_up(self) -> list[Head]:
        """Return the heads that can be read, the oldest session first.

        What cannot be read is left alone; what is too much is removed.
        """
        found = []
        for path in self._files():
            if (head := _read_head(path)) is not None:
                with suppress(OSError):
                    found.append((head, path.stat().st_size))
        found.sort(key=lambda each: each[0].info.created_at, reverse=True)
        kept: list[Head] = []
        total = 0
        for head, size in found:
            total += size
            if len(kept) < MOST and total <= MOST_BYTES:
                kept.append(head)
            else:
                _log.warning("session %s is forgotten: there are too many", head.info.id)
                self.remove(head.info.id)
        return kept[::-1]

    def read(self, session_id: str) -> Record | None:
        """Return what is kept of a session, None if that cannot be read."""
        path = self._folder / session_id
        try:
            with path.open("rb") as file:
                head = _head_of(file, session_id)
                return Record(head, file.read(LARGEST))
        except (LoopsyError, OSError) as error:
            _log.warning("%s is no record of a session: %s", session_id, error)
            return None

    def write(self, record: Record) -> bool:
        """Write a record and return True; a disk that is full costs the record and nothing else."""
        session_id = record.head.info.id
        head = encode(record.head)
        picture = record.picture if len(record.picture) <= LARGEST else b""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self._folder / session_id, _LENGTH.pack(len(head)) + head + picture)
        except (LoopsyError, OSError) as error:
            _log.warning("what session %s shows could not be kept: %s", session_id, error)
            return False
        return True

    def write_head(self, head: Head) -> None:
        """Write how a session is, and leave its picture as it was kept, if it was."""
        kept = self.read(head.info.id) if (self._folder / head.info.id).exists() else None
        self.write(Record(head, b"" if kept is None else kept.picture))

    def remove(self, session_id: str) -> None:
        """Forget a session."""
        with suppress(OSError):
            (self._folder / session_id).unlink(missing_ok=True)

    def any(self) -> bool:
        """Whether there is any record."""
        return bool(self._files())

    def _files(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)]
        except OSError:
            return []


def _read_head(path: Path) -> Head | None:
    try:
        with path.open("rb") as file:
            return _head_of(file, path.name)
    except (LoopsyError, OSError) as error:
        _log.warning("%s is no record of a session: %s", path.name, error)
        return None


def _head_of(file: BinaryIO, session_id: str) -> Head:
    """Read the head of a file, which then stands at its picture."""
    start = file.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        raise LoopsyError("it is cut off")
    (length,) = _LENGTH.unpack(start)
    if length > LARGEST_HEAD:
        raise LoopsyError("its beginning makes no sense")
    head = decode(file.read(length), Head)
    if head.info.id != session_id:
        raise LoopsyError("it is another session's")
    return head
