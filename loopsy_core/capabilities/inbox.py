"""The inbox: messages that have come, which of them are doubles, and the word that they were read.

Every function is one step of a transaction, as in `outbox.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loopsy_core.errors import Busy, Conflict, NotFound
from loopsy_core.wire import MessageEnvelope

from .envelopes import HERE, inbox_prefix, put_envelope
from .mail_counts import mail_counts
from .outbox import was_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loopsy_core.wire import Delivery

    from .entries import Entries

__all__ = [
    "INBOX_TABLES",
    "acknowledge",
    "forget_old",
    "forget_peer",
    "next_receipts",
    "put",
    "receive",
    "settle_receipts",
    "take_name",
]

INBOX_TABLES: Final = """
    CREATE TABLE inbox (
        key TEXT PRIMARY KEY REFERENCES context (key) ON DELETE CASCADE,
        peer TEXT NOT NULL,
        size INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX inbox_of_peer ON inbox (peer, size);
    CREATE TABLE received (
        id TEXT PRIMARY KEY,
        peer TEXT NOT NULL,
        forget_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX received_age ON received (forget_at);
    CREATE INDEX received_of_peer ON received (peer);
    CREATE TABLE receipts (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        peer TEXT NOT NULL,
        id TEXT NOT NULL,
        forget_at REAL NOT NULL
    ) STRICT;
    CREATE INDEX receipts_of_peer ON receipts (peer, seq);
    CREATE INDEX receipts_age ON receipts (forget_at);
    CREATE TABLE inbox_name (name TEXT NOT NULL) STRICT;
    """
"""`inbox` has a row for as long as a message is unread there; `received` remembers what has come,
to drop doubles; `receipts` wait to be told to the sender."""

REMEMBERED: Final = 86_400.0
"""Seconds after a message's end in which a double of it is known for one. Its sender gives up at
its end, by its own clock: this is how far the two clocks may part."""
MOST_UNREAD: Final = 10_000
"""Messages of one machine that may lie in the inbox; then it has to wait."""
MOST_UNREAD_BYTES: Final = 32 << 20
MOST_REMEMBERED: Final = 200_000
"""Messages of one machine that are remembered: two a second, and some 20 MiB."""
FORGOTTEN: Final = 100
"""Old things that are forgotten at once, whenever something new comes."""


def receive(
    entries: Entries, messages: Sequence[Delivery], *, peer: str, sender: str, here: str
) -> None:
    """Put messages that have come into the inbox, but for those that have come before.

    Raises `Busy` when too many of that machine lie there unread, and `Conflict` when another has
    sent one with the same id.
    """
    for message in messages:
        row = entries.connection.execute(
            "SELECT peer FROM received WHERE id = ?", (message.id,)
        ).fetchone()
        if row is not None and row[0] != peer:
            raise Conflict(f"another machine has sent a message with the id {message.id!r}")
        if row is not None:
            continue
        envelope = MessageEnvelope(
            sender, here, message.ts, message.id, message.type, message.body, message.reply_to
        )
        put(entries, envelope, peer, entries.now + message.ttl)
    _check_room(entries, peer, here)


def put(entries: Entries, envelope: MessageEnvelope, peer: str, expires_at: float) -> None:
    """Put a message of the machine `peer` into the inbox; raises `Full` for want of room."""
    forget_old(entries)
    key = inbox_prefix(envelope.to) + envelope.id
    size = put_envelope(entries, key, envelope, expires_at, owner=peer)
    # Not REPLACE, which deletes without the triggers that keep count.
    entries.connection.execute(
        "INSERT INTO inbox VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
        " SET peer = excluded.peer, size = excluded.size",
        (key, peer, size),
    )
    entries.connection.execute(
        "INSERT INTO received VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET peer = excluded.peer, forget_at = excluded.forget_at",
        (envelope.id, peer, expires_at + REMEMBERED),
    )


def acknowledge(entries: Entries, message_id: str, *, here: str) -> bool:
    """Take a message out of the inbox, and queue the word of it to its sender.

    Returns whether it was there: one that was acknowledged before is fine. Raises `NotFound` for
    one that never came.
    """
    key = inbox_prefix(here) + message_id
    row = entries.connection.execute("SELECT peer FROM inbox WHERE key = ?", (key,)).fetchone()
    # There may be one that somebody has put there by hand, whose sender looks for no receipt.
    if entries.find(key) is None:
        known = entries.connection.execute(
            "SELECT 1 FROM received WHERE id = ?", (message_id,)
        ).fetchone()
        if known is None:
            raise NotFound(f"no message {message_id!r} has come here")
        return False
    entries.delete(key)
    if row is not None and row[0] == HERE:
        was_read(entries, message_id, peer=HERE, name=here)
    elif row is not None:
        entries.connection.execute(
            "INSERT INTO receipts (peer, id, forget_at) VALUES (?, ?, ?)",
            (row[0], message_id, entries.now + REMEMBERED),
        )
    return True


def next_receipts(entries: Entries, peer: str, most: int) -> list[tuple[int, str]]:
    """Return the number and the message of receipts that are to be told to `peer`."""
    return entries.connection.execute(
        "SELECT seq, id FROM receipts WHERE peer = ? ORDER BY seq LIMIT ?", (peer, most)
    ).fetchall()


def settle_receipts(entries: Entries, receipts: Sequence[tuple[int, str]]) -> None:
    """Take receipts out of the queue."""
    for seq, _ in receipts:
        entries.connection.execute("DELETE FROM receipts WHERE seq = ?", (seq,))


def forget_peer(entries: Entries, peer: str) -> None:
    """Drop what was to be told to a machine."""
    entries.connection.execute("DELETE FROM receipts WHERE peer = ?", (peer,))


def forget_old(entries: Entries) -> None:
    """Forget what is too old to matter, a few rows at once."""
    for table, key in (("received", "id"), ("receipts", "seq")):
        entries.connection.execute(
            f"DELETE FROM {table} WHERE {key} IN"
            f" (SELECT {key} FROM {table} WHERE forget_at <= ? LIMIT ?)",
            (entries.now, FORGOTTEN),
        )


def take_name(entries: Entries, name: str) -> None:
    """Note that this machine is called `name`, and take the inbox along when it had another."""
    row = entries.connection.execute("SELECT name FROM inbox_name").fetchone()
    if row is None:
        entries.connection.execute("INSERT INTO inbox_name VALUES (?)", (name,))
        return
    if row[0] == name:
        return
    entries.connection.execute("UPDATE inbox_name SET name = ?", (name,))
    former = inbox_prefix(row[0])
    rows = entries.connection.execute(
        "SELECT inbox.key, peer, inbox.size FROM inbox JOIN context USING (key) ORDER BY revision"
    ).fetchall()
    for key, peer, size in rows:
        entry = entries.find(key)
        if entry is None or not key.startswith(former):
            continue
        moved = inbox_prefix(name) + key.removeprefix(former)
        expires_at = entry.info.expires_at
        by = entry.info.updated_by
        entries.put(moved, entry.value, by=by, expires_at=expires_at, owner=peer)
        entries.delete(key)
        entries.connection.execute("INSERT INTO inbox VALUES (?, ?, ?)", (moved, peer, size))


def _check_room(entries: Entries, peer: str, here: str) -> None:
    """Raise `Busy` when a machine has sent more than fits; what it sent is undone with that."""
    there = mail_counts(entries, peer)
    if there.unread > MOST_UNREAD or there.unread_bytes > MOST_UNREAD_BYTES:
        raise Busy(f"too many messages lie unread at {here}; it takes more when some are read")
    # A message is remembered for longer than it is unread, so a flood of those that expire at once
    # has to end somewhere too.
    if there.remembered > MOST_REMEMBERED:
        raise Busy(f"too many messages have come to {here} in the last days")
