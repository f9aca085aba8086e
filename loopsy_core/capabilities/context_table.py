"""The table of context: what each request does to it, as functions of a connection.

Every function is one step of a transaction; `now` is passed in, so that the tests own the clock.
An entry whose time is over counts as gone from that moment, whether it was swept away or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from loopsy_core.errors import Conflict, NotFound
from loopsy_core.wire import ContextInfo

if TYPE_CHECKING:
    import sqlite3

__all__ = ["CONTEXT_TABLE", "Removed", "delete", "get", "keys_from", "next_expiry", "put", "sweep"]

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

_INFO: Final = "key, revision, size, updated_at, updated_by, expires_at"
_LIVE: Final = "(expires_at IS NULL OR expires_at > ?)"


class Removed(NamedTuple):
    """An entry that is gone."""

    info: ContextInfo
    revision: int
    """Of its going."""


def put(
    connection: sqlite3.Connection,
    key: str,
    value: str,
    *,
    now: float,
    by: str,
    expires_at: float | None = None,
    if_revision: int | None = None,
) -> ContextInfo:
    """Set `key`; raises `Conflict` when it has another revision than `if_revision`."""
    _check(connection, key, now, if_revision)
    size = len(value.encode())
    info = ContextInfo(key, _next_revision(connection), size, now, by, expires_at)
    connection.execute(
        "INSERT OR REPLACE INTO context VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, value, size, info.revision, now, by, expires_at),
    )
    return info


def get(connection: sqlite3.Connection, key: str, now: float) -> tuple[ContextInfo, str]:
    """Return an entry and its value; raises `NotFound`."""
    row = connection.execute(
        f"SELECT {_INFO}, value FROM context WHERE key = ? AND {_LIVE}", (key, now)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is nothing under {key!r}")
    return ContextInfo(*row[:-1]), row[-1]


def delete(
    connection: sqlite3.Connection, key: str, *, now: float, if_revision: int | None = None
) -> Removed:
    """Delete an entry and return what it was; raises `NotFound` or `Conflict`."""
    found = _check(connection, key, now, if_revision)
    if found is None:
        raise NotFound(f"there is nothing under {key!r}")
    connection.execute("DELETE FROM context WHERE key = ?", (key,))
    return Removed(found, _next_revision(connection))


def keys_from(
    connection: sqlite3.Connection, prefix: str, after: str, limit: int, now: float
) -> list[ContextInfo]:
    """Return entries under `prefix` whose keys come behind `after`, in order."""
    # A range of the primary key, so that a page costs the same however many there are.
    begin, behind = max(prefix, after), _behind(prefix)
    rows = connection.execute(
        f"SELECT {_INFO} FROM context WHERE key >= ? AND key > ?"
        f" AND (? IS NULL OR key < ?) AND {_LIVE} ORDER BY key LIMIT ?",
        (begin, after, behind, behind, now, limit),
    )
    return [ContextInfo(*row) for row in rows]


def next_expiry(connection: sqlite3.Connection) -> float | None:
    """Return when the next entry's time is over."""
    row: tuple[float | None] = connection.execute("SELECT min(expires_at) FROM context").fetchone()
    return row[0]


def sweep(connection: sqlite3.Connection, now: float, limit: int) -> list[Removed]:
    """Delete entries whose time is over, a few at once."""
    rows = connection.execute(
        f"SELECT {_INFO} FROM context WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
        (now, limit),
    ).fetchall()
    removed: list[Removed] = []
    for row in rows:
        info = ContextInfo(*row)
        connection.execute("DELETE FROM context WHERE key = ?", (info.key,))
        removed.append(Removed(info, _next_revision(connection)))
    return removed


def _check(
    connection: sqlite3.Connection, key: str, now: float, if_revision: int | None
) -> ContextInfo | None:
    """Return what stands under `key`; raises `Conflict` unless it has that revision."""
    row = connection.execute(
        f"SELECT {_INFO} FROM context WHERE key = ? AND {_LIVE}", (key, now)
    ).fetchone()
    found = None if row is None else ContextInfo(*row)
    revision = 0 if found is None else found.revision
    if if_revision is not None and revision != if_revision:
        stands = f"has revision {revision}" if revision else "is not there"
        raise Conflict(f"{key!r} {stands}, not {if_revision}", revision=revision)
    return found


def _next_revision(connection: sqlite3.Connection) -> int:
    row: tuple[int] = connection.execute(
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
