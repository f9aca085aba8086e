"""Messages to the agents and users of other machines, with receipts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
import trio

from loopsy_core.client import ContextEntry
from loopsy_core.errors import LoopsyError, NotFound
from loopsy_core.wire import decode_message_envelope
from loopsy_mcp.desk import telling
from loopsy_mcp.plain import cut
from loopsy_mcp.tool import Group, Said, Seconds, Tool

if TYPE_CHECKING:
    from loopsy_core.wire import MessageEnvelope
    from loopsy_mcp.desk import Desk, Place
    from loopsy_mcp.tool import Json, Tell

__all__ = ["AckMessage", "CheckAck", "CheckInbox", "SendMessage"]

MOST_BODY: Final = 8000
"""Characters of a message that a list of them shows."""
ALL: Final = "all"

MessageId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]

_FAR: Final = {"waiting": 0, "delivered": 1, "read": 2, "expired": 3, "failed": 3}
"""How far a message is; what will not change any more is farther than all else."""


class SendMessage(Tool, frozen=True, kw_only=True):
    """Send a message to the agents of a machine, or of all. It waits for an offline one until
    `ttl`, and arrives once, in order. loopsy_check_ack tells whether it was read.
    """

    tool: ClassVar[str] = "loopsy_send_message"
    group: ClassVar[Group] = "messages"

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=64, description='Machine or "all"')]
    body: Annotated[str, msgspec.Meta(min_length=1, max_length=262_144)]
    type: Literal["chat", "request", "response"] = "chat"
    reply_to: (
        Annotated[MessageId, msgspec.Meta(description="Id of the message answered")] | None
    ) = None
    ttl: Annotated[float, msgspec.Meta(gt=0, le=2_592_000, description="Seconds")] = 3600.0

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Send it; it is on this machine's disk when this returns."""
        if self.to == ALL:
            return await self._to_all(desk)
        place = await desk.reach(self.to, offline_too=True)
        sent = await desk.client.messages.send(
            place.name, self.body, type=self.type, reply_to=self.reply_to, ttl=self.ttl
        )
        text = f"message {sent.id} to {place.name}: {sent.state}"
        return Said(text, {"id": sent.id, "to": place.name, "state": sent.state})

    async def _to_all(self, desk: Desk) -> Said:
        peers = await desk.peers()
        if not peers:
            raise NotFound("no other machine is paired, so nobody would get it")
        results: list[Json] = []
        lines: list[str] = []
        for peer in peers:
            online = "online" if peer.way else "offline, it waits"
            try:
                sent = await desk.client.messages.send(
                    peer.id, self.body, type="broadcast", ttl=self.ttl
                )
            except LoopsyError as error:
                lines.append(f"{peer.name}: {error.message}")
                results.append({"to": peer.name, "ok": False, "problem": error.message})
            else:
                lines.append(f"{peer.name} ({online}): {sent.id} is {sent.state}")
                results.append({"to": peer.name, "ok": True, "id": sent.id, "state": sent.state})
        return Said("\n".join(lines), {"machines": results})


