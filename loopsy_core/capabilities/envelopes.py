"""A message in the context: where it stands, and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.errors import BadRequest
from loopsy_core.wire import MAX_VALUE

if TYPE_CHECKING:
    from loopsy_core.wire import MessageEnvelope

    from .entries import Entries

__all__ = ["HERE", "LONGEST_ENVELOPE", "inbox_prefix", "outbox_key", "put_envelope"]

LONGEST_ENVELOPE: Final = MAX_VALUE - 8192
"""Bytes of a message as it is sent; what becomes of it is written there too."""
HERE: Final = ""
"""Stands for this machine where a peer's id would stand."""


def outbox_key(message_id: str) -> str:
    """Return where a sent message stands."""
    return f"outbox:{message_id}"


def inbox_prefix(name: str) -> str:
    """Return how the keys of messages for the machine `name` begin."""
    return f"inbox:{name}:"


def put_envelope(
    entries: Entries,
    key: str,
    envelope: MessageEnvelope,
    expires_at: float | None,
    owner: str | None = None,
) -> int:
    """Write a message; returns its size in bytes.

    With an `owner` it is a new one, which takes that contact's room: raises `Full` where there is
    none, and `BadRequest` for one over `LONGEST_ENVELOPE`.
    """
    text = msgspec.json.encode(envelope)
    by = envelope.from_
    if owner is None:
        return entries.put(key, text.decode(), by=by, expires_at=expires_at).size
    if len(text) > LONGEST_ENVELOPE:
        raise BadRequest(f"a message has at most {LONGEST_ENVELOPE} bytes, written as JSON")
    return entries.take_in(key, text.decode(), by=by, owner=owner, expires_at=expires_at).size
