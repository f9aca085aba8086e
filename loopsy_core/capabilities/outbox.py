"""The outbox: messages that are to be sent, or were, and what became of them.

Every function is one step of a transaction, so that a message, its place in the queue and its
entry in the context change together or not at all.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from loopsy_core.errors import Busy
from loopsy_core.wire import MessageEnvelope, decode_message_envelope

from .envelopes import HERE, outbox_key, put_envelope
from .mail_counts import mail_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loopsy_core.wire import MessageState, SendMessage

    from .entries import Entries

__all__ = [
    "OUTBOX_TABLE",
    "Outgoing",
    "addressees",
    "expire",
    "forget_peer",
    "next_expiry",
    "next_outgoing",
    "send",
    "settle",
    "was_read",
]

OUTBOX_TABLE: Final = """
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
    """
"""A row is there for as long as the outbox has the message."""

AFTERWARDS: Final = 3600.0
"""Seconds for which the outbox still tells what became of a message, after its time is over."""
ACK_TTL: Final = 86_400.0
MOST_WAITING: Final = 10_000
"""Messages that may wait for one machine."""
LONGEST_ERROR: Final = 500

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


def send(
    entries: Entries,
    request: SendMessage,
    *,
    here: str,
    peer: str,
    to: str,
    milliseconds: int,
    owner: str,
) -> MessageEnvelope:
    """Put a message into the outbox, and into the queue of `peer` if that is not `HERE`.

    Raises `Busy` when too much waits for that machine already, and `Full` when there is no room;
    it takes that of the contact `owner`, or of this machine if that is "".
    """
    if mail_counts(entries, peer).waiting >= MOST_WAITING:
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
    put_envelope(entries, key, told, expires_at + AFTERWARDS, owner)
    entries.connection.execute(
        "INSERT INTO sent (key, id, peer, expires_at, waiting) VALUES (?, ?, ?, ?, ?)",
        (key, envelope.id, peer, expires_at, peer != HERE),
    )
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


def next_expiry(entries: Entries) -> float | None:
    """Return when the next message's time is over."""
    row: tuple[float | None] = entries.connection.execute(
        "SELECT min(expires_at) FROM sent WHERE waiting"
    ).fetchone()
    return row[0]


def addressees(entries: Entries) -> set[str]:
    """Return the machines for which messages wait."""
    rows = entries.connection.execute("SELECT DISTINCT peer FROM sent WHERE waiting")
    return {peer for (peer,) in rows}


def forget_peer(entries: Entries, peer: str, why: str) -> None:
    """Give up on all messages that wait for a machine."""
    rows = entries.connection.execute(
        "SELECT seq, id FROM sent WHERE peer = ? AND waiting", (peer,)
    ).fetchall()
    settle(entries, rows, "failed", why)


def _unused_id(entries: Entries, milliseconds: int, here: str) -> str:
    while True:
        message_id = f"{milliseconds}-{here}-{secrets.token_hex(2)}"
        taken = entries.connection.execute(
            "SELECT 1 FROM sent WHERE id = ?", (message_id,)
        ).fetchone()
        if taken is None and entries.find(outbox_key(message_id)) is None:
            return message_id


def _tell(entries: Entries, message_id: str, state: MessageState, error: str | None) -> bool:
    """Write into the outbox what became of a message; returns whether that is news there."""
    envelope = _sent(entries, message_id)
    if envelope is None or _FINALITY.get(envelope.state or "", 0) >= _FINALITY[state]:
        return False
    key = outbox_key(message_id)
    expires_at = entries.get(key).info.expires_at
    told = msgspec.structs.replace(envelope, state=state, error=error and error[:LONGEST_ERROR])
    put_envelope(entries, key, told, expires_at)
    return True


def _sent(entries: Entries, message_id: str) -> MessageEnvelope | None:
    entry = entries.find(outbox_key(message_id))
    return None if entry is None else decode_message_envelope(entry.value)
