"""The tables of messages: what is to be sent, and what has come; the rest lies in the context.

Every function is one step of a transaction, so that a message, its place in the queue and its
entry in the context change together or not at all.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from loopsy_core.errors import BadRequest, Busy, Conflict, NotFound
from loopsy_core.wire import MAX_VALUE, MessageEnvelope, decode_message_envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loopsy_core.wire import Delivery, MessageState, SendMessage

    from .entries import Entries

__all__ = [
    "HERE",
    "MESSAGE_TABLES",
    "Outgoing",
    "acknowledge",
    "addressees",
    "expire",
    "forget_peer",
    "next_expiry",
    "next_outgoing",
    "next_receipts",
    "receive",
    "send",
    "settle",
    "settle_receipts",
    "take_name",
    "was_read",
]

MESSAGE_TABLES: Final = """
    CREATE TABLE sent (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE REFERENCES context (key) ON DELETE CASCADE,
        id TEXT NOT NULL UNIQUE,
        peer TEXT NOT NULL,
        expires_at REAL NOT NULL,
        waiting INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX sent_waiting ON sent (peer, seq) WHERE waiting;
    CREATE INDEX sent_expiry ON sent (expires_at) WHERE waiting;
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
"""`sent` is for as long as the outbox has the message, `inbox` for as long as it is unread there;
`received` remembers what has come, to drop doubles; `receipts` wait to be told to the sender."""

AFTERWARDS: Final = 3600.0
"""Seconds for which the outbox still tells what became of a message, after its time is over."""
REMEMBERED: Final = 86_400.0
"""Seconds after a message's end in which a double of it is known for one. Its sender gives up at
its end, by its own clock: this is how far the two clocks may part."""
ACK_TTL: Final = 86_400.0
MOST_WAITING: Final = 10_000
"""Messages that may wait for one machine."""
MOST_UNREAD: Final = 10_000
"""Messages of one machine that may lie in the inbox; then it has to wait."""
MOST_UNREAD_BYTES: Final = 32 << 20
MOST_REMEMBERED: Final = 200_000
"""Messages of one machine that are remembered: two a second, and some 20 MiB."""
LONGEST_ENVELOPE: Final = MAX_VALUE - 8192
"""Bytes of a message as it is sent; what becomes of it is written there too."""
LONGEST_ERROR: Final = 500
FORGOTTEN: Final = 100
"""Old things that are forgotten at once, whenever something new comes."""
HERE: Final = ""
"""Stands for this machine where a peer's id would stand."""

# A word that comes late does not undo one that says more: the other machine may tell that a message
# was read before we have noted that it was delivered.
_FINALITY: Final = {"waiting": 0, "expired": 1, "failed": 1, "delivered": 2, "read": 3}


class Outgoing(NamedTuple):
    """A message that is to be handed over."""

    seq: int
    id: str
    expires_at: float
    envelope: MessageEnvelope | None
    """None where somebody has made something else of it in the context."""


def outbox_key(message_id: str) -> str:
    """Return where a sent message stands."""
    return f"outbox:{message_id}"


def inbox_prefix(name: str) -> str:
    """Return how the keys of messages for the machine `name` begin."""
    return f"inbox:{name}:"


# Sending.


def send(
    entries: Entries, request: SendMessage, *, here: str, peer: str, to: str, milliseconds: int
) -> MessageEnvelope:
    """Put a message into the outbox and into the queue of `peer`, or into the inbox of `HERE`.

    Raises `Busy` when too much waits for that machine already.
    """
    waiting: tuple[int] = entries.connection.execute(
        "SELECT count(*) FROM sent WHERE peer = ? AND waiting", (peer,)
    ).fetchone()
    if waiting[0] >= MOST_WAITING:
        raise Busy(f"{MOST_WAITING} messages wait for {to} already; send on when it is back")
    envelope = MessageEnvelope(
        here,
        to,
        milliseconds,
        _unused_id(entries, milliseconds, here),
        request.type,
        request.body,
        request.reply_to,
    )
    expires_at = entries.now + request.ttl
    state: MessageState = "delivered" if peer == HERE else "waiting"
    key = outbox_key(envelope.id)
    told = msgspec.structs.replace(envelope, state=state)
    _put(entries, key, told, expires_at + AFTERWARDS, LONGEST_ENVELOPE)
    entries.connection.execute(
        "INSERT INTO sent (key, id, peer, expires_at, waiting) VALUES (?, ?, ?, ?, ?)",
        (key, envelope.id, peer, expires_at, peer != HERE),
    )
    if peer == HERE:
        _put_inbox(entries, envelope, HERE, expires_at)
    return told


def next_outgoing(entries: Entries, peer: str, most: int, most_bytes: int) -> list[Outgoing]:
    """Return what is to be handed to `peer` next, in the order of sending: one at least."""
    rows = entries.connection.execute(
        "SELECT seq, id, expires_at FROM sent WHERE peer = ? AND waiting AND expires_at > ?"
        " ORDER BY seq LIMIT ?",
        (peer, entries.now, most),
    )
    found: list[Outgoing] = []
    size = 0
    for seq, message_id, expires_at in rows:
        envelope = _sent(entries, message_id)
        size += len(envelope.body.encode()) if envelope else 0
        if found and size > most_bytes:
            break
        found.append(Outgoing(seq, message_id, expires_at, envelope))
    return found


def settle(
    entries: Entries,
    outgoing: Sequence[tuple[int, str]],
    state: MessageState,
    error: str | None = None,
) -> None:
    """Take messages (number and id) out of the queue; the outbox tells what became of them."""
    for seq, message_id in outgoing:
        entries.connection.execute("UPDATE sent SET waiting = 0 WHERE seq = ?", (seq,))
        _tell(entries, message_id, state, error)


def was_read(entries: Entries, message_id: str, *, peer: str, name: str) -> None:
    """Note that the machine `peer`, which is called `name` here, has read a message sent to it.

    Nothing happens when it was sent to another, or is forgotten.
    """
    row = entries.connection.execute(
        "SELECT 1 FROM sent WHERE id = ? AND peer = ?", (message_id, peer)
    ).fetchone()
    if row is not None and _tell(entries, message_id, "read", None):
        entries.connection.execute("UPDATE sent SET waiting = 0 WHERE id = ?", (message_id,))
        expires_at = entries.now + ACK_TTL
        entries.put(f"ack:{name}", message_id, by=name, expires_at=expires_at)


def expire(entries: Entries, most: int) -> None:
    """Give up on what could not be handed over in time, a few at once."""
    rows = entries.connection.execute(
        "SELECT seq, id FROM sent WHERE waiting AND expires_at <= ? LIMIT ?", (entries.now, most)
    ).fetchall()
    settle(entries, rows, "expired")
    _forget(entries, "receipts")


def next_expiry(entries: Entries) -> float | None:
    """Return when the next message's time is over."""
    row: tuple[float | None] = entries.connection.execute(
        "SELECT min(expires_at) FROM sent WHERE waiting"
    ).fetchone()
    return row[0]


def addressees(entries: Entries) -> set[str]:
    """Return the machines for which something waits."""
    rows = entries.connection.execute(
        "SELECT peer FROM sent WHERE waiting UNION SELECT peer FROM receipts"
    )
    return {peer for (peer,) in rows}


def forget_peer(entries: Entries, peer: str, why: str) -> None:
    """Give up on all that waits for a machine."""
    rows = entries.connection.execute(
        "SELECT seq, id FROM sent WHERE peer = ? AND waiting", (peer,)
    ).fetchall()
    settle(entries, rows, "failed", why)
    entries.connection.execute("DELETE FROM receipts WHERE peer = ?", (peer,))


# Receiving.


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
        _put_inbox(entries, envelope, peer, entries.now + message.ttl)
    _check_room(entries, peer, here)


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
        entries.put(moved, entry.value, by=entry.info.updated_by, expires_at=expires_at)
        entries.delete(key)
        entries.connection.execute("INSERT INTO inbox VALUES (?, ?, ?)", (moved, peer, size))


def _unused_id(entries: Entries, milliseconds: int, here: str) -> str:
    while True:
        message_id = f"{milliseconds}-{here}-{secrets.token_hex(2)}"
        taken = entries.connection.execute(
            "SELECT 1 FROM sent WHERE id = ?", (message_id,)
        ).fetchone()
        if taken is None and entries.find(outbox_key(message_id)) is None:
            return message_id


def _check_room(entries: Entries, peer: str, here: str) -> None:
    """Raise `Busy` when a machine has sent more than fits; what it sent is undone with that."""
    row: tuple[int, int] = entries.connection.execute(
        "SELECT count(*), coalesce(sum(size), 0) FROM inbox WHERE peer = ?", (peer,)
    ).fetchone()
    if row[0] > MOST_UNREAD or row[1] > MOST_UNREAD_BYTES:
        raise Busy(f"too many messages lie unread at {here}; it takes more when some are read")
    # A message is remembered for longer than it is unread, so a flood of those that expire at once
    # has to end somewhere too.
    row = entries.connection.execute(
        "SELECT count(*), 0 FROM received WHERE peer = ?", (peer,)
    ).fetchone()
    if row[0] > MOST_REMEMBERED:
        raise Busy(f"too many messages have come to {here} in the last days")


def _tell(entries: Entries, message_id: str, state: MessageState, error: str | None) -> bool:
    """Write into the outbox what became of a message; returns whether that is news there."""
    envelope = _sent(entries, message_id)
    if envelope is None or _FINALITY.get(envelope.state or "", 0) >= _FINALITY[state]:
        return False
    key = outbox_key(message_id)
    expires_at = entries.get(key).info.expires_at
    told = msgspec.structs.replace(envelope, state=state, error=error and error[:LONGEST_ERROR])
    _put(entries, key, told, expires_at)
    return True


def _sent(entries: Entries, message_id: str) -> MessageEnvelope | None:
    entry = entries.find(outbox_key(message_id))
    return None if entry is None else decode_message_envelope(entry.value)


def _put_inbox(entries: Entries, envelope: MessageEnvelope, peer: str, expires_at: float) -> None:
    _forget(entries, "received")
    key = inbox_prefix(envelope.to) + envelope.id
    size = _put(entries, key, envelope, expires_at, LONGEST_ENVELOPE)
    entries.connection.execute("INSERT OR REPLACE INTO inbox VALUES (?, ?, ?)", (key, peer, size))
    entries.connection.execute(
        "INSERT OR REPLACE INTO received VALUES (?, ?, ?)",
        (envelope.id, peer, expires_at + REMEMBERED),
    )


def _forget(entries: Entries, table: str) -> None:
    """Forget what is too old to matter in `received` or `receipts`, a few rows at once."""
    key = "id" if table == "received" else "seq"
    entries.connection.execute(
        f"DELETE FROM {table} WHERE {key} IN"
        f" (SELECT {key} FROM {table} WHERE forget_at <= ? LIMIT ?)",
        (entries.now, FORGOTTEN),
    )


def _put(
    entries: Entries,
    key: str,
    envelope: MessageEnvelope,
    expires_at: float | None,
    most: int = MAX_VALUE,
) -> int:
    """Write a message; returns its size in bytes, or raises `BadRequest` for one over `most`."""
    text = msgspec.json.encode(envelope)
    if len(text) > most:
        raise BadRequest(f"a message has at most {most} bytes, written as JSON")
    return entries.put(key, text.decode(), by=envelope.from_, expires_at=expires_at).size
