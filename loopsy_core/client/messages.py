"""Messages seen from a program: sending them, reading the inbox, and seeing what became of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from loopsy_core.errors import Busy, LoopsyError, NotFound
from loopsy_core.wire import (
    AckMessage,
    ContextCurrent,
    Hello,
    ListPeers,
    MessageEnvelope,
    MessageType,
    SendMessage,
    Sent,
    decode_message_envelope,
)

from .context import ContextEntry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from .client import Client
    from .context import ContextChange

__all__ = ["Inbox", "Mailbox"]


class Mailbox:
    """The messages of one node; `client.messages` is it."""

    def __init__(self, client: Client) -> None:
        """Ask by `client`."""
        self._client = client

    async def send(
        self,
        to: str,
        body: str,
        *,
        type: MessageType = "chat",  # noqa: A002 - as the convention calls it
        reply_to: str | None = None,
        ttl: float = 3600.0,
    ) -> Sent:
        """Send `body` to the machine `to`; on disk when this returns.

        It has up to 256 Ki characters and 512 KiB.
        It is delivered as soon as that machine is reached, once, and in the order of sending, or
        expires after `ttl` seconds. Raises `NotFound` for a machine that is not paired.
        """
        return await self._client.ask(
            SendMessage(to=to, body=body, type=type, reply_to=reply_to, ttl=ttl)
        )

    async def reply(self, to: MessageEnvelope, body: str, *, ttl: float = 3600.0) -> Sent:
        """Answer a message from the inbox."""
        return await self.send(to.from_, body, type="response", reply_to=to.id, ttl=ttl)

    async def broadcast(self, body: str, *, ttl: float = 3600.0) -> dict[str, Sent | LoopsyError]:
        """Send `body` to every paired machine; return by name what was sent, or why it was not.

        Machines that are not reached now get it when they are. Raises `BadRequest` for a body
        that cannot be sent to anybody.
        """
        results: dict[str, Sent | LoopsyError] = {}
        for peer in (await self._client.ask(ListPeers())).peers:
            try:
                sent = await self.send(peer.id, body, type="broadcast", ttl=ttl)
            except (Busy, NotFound) as error:  # too much waits for it; it was removed just now
                results[peer.name] = error
            else:
                results[peer.name] = sent
        return results

    async def inbox(self) -> list[MessageEnvelope]:
        """Return what has come and was not acknowledged, the oldest first; nothing is consumed."""
        return await self._read(await self._inbox_prefix())

    async def outbox(self) -> list[MessageEnvelope]:
        """Return what was sent from here and not forgotten yet, the oldest first.

        `state` says how far each is.
        """
        return sorted(await self._read("outbox:"), key=lambda envelope: envelope.ts)

    async def ack(self, message_id: str) -> None:
        """Say that a message was read: it leaves the inbox, and its sender is told.

        Raises `NotFound` for one that never came.
        """
        await self._client.ask(AckMessage(id=message_id))

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[Inbox]:
        """Watch the inbox: iterate over what is there, and then over each message as it comes."""
        async with self._client.context.watch(await self._inbox_prefix()) as changes:
            yield Inbox(changes)

    async def _inbox_prefix(self) -> str:
        return f"inbox:{(await self._client.ask(Hello())).name}:"

    async def _read(self, prefix: str) -> list[MessageEnvelope]:
        found: dict[str, tuple[int, MessageEnvelope]] = {}
        async with self._client.context.watch(prefix) as changes:
            async for change in changes:
                if isinstance(change, ContextCurrent):
                    break
                found.pop(change.key, None)
                if isinstance(change, ContextEntry):
                    envelope = decode_message_envelope(change.value)
                    if envelope is not None:
                        found[change.key] = change.info.revision, envelope
        # In the order of their coming, which is that of sending for each sender.
        return [envelope for _, envelope in sorted(found.values(), key=lambda each: each[0])]


class Inbox:
    """Iterates over messages as they come; each once, though it stays until it is acknowledged."""

    def __init__(self, changes: AsyncIterator[ContextChange]) -> None:
        """Read `changes` of the context; `Mailbox.watch` makes it."""
        self._changes = changes
        self.current = False
        """Whether all that was there at first has been told."""

    def __aiter__(self) -> Inbox:
        """Return itself."""
        return self

    async def __anext__(self) -> MessageEnvelope:
        """Return the next message."""
        async for change in self._changes:
            if isinstance(change, ContextCurrent):
                self.current = True
            elif isinstance(change, ContextEntry):
                envelope = decode_message_envelope(change.value)
                if envelope is not None:
                    return envelope
        raise StopAsyncIteration
