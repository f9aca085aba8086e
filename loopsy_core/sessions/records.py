"""What each session last showed, kept on disk: it outlives the host, and the machine's end.

One file a session, written whole or not at all. The next host finds them: a session that had
ended is as it was, and one that had not is lost, with its last known screen.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.errors import LoopsyError
from loopsy_core.home import write_private
from loopsy_core.wire import SessionInfo, decode, encode

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Record", "Records"]

LARGEST: Final = 64 << 20
"""Bytes of a file that is read; a picture of ten thousand long lines has some ten million."""
_OURS: Final = re.compile(r"[0-9a-f]{8}")

_log = logging.getLogger(__name__)


class Record(msgspec.Struct, frozen=True):
    """One session, as it was when this was written."""

    info: SessionInfo
    picture: bytes
    """Terminal output that draws its screen."""


class Records:
    """The files in one folder. All of it blocks on the disk for a moment."""

    def __init__(self, folder: Path) -> None:
        """Keep records in `folder`, which is made when the first is written."""
        self._folder = folder

    def read_all(self) -> list[Record]:
        """Return all that can be read, the oldest session first; the rest is left alone."""
        found = [record for path in self._files() if (record := _read(path)) is not None]
        return sorted(found, key=lambda record: record.info.created_at)

    def write(self, record: Record) -> None:
        """Write a record; a disk that is full costs the record and nothing else."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self._folder / record.info.id, encode(record))
        except (LoopsyError, OSError) as error:
            _log.warning("what session %s shows could not be kept: %s", record.info.id, error)

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


def _read(path: Path) -> Record | None:
    try:
        if path.stat().st_size > LARGEST:
            raise LoopsyError("it is too large")
        record = decode(path.read_bytes(), Record)
        if record.info.id != path.name:
            raise LoopsyError("it is another session's")
        return record
    except (LoopsyError, OSError) as error:
        _log.warning("%s is no record of a session: %s", path.name, error)
        return None
