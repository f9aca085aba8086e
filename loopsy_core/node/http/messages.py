"""Messages by HTTP: sending them, what has come, what became of those that were sent."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.errors import LoopsyError, NotFound
from loopsy_core.wire import Hello, MessageType, Sent, decode_message_envelope
from loopsy_core.wire.operation import Reference
from loopsy_core.wire.operations.messages import Body, MessageId, MessageTtl

from .camel import shown, twin
from .problems import NoSuchPeer
from .route import JSON, Call, NoBody, NoQuery, Route
from .streaming import EVENTS, Shown, event_stream, json_list, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from loopsy_core.wire import MessageEnvelope

    from .route import Stream

__all__ = ["ROUTES"]

HOUR: Final = 3600.0
OUTBOX: Final = "outbox:"

SentMessage = twin(Sent)


class NewMessage(msgspec.Struct, frozen=True, rename="camel"):
    """A message to a machine, which may be this one; `ttl` is in seconds."""

    to: Reference
    body: Body
    type: MessageType = "chat"
    reply_to: MessageId | None = None
    """The id of the message that it answers."""
    ttl: MessageTtl = HOUR
    """How long it may wait for that machine to be reached."""


class ToAll(msgspec.Struct, frozen=True):
    """A message to every paired machine; `ttl` is in seconds."""

    body: Body
    ttl: MessageTtl = HOUR


class Message(msgspec.Struct, frozen=True, rename={"from_": "from", "reply_to": "replyTo"}):
    """A message."""

    from_: str
    to: str
    ts: int
    """When it was sent."""
    id: str
    type: str
    body: str
    reply_to: str | None
    state: str | None
    """Of one that was sent from here: waiting, delivered, read, expired or failed."""
    error: str | None
    """Why it failed, if it did."""


class Messages(msgspec.Struct, frozen=True):
    """Messages, the oldest first."""

    messages: list[Message]


class Told(msgspec.Struct, frozen=True):
    """Whether a message was sent to one machine."""

    machine: str
    id: str | None
    """Of the message; null when it was not sent."""
    error: str | None


class ToldAll(msgspec.Struct, frozen=True):
    """What became of a message to every paired machine."""

    machines: list[Told]


class Acknowledged(msgspec.Struct, frozen=True):
    """A message was read."""

    success: bool
    id: str


async def send(call: Call[NewMessage, NoQuery]) -> msgspec.Struct:
    """Send a message to a machine; it is on disk here when this is answered."""
    new = call.body
    try:
        sent = await call.here.messages.send(
            new.to, new.body, type=new.type, reply_to=new.reply_to, ttl=new.ttl
        )
    except NotFound as error:
        raise NoSuchPeer(error.message) from None
    return shown(sent)


async def broadcast(call: Call[ToAll, NoQuery]) -> ToldAll:
    """Send a message to every paired machine; those that are away get it when they are back."""
    results = await call.here.messages.broadcast(call.body.body, ttl=call.body.ttl)
    return ToldAll([_told(name, result) for name, result in results.items()])


async def inbox(call: Call[NoBody, NoQuery]) -> Stream:
    """List what has come and was not acknowledged; looking consumes nothing."""
    prefix = f"inbox:{(await call.here.ask(Hello())).name}:"
    return await stream(JSON, json_list("messages", _read(call, prefix)))


async def outbox(call: Call[NoBody, NoQuery]) -> Stream:
    """List what was sent from here, and how far each message is."""
    return await stream(JSON, json_list("messages", _read(call, OUTBOX)))


async def acknowledge(call: Call[NoBody, NoQuery]) -> Acknowledged:
    """Say that a message was read: it leaves the inbox, and its sender is told."""
    await call.here.messages.ack(call.name)
    return Acknowledged(success=True, id=call.name)


async def watch(call: Call[NoBody, NoQuery]) -> Stream:
    """Stream what is in the inbox, and then each message as it comes."""
    return await event_stream(_watch(call), "messages")


async def _read(call: Call[NoBody, NoQuery], prefix: str) -> AsyncGenerator[Message]:
    """Read messages one by one: together they may be more than memory holds."""
    context = call.here.context
    infos = await context.list(prefix)
    if prefix != OUTBOX:  # where the keys begin with the time of sending
        infos.sort(key=lambda info: info.revision)
    for info in infos:
        entry = await context.get(info.key)
        envelope = None if entry is None else decode_message_envelope(entry.value)
        if envelope is not None:
            yield _message(envelope)


@asynccontextmanager
async def _watch(call: Call[NoBody, NoQuery]) -> AsyncGenerator[AsyncIterator[object]]:
    async with call.here.messages.watch() as found:
        yield Shown(found, _message)


def _message(envelope: MessageEnvelope) -> Message:
    return Message(*msgspec.structs.astuple(envelope))


def _told(machine: str, result: Sent | LoopsyError) -> Told:
    if isinstance(result, LoopsyError):
        return Told(machine, None, result.message)
    return Told(machine, result.id, None)


ROUTES: Final = (
    Route("GET", "/messages", inbox, "messages", NoBody, NoQuery, Messages),
    Route("POST", "/messages", send, "messages", NewMessage, NoQuery, SentMessage),
    Route("POST", "/messages/broadcast", broadcast, "messages", ToAll, NoQuery, ToldAll),
    Route("GET", "/messages/outbox", outbox, "messages", NoBody, NoQuery, Messages),
    Route("DELETE", "/messages/{id}", acknowledge, "messages", NoBody, NoQuery, Acknowledged),
    Route("GET", "/events/messages", watch, "messages", NoBody, NoQuery, Message, EVENTS),
)
