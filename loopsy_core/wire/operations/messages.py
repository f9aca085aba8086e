"""What is asked about messages between machines and the agents on them.

They lie in the context, where anybody can read them who knows the convention: what came for this
machine under `inbox:<its name>:<id>`, what was sent from here under `outbox:<id>`, and the id that
somebody acknowledged last under `ack:<their name>`. Each value is an `MessageEnvelope` in JSON.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from ..operation import Operation, Reference
from .node import Nothing

__all__ = [
    "MAX_BODY",
    "MAX_BODY_BYTES",
    "MAX_DELIVERIES",
    "MAX_MESSAGE_TTL",
    "AckMessage",
    "DeliverMessages",
    "Delivery",
    "MessageEnvelope",
    "MessageId",
    "MessageState",
    "MessageType",
    "NoteRead",
    "SendMessage",
    "Sent",
    "decode_message_envelope",
]

MAX_BODY: Final = 262_144
"""Characters."""
MAX_BODY_BYTES: Final = 524_288
"""Bytes of a body in UTF-8, so that a message fits where it has to."""
MAX_MESSAGE_TTL: Final = 30 * 86_400.0
"""Seconds."""
MAX_DELIVERIES: Final = 100
"""Messages, or receipts, that are handed over at once."""

MessageId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
MessageType: TypeAlias = Literal["chat", "request", "response", "ack", "broadcast"]
MessageState: TypeAlias = Literal["waiting", "delivered", "read", "expired", "failed"]
"""How far a sent message is; `waiting` for the other machine to be reached."""
Body: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_BODY)]
MessageTtl: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=MAX_MESSAGE_TTL)]


class MessageEnvelope(msgspec.Struct, frozen=True, rename={"from_": "from"}, omit_defaults=True):
    """A message as it stands in the context."""

    from_: str
    """The sender's name as the recipient knows it; in an outbox this machine's own."""
    to: str
    ts: int
    """When it was sent, in milliseconds since 1970."""
    id: str
    """`<ms>-<sender>-<hex4>`."""
    type: str
    body: str
    reply_to: str | None = None
    state: str | None = None
    """In an outbox: how far it is."""
    error: str | None = None
    """In an outbox: why it failed."""


def decode_message_envelope(text: str | bytes) -> MessageEnvelope | None:
    """Return the envelope in `text`, None if it is none: anybody may write to the context."""
    try:
        return _envelopes.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_envelopes: msgspec.json.Decoder[MessageEnvelope] = msgspec.json.Decoder(MessageEnvelope)


class Sent(msgspec.Struct, frozen=True):
    """A message that is on its way."""

    id: str
    to: str
    state: MessageState
    expires_at: float


class SendMessage(Operation[Sent], frozen=True, kw_only=True):
    """Send a message to a machine; it is on disk here when this is answered.

    From then on it is delivered as soon as that machine is reached, once, and in the order of
    sending; or it expires after `ttl` seconds. `outbox:<id>` tells how far it is.
    """

    op = "messages.send"
    grant = "message"
    reply = Sent
    limited_as = "context"
    about = "to"

    to: Reference
    body: Body
    type: MessageType = "chat"
    reply_to: MessageId | None = None
    ttl: MessageTtl = 3600.0


class Delivery(msgspec.Struct, frozen=True):
    """A message as it is handed over."""

    id: MessageId
    ts: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    type: MessageType
    body: Body
    ttl: MessageTtl
    """Seconds that are left of its time: clocks may differ."""
    reply_to: MessageId | None = None


class DeliverMessages(Operation[Nothing], frozen=True, kw_only=True):
    """Hand messages to the machine that they are for, in their order; all are taken, or none is.

    Those that it has had before it passes over, so whoever got no answer may ask again.
    A Fault `busy` says that too many of ours lie there unread.
    """

    op = "messages.deliver"
    grant = "message"
    reply = Nothing

    messages: Annotated[list[Delivery], msgspec.Meta(min_length=1, max_length=MAX_DELIVERIES)]


class AckMessage(Operation[Nothing], frozen=True, kw_only=True):
    """Say that a message from the inbox was read; it leaves the inbox, and its sender is told."""

    op = "messages.ack"
    grant = "message"
    reply = Nothing
    about = "id"

    id: MessageId


class NoteRead(Operation[Nothing], frozen=True, kw_only=True):
    """Tell the machine that sent messages that they were read."""

    op = "messages.read"
    grant = "message"
    reply = Nothing

    ids: Annotated[list[MessageId], msgspec.Meta(min_length=1, max_length=MAX_DELIVERIES)]
