"""How much of each machine waits, lies unread and is remembered: counted as it changes.

To count the rows anew for each message would take longer the more there are. Triggers do it, for
rows also go with the entries of context that they refer to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .entries import Entries

__all__ = ["MAIL_COUNTS", "MailCounts", "mail_counts"]

_ROW: Final = "INSERT OR IGNORE INTO mail_counts (peer) VALUES ({peer});"
_ADD: Final = "UPDATE mail_counts SET {column} = {column} + {more} WHERE peer = {peer};"
_COLUMNS: Final = "waiting, unread, unread_bytes, remembered"


def _change(row: str, sign: str, columns: dict[str, str]) -> str:
    """Return statements that count the row `new` or `old`, `sign` being + or -."""
    peer = f"{row}.peer"
    return _ROW.format(peer=peer) + "".join(
        _ADD.format(column=column, more=f"{sign}{row}.{value}" if value else f"{sign}1", peer=peer)
        for column, value in columns.items()
    )


def _counting(table: str, columns: dict[str, str], changes: str) -> str:
    """Return triggers that keep count of a table: a column's value, or 1 for each row if none."""
    more, less = _change("new", "+", columns), _change("old", "-", columns)
    return (
        f"CREATE TRIGGER {table}_more AFTER INSERT ON {table} BEGIN {more} END;"
        f"CREATE TRIGGER {table}_less AFTER DELETE ON {table} BEGIN {less} END;"
        f"CREATE TRIGGER {table}_other AFTER UPDATE OF {changes} ON {table}"
        f" BEGIN {less} {more} END;"
    )


MAIL_COUNTS: Final = f"""
    CREATE TABLE mail_counts (
        peer TEXT PRIMARY KEY,
        waiting INTEGER NOT NULL DEFAULT 0,
        unread INTEGER NOT NULL DEFAULT 0,
        unread_bytes INTEGER NOT NULL DEFAULT 0,
        remembered INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    INSERT INTO mail_counts (peer) SELECT peer FROM sent UNION
        SELECT peer FROM inbox UNION SELECT peer FROM received;
    UPDATE mail_counts SET
        waiting = (SELECT count(*) FROM sent WHERE sent.peer = mail_counts.peer AND waiting),
        (unread, unread_bytes) = (SELECT count(*), coalesce(sum(size), 0) FROM inbox
            WHERE inbox.peer = mail_counts.peer),
        remembered = (SELECT count(*) FROM received WHERE received.peer = mail_counts.peer);
    DROP INDEX inbox_of_peer;
    DROP INDEX received_of_peer;
    {_counting("sent", {"waiting": "waiting"}, "waiting")}
    {_counting("inbox", {"unread": "", "unread_bytes": "size"}, "peer, size")}
    {_counting("received", {"remembered": ""}, "peer")}
    """


class MailCounts(NamedTuple):
    """What there is of one machine."""

    waiting: int
    """Messages for it in the outbox that it has not got."""
    unread: int
    """Messages from it in the inbox."""
    unread_bytes: int
    remembered: int
    """Messages from it that would be known for doubles."""


def mail_counts(entries: Entries, peer: str) -> MailCounts:
    """Return the counts of the machine `peer`."""
    row = entries.connection.execute(
        f"SELECT {_COLUMNS} FROM mail_counts WHERE peer = ?", (peer,)
    ).fetchone()
    return MailCounts(*row) if row else MailCounts(0, 0, 0, 0)
