"""The entries of context within one transaction: whatever changes them goes through here.

An entry whose time is over counts as gone from that moment, whether it was swept away or not.
What changes is noted, so that whoever watches is told once it is on disk.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from loopsy_core.errors import Conflict, NotFound
from loopsy_core.wire import ContextInfo

if TYPE_CHECKING:
    import sqlite3

__all__ = ["CONTEXT_TABLE", "Change", "Entries", "Entry", "Why"]

CONTEXT_TABLE: Final = """
    CREATE TABLE context (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        size INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        updated_at REAL NOT NULL,
        updated_by TEXT NOT NULL,
        expires_at REAL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX context_expiry ON context (expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE context_revision (last INTEGER NOT NULL) STRICT;
    INSERT INTO context_revision VALUES (0);
    """
"""Messages and tasks have tables beside it, whose rows go when their entry goes, whoever deletes
it: they refer to `context (key)` with ON DELETE CASCADE."""

_INFO: Final = "key, revision, size, updated_at, updated_by, expires_at"
_LIVE: Final = "(expires_at IS NULL OR expires_at > ?)"

Why: TypeAlias = Literal["deleted", "expired"]


class Entry(NamedTuple):
    """A key and its value."""

    info: ContextInfo
    value: str


class Change(NamedTuple):
    """A key was set, or is gone."""

    key: str
    revision: int
    why: Why | None
    """None for a key that was set."""


class Entries:
    """All entries, as one transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        """Work on `connection`; `now` is in seconds since 1970."""
        self.connection = connection
        self.now = now
        self.changes: list[Change] = []
        self.soonest = math.inf
        """When the first of those that were set here expires."""

    def put(
        self,
        key: str,
        value: str,
        *,
        by: str,
        expires_at: float | None = None,
        if_revision: int | None = None,
    ) -> ContextInfo:
        """Set `key`; raises `Conflict` when it has another revision than `if_revision`."""
        if if_revision is not None:
            self._check(key, if_revision)
        size = len(value.encode())
        info = ContextInfo(key, self._next_revision(), size, self.now, by, expires_at)
        # Not REPLACE, which would delete the entry first, and with it what refers to it.
        self.connection.execute(
            "INSERT INTO context VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " value = excluded.value, size = excluded.size, revision = excluded.revision,"
            " updated_at = excluded.updated_at, updated_by = excluded.updated_by,"
            " expires_at = excluded.expires_at",
            (key, value, size, info.revision, self.now, by, expires_at),
        )
        self.changes.append(Change(key, info.revision, None))
        if expires_at is not None:
            self.soonest = min(self.soonest, expires_at)
        return info

    def find(self, key: str) -> Entry | None:
        """Return an entry, None if there is none."""
        row = self.connection.execute(
            f"SELECT {_INFO}, value FROM context WHERE key = ? AND {_LIVE}", (key, self.now)
        ).fetchone()
        return None if row is None else Entry(ContextInfo(*row[:-1]), row[-1])

    def get(self, key: str) -> Entry:
        """Return an entry; raises `NotFound`."""
        entry = self.find(key)
        if entry is None:
            raise NotFound(f"there is nothing under {key!r}")
        return entry

    def delete(self, key: str, *, if_revision: int | None = None) -> ContextInfo:
        """Delete an entry and return what it was; raises `NotFound` or `Conflict`."""
        found = self._check(key, if_revision)
        if found is None:
            raise NotFound(f"there is nothing under {key!r}")
        self._remove(key, "deleted")
        return found

    def infos(self, prefix: str, after: str, limit: int) -> list[ContextInfo]:
        """Return entries under `prefix` whose keys come behind `after`, in order."""
        begin, behind = max(prefix, after), _behind(prefix)
        # A range of the primary key, so that a page costs the same however many there are.
        rows = self.connection.execute(
            f"SELECT {_INFO} FROM context WHERE key >= ? AND key > ?"
            f" AND (? IS NULL OR key < ?) AND {_LIVE} ORDER BY key LIMIT ?",
            (begin, after, behind, behind, self.now, limit),
        )
        return [ContextInfo(*row) for row in rows]

    def next_expiry(self) -> float | None:
        """Return when the next entry's time is over."""
        row: tuple[float | None] = self.connection.execute(
            "SELECT min(expires_at) FROM context WHERE expires_at IS NOT NULL"
        ).fetchone()
        return row[0]

    def sweep(self, limit: int) -> None:
        """Delete entries whose time is over, a few at once."""
        rows = self.connection.execute(
            "SELECT key FROM context WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
            (self.now, limit),
        ).fetchall()
        for (key,) in rows:
            self._remove(key, "expired")

    def last_revision(self) -> int:
        """Return the revision of the last change."""
        row: tuple[int] = self.connection.execute("SELECT last FROM context_revision").fetchone()
        return row[0]

    def _check(self, key: str, if_revision: int | None) -> ContextInfo | None:
        """Return what stands under `key`; raises `Conflict` unless it has that revision."""
        row = self.connection.execute(
            f"SELECT {_INFO} FROM context WHERE key = ? AND {_LIVE}", (key, self.now)
        ).fetchone()
        found = None if row is None else ContextInfo(*row)
        revision = 0 if found is None else found.revision
        if if_revision is not None and revision != if_revision:
            stands = f"has revision {revision}" if revision else "is not there"
            raise Conflict(f"{key!r} {stands}, not {if_revision}", revision=revision)
        return found

    def _remove(self, key: str, why: Why) -> None:
        self.connection.execute("DELETE FROM context WHERE key = ?", (key,))
        self.changes.append(Change(key, self._next_revision(), why))

    def _next_revision(self) -> int:
        row: tuple[int] = self.connection.execute(
            "UPDATE context_revision SET last = last + 1 RETURNING last"
        ).fetchone()
        return row[0]


def _behind(prefix: str) -> str | None:
    """Return the least text that is behind all that begin with `prefix`, in the order of UTF-8."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if 0xD800 <= last <= 0xDFFF:
            last = 0xE000  # surrogates are no characters
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return None
