"""The tables of messages: what is to be sent, and what has come; the rest lies in the context.

Every function is one step of a transaction, so that a message, its place in the queue and its
entry in the context change together or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from loopsy_core.errors import NotFound
from loopsy_core.wire import MessageEnvelope, decode_message_envelope

from . import context_table as context

if TYPE_CHECKING:
    import sqlite3

    from loopsy_core.wire import ContextInfo, DeliverMessage, MessageState

    from .context_table import Removed

__all__ = [
    "MESSAGE_TABLES",
    "Outgoing",
    "acknowledge",
    "expire",
    "next_expiry",
    "next_outgoing",
    "receive",
    "send",
    "settle",
    "was_read",
]

MESSAGE_TABLES: Final = """
    CREATE TABLE outgoing (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        peer TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        expires_at REAL NOT NULL
    ) STRICT;
    CREATE INDEX outgoing_by_peer ON outgoing (peer, seq);
    CREATE INDEX outgoing_expiry ON outgoing (expires_at);
    CREATE TABLE incoming (
        peer TEXT NOT NULL,
        id TEXT NOT NULL,
        forget_at REAL NOT NULL,
        PRIMARY KEY (peer, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX incoming_age ON incoming (forget_at);
    """
"""`outgoing.kind` is "message" or "read"; `incoming` remembers what has come, to drop doubles."""

AFTERWARDS: Final = 3600.0
"""Seconds for which the outbox still tells what became of a message, after its time is over."""
REMEMBERED: Final = 7 * 86_400.0
"""Seconds after a message's end in which a double of it is known for one."""
ACK_TTL: Final = 86_400.0
HERE: Final = ""
"""Stands for this machine where a peer's id would stand."""


class Outgoing(NamedTuple):
    """What is to be handed to a machine next."""

    seq: int
    kind: str
    id: str
    expires_at: float
    envelope: MessageEnvelope | None
    """The message; None for a receipt, or where somebody has deleted it from the context."""


def outbox_key(message_id: str) -> str:
    """Return where a sent message stands."""
    return f"outbox:{message_id}"


def inbox_key(name: str, message_id: str) -> str:
    """Return where a message for the machine `name` stands."""
    return f"inbox:{name}:{message_id}"


def send(
    connection: sqlite3.Connection,
    envelope: MessageEnvelope,
    peer: str,
    *,
    now: float,
    expires_at: float,
) -> list[ContextInfo]:
    """Put a message into the outbox and, unless it is for this machine, into the queue."""
    changed = [_put_outbox(connection, envelope, now, expires_at)]
    if peer == HERE:
        changed.append(_put_inbox(connection, envelope, HERE, now, expires_at))
    else:
        connection.execute(
            "INSERT INTO outgoing (peer, kind, id, expires_at) VALUES (?, 'message', ?, ?)",
            (peer, envelope.id, expires_at),
        )
    return changed


def next_outgoing(connection: sqlite3.Connection, peer: str, now: float) -> Outgoing | None:
    """Return what is to be handed to `peer` next, in the order of sending."""
    row = connection.execute(
        "SELECT seq, kind, id, expires_at FROM outgoing WHERE peer = ? AND expires_at > ?"
        " ORDER BY seq LIMIT 1",
        (peer, now),
    ).fetchone()
    if row is None:
        return None
    seq, kind, message_id, expires_at = row
    envelope = _outbox(connection, message_id, now) if kind == "message" else None
    return Outgoing(seq, kind, message_id, expires_at, envelope)


def settle(
    connection: sqlite3.Connection,
    outgoing: Outgoing,
    state: MessageState,
    *,
    now: float,
    error: str | None = None,
) -> list[ContextInfo]:
    """Take something out of the queue; the outbox tells what became of it."""
    connection.execute("DELETE FROM outgoing WHERE seq = ?", (outgoing.seq,))
    if outgoing.kind != "message":
        return []
    return _tell(connection, outgoing.id, state, now, error)


def receive(
    connection: sqlite3.Connection,
    message: DeliverMessage,
    *,
    peer: str,
    sender: str,
    here: str,
    now: float,
) -> list[ContextInfo]:
    """Put a message that has come into the inbox, unless it has come before."""
    known = connection.execute(
        "SELECT 1 FROM incoming WHERE peer = ? AND id = ?", (peer, message.id)
    ).fetchone()
    if known is not None:
        return []
    envelope = MessageEnvelope(
        sender, here, message.ts, message.id, message.type, message.body, message.reply_to
    )
    return [_put_inbox(connection, envelope, peer, now, now + message.ttl)]


def acknowledge(
    connection: sqlite3.Connection, message_id: str, *, here: str, now: float
) -> tuple[list[ContextInfo], list[Removed]]:
    """Take a message out of the inbox, and queue the word of it to its sender.

    Raises `NotFound` for one that never came; one that was acknowledged before is fine.
    """
    rows = connection.execute("SELECT peer FROM incoming WHERE id = ?", (message_id,)).fetchall()
    if not rows:
        raise NotFound(f"no message {message_id!r} has come here")
    try:
        removed = [context.delete(connection, inbox_key(here, message_id), now=now)]
    except NotFound:
        return [], []
    changed: list[ContextInfo] = []
    for (peer,) in rows:
        if peer == HERE:
            changed += was_read(connection, message_id, by=here, now=now)
        else:
            connection.execute(
                "INSERT INTO outgoing (peer, kind, id, expires_at) VALUES (?, 'read', ?, ?)",
                (peer, message_id, now + REMEMBERED),
            )
    return changed, removed


def was_read(
    connection: sqlite3.Connection, message_id: str, *, by: str, now: float
) -> list[ContextInfo]:
    """Note that a message was read by the machine that this one calls `by`."""
    changed = _tell(connection, message_id, "read", now, None)
    if changed:
        changed.append(
            context.put(
                connection, f"ack:{by}", message_id, now=now, by=by, expires_at=now + ACK_TTL
            )
        )
    return changed


def expire(connection: sqlite3.Connection, now: float, limit: int) -> list[ContextInfo]:
    """Give up on what could not be handed over in time, a few at once."""
    rows = connection.execute(
        "SELECT seq, kind, id, expires_at FROM outgoing WHERE expires_at <= ? LIMIT ?",
        (now, limit),
    ).fetchall()
    changed: list[ContextInfo] = []
    for seq, kind, message_id, expires_at in rows:
        over = Outgoing(seq, kind, message_id, expires_at, None)
        changed += settle(connection, over, "expired", now=now)
    return changed


def next_expiry(connection: sqlite3.Connection) -> float | None:
    """Return when the next message's time is over."""
    row: tuple[float | None] = connection.execute("SELECT min(expires_at) FROM outgoing").fetchone()
    return row[0]


def _tell(
    connection: sqlite3.Connection,
    message_id: str,
    state: MessageState,
    now: float,
    error: str | None,
) -> list[ContextInfo]:
    envelope = _outbox(connection, message_id, now)
    if envelope is None:
        return []
    info, _ = context.get(connection, outbox_key(message_id), now)
    told = msgspec.structs.replace(envelope, state=state, error=error)
    expires_at = now + AFTERWARDS if info.expires_at is None else info.expires_at
    return [_put(connection, outbox_key(message_id), told, now, expires_at)]


def _outbox(connection: sqlite3.Connection, message_id: str, now: float) -> MessageEnvelope | None:
    try:
        _, text = context.get(connection, outbox_key(message_id), now)
    except NotFound:
        return None
    return decode_message_envelope(text)


def _put_outbox(
    connection: sqlite3.Connection, envelope: MessageEnvelope, now: float, expires_at: float
) -> ContextInfo:
    return _put(connection, outbox_key(envelope.id), envelope, now, expires_at + AFTERWARDS)


def _put_inbox(
    connection: sqlite3.Connection,
    envelope: MessageEnvelope,
    peer: str,
    now: float,
    expires_at: float,
) -> ContextInfo:
    # Now and then there is something to forget; a double of it can come no more.
    connection.execute("DELETE FROM incoming WHERE forget_at <= ?", (now,))
    connection.execute(
        "INSERT OR REPLACE INTO incoming VALUES (?, ?, ?)",
        (peer, envelope.id, expires_at + REMEMBERED),
    )
    key = inbox_key(envelope.to, envelope.id)
    return _put(connection, key, msgspec.structs.replace(envelope, state=None), now, expires_at)


def _put(
    connection: sqlite3.Connection,
    key: str,
    envelope: MessageEnvelope,
    now: float,
    expires_at: float,
) -> ContextInfo:
    text = msgspec.json.encode(envelope).decode()
    return context.put(connection, key, text, now=now, by=envelope.from_, expires_at=expires_at)