class CheckInbox(Tool, frozen=True, kw_only=True):
    """Read messages to this machine that nobody acknowledged yet; with `wait` it waits for one
    instead of being polled. Acknowledge what you have dealt with by loopsy_ack_message.
    """

    tool: ClassVar[str] = "loopsy_check_inbox"
    group: ClassVar[Group] = "messages"
    reads_only: ClassVar[bool] = True

    wait: Seconds = 0
    sender: Annotated[str, msgspec.Meta(description="Only from this machine")] | None = None
    reply_to: Annotated[MessageId, msgspec.Meta(description="Only answers to this")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Read them, the oldest first."""
        found = await self._wanted(desk)
        if not found and self.wait:
            with trio.move_on_after(self.wait):
                async with telling(tell, self.wait, "waiting for a message"):
                    await self._wait(desk)
            found = await self._wanted(desk)
        shown = found[: self.limit]
        if not shown:
            return Said("no message", {"messages": [], "more": 0})
        texts = [_text(message) for message in shown]
        more = len(found) - len(shown)
        if more:
            texts.append(f"[{more} more; acknowledge these to see them]")
        data: Json = [_data(message) for message in shown]
        return Said("\n\n".join(texts), {"messages": data, "more": more})

    async def _wait(self, desk: Desk) -> None:
        async with desk.client.messages.watch() as inbox:
            async for message in inbox:
                if self._wants(message):
                    return

    async def _wanted(self, desk: Desk) -> list[MessageEnvelope]:
        return [message for message in await desk.client.messages.inbox() if self._wants(message)]

    def _wants(self, message: MessageEnvelope) -> bool:
        return (self.sender is None or message.from_ == self.sender) and (
            self.reply_to is None or message.reply_to == self.reply_to
        )


class CheckAck(Tool, frozen=True, kw_only=True):
    """How far a message is that was sent from here: waiting (for the machine), delivered, read
    (acknowledged), expired or failed. With `wait` it waits until it is `until` or over.
    """

    tool: ClassVar[str] = "loopsy_check_ack"
    group: ClassVar[Group] = "messages"
    reads_only: ClassVar[bool] = True

    id: MessageId
    wait: Seconds = 0
    until: Literal["delivered", "read"] = "read"

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Look it up, or wait for it."""
        place = await desk.reach(None)
        message = await self._sent(place)
        if self.wait and not self._enough(message):
            with trio.move_on_after(self.wait):
                async with telling(tell, self.wait, f"waiting until {self.id} is {self.until}"):
                    message = await self._watch(place, message)
        why = f": {message.error}" if message.error else ""
        text = f"message {message.id} to {message.to} is {message.state}{why}"
        return Said(text, {"id": message.id, "to": message.to, "state": message.state})

    async def _sent(self, place: Place) -> MessageEnvelope:
        entry = await place.client.context.get(f"outbox:{self.id}")
        message = None if entry is None else decode_message_envelope(entry.value)
        if message is None:
            raise NotFound(f"no message {self.id!r} was sent from {place.name}, or it is forgotten")
        return message

    async def _watch(self, place: Place, message: MessageEnvelope) -> MessageEnvelope:
        async with place.client.context.watch(f"outbox:{self.id}") as changes:
            async for change in changes:
                if isinstance(change, ContextEntry):
                    message = decode_message_envelope(change.value) or message
                    if self._enough(message):
                        break
        return message

    def _enough(self, message: MessageEnvelope) -> bool:
        return _FAR.get(message.state or "", 0) >= _FAR[self.until]


class AckMessage(Tool, frozen=True, kw_only=True):
    """Acknowledge a message from the inbox: it leaves it, and its sender learns that it was read.
    Answer it first by loopsy_send_message with `reply_to`, if it asks for something.
    """

    tool: ClassVar[str] = "loopsy_ack_message"
    group: ClassVar[Group] = "messages"

    id: MessageId

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Acknowledge it."""
        await desk.client.messages.ack(self.id)
        return Said(f"{self.id} is acknowledged", {"id": self.id, "acknowledged": True})


def _text(message: MessageEnvelope) -> str:
    answer = f", answers {message.reply_to}" if message.reply_to else ""
    age = round(max(0.0, time.time() - message.ts / 1000))
    head = f"{message.id}: {message.type} from {message.from_}, {age} s ago{answer}"
    return f"{head}\n{_body(message)}"


def _body(message: MessageEnvelope) -> str:
    key = f"inbox:{message.to}:{message.id}"
    return cut(message.body, MOST_BODY, f"loopsy_context_get with key={key} has all of it")


def _data(message: MessageEnvelope) -> dict[str, Json]:
    return {
        "id": message.id,
        "from": message.from_,
        "type": message.type,
        "reply_to": message.reply_to,
        "ts": message.ts,
        "body": _body(message),
    }
