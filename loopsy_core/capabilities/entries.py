"""The entries of context within one transaction: whatever changes them goes through here.

What is brought from outside has to find room (`take_in`). What becomes of it later has not (`put`):
a task is finished and a message delivered though the disk's share is used up, or it stayed so. An
entry whose time is over counts as gone from that moment, whether it was swept away or not.
What changes is noted, so that whoever watches is told once it is on disk.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from loopsy_core.errors import Conflict, Full, NotFound
from loopsy_core.home import ContextConfig
from loopsy_core.wire import ContextInfo

if TYPE_CHECKING:
    import sqlite3

__all__ = ["CONTEXT_SIZES", "CONTEXT_TABLE", "Change", "Entries", "Entry", "Why"]

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

CONTEXT_SIZES: Final = """
    ALTER TABLE context ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE context_revision ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE context_revision ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    UPDATE context_revision SET (entries, size) =
        (SELECT count(*), coalesce(sum(size + length(CAST(key AS BLOB))), 0) FROM context);
    CREATE TABLE context_share (
        owner TEXT PRIMARY KEY,
        entries INTEGER NOT NULL,
        size INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER context_more AFTER INSERT ON context BEGIN
        UPDATE context_revision
            SET entries = entries + 1, size = size + new.size + length(CAST(new.key AS BLOB));
    END;
    CREATE TRIGGER context_less AFTER DELETE ON context BEGIN
        UPDATE context_revision
            SET entries = entries - 1, size = size - old.size - length(CAST(old.key AS BLOB));
    END;
    CREATE TRIGGER context_other AFTER UPDATE OF size ON context WHEN new.size <> old.size BEGIN
        UPDATE context_revision SET size = size + new.size - old.size;
    END;
    CREATE TRIGGER share_more AFTER INSERT ON context WHEN new.owner <> '' BEGIN
        INSERT INTO context_share VALUES
            (new.owner, 1, new.size + length(CAST(new.key AS BLOB)))
            ON CONFLICT (owner) DO UPDATE
            SET entries = entries + excluded.entries, size = size + excluded.size;
    END;
    CREATE TRIGGER share_less AFTER DELETE ON context WHEN old.owner <> '' BEGIN
        UPDATE context_share
            SET entries = entries - 1, size = size - old.size - length(CAST(old.key AS BLOB))
            WHERE owner = old.owner;
        DELETE FROM context_share WHERE owner = old.owner AND entries = 0;
    END;
    CREATE TRIGGER share_other AFTER UPDATE OF size, owner ON context
        WHEN old.owner <> '' OR new.owner <> '' BEGIN
        UPDATE context_share
            SET entries = entries - 1, size = size - old.size - length(CAST(old.key AS BLOB))
            WHERE owner = old.owner;
        INSERT INTO context_share
            SELECT new.owner, 1, new.size + length(CAST(new.key AS BLOB)) WHERE new.owner <> ''
            ON CONFLICT (owner) DO UPDATE
            SET entries = entries + excluded.entries, size = size + excluded.size;
        DELETE FROM context_share WHERE owner = old.owner AND entries = 0;
    END;
    """
"""How many entries there are and how large, with their keys: in all, and of each contact. Kept by
triggers, for entries also go with what they refer to."""

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


class _Sizes(NamedTuple):
    """Entries, and the bytes of their keys and values."""

    entries: int
    size: int


class Entries:
    """All entries, as one transaction sees and changes them."""

    def __init__(
        self, connection: sqlite3.Connection, now: float, limits: ContextConfig | None = None
    ) -> None:
        """Work on `connection`; `now` is in seconds since 1970, and `limits` bound `take_in`."""
        self.connection = connection
        self.now = now
        self._limits = limits or ContextConfig()
        self._before = _Sizes(0, 0)
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
        owner: str | None = None,
    ) -> ContextInfo:
        """Set `key`; raises `Conflict` when it has another revision than `if_revision`.

        It counts as `owner`'s from then on: a contact, or "" for this machine; with None as whose
        it was.
        """
        if if_revision is not None:
            self._check(key, if_revision)
        size = len(value.encode())
        info = ContextInfo(key, self._next_revision(), size, self.now, by, expires_at)
        # Not REPLACE, which would delete the entry first, and with it what refers to it.
        self.connection.execute(
            "INSERT INTO context VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " value = excluded.value, size = excluded.size, revision = excluded.revision,"
            " updated_at = excluded.updated_at, updated_by = excluded.updated_by,"
            " expires_at = excluded.expires_at"
            + ("" if owner is None else ", owner = excluded.owner"),
            (key, value, size, info.revision, self.now, by, expires_at, owner or ""),
        )
        self.changes.append(Change(key, info.revision, None))
        if expires_at is not None:
            self.soonest = min(self.soonest, expires_at)
        return info

    def take_in(
        self,
        key: str,
        value: str,
        *,
        by: str,
        owner: str,
        expires_at: float | None = None,
        if_revision: int | None = None,
    ) -> ContextInfo:
        """Do what `put` does with what comes from outside; raises `Full` if that takes too much.

        It is the caller's to undo what was put then, as every error of a transaction is undone.
        """
        share = self._share(owner) if owner else _Sizes(0, 0)
        info = self.put(
            key, value, by=by, expires_at=expires_at, if_revision=if_revision, owner=owner
        )
        added, before, limits = len(key.encode()) + info.size, self._before, self._limits
        # Most of the time it would fit even if it replaced nothing, and needs no second look.
        if before.entries >= limits.max_entries or before.size + added > limits.max_size:
            most = _Sizes(limits.max_entries, limits.max_size)
            _refuse_growth(before, self._sizes(), most, "The context here", "max")
        if owner:
            most = _Sizes(limits.contact_max_entries, limits.contact_max_size)
            what = "What you have in the context here"
            _refuse_growth(share, self._share(owner), most, what, "contactMax")
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
            raise Conflict(f"{key!r} {stands}; you asked for {if_revision}", revision=revision)
        return found

    def _remove(self, key: str, why: Why) -> None:
        self.connection.execute("DELETE FROM context WHERE key = ?", (key,))
        self.changes.append(Change(key, self._next_revision(), why))

    def _next_revision(self) -> int:
        row: tuple[int, int, int] = self.connection.execute(
            "UPDATE context_revision SET last = last + 1 RETURNING last, entries, size"
        ).fetchone()
        self._before = _Sizes(*row[1:])
        return row[0]

    def _sizes(self) -> _Sizes:
        row: tuple[int, int] = self.connection.execute(
            "SELECT entries, size FROM context_revision"
        ).fetchone()
        return _Sizes(*row)

    def _share(self, owner: str) -> _Sizes:
        """Return what a contact has; of this machine's own nobody keeps count."""
        row: tuple[int, int] | None = self.connection.execute(
            "SELECT entries, size FROM context_share WHERE owner = ?", (owner,)
        ).fetchone()
        return _Sizes(*row) if row else _Sizes(0, 0)


def _refuse_growth(before: _Sizes, after: _Sizes, most: _Sizes, what: str, setting: str) -> None:
    """Raise `Full` for what has grown beyond its limit; to become less is always allowed."""
    for name, unit in (("entries", "entries"), ("size", "bytes")):
        limit, now = getattr(most, name), getattr(after, name)
        if now > limit and now > getattr(before, name):
            raise Full(
                f"{what} has reached its limit of {limit} {unit}: delete something, or raise"
                f" context.{setting}{name.title()} in config.yaml there",
                limit=limit,
            )


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
