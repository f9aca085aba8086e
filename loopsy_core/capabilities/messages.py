"""Messages between machines: sent once, delivered once, in order, and receipts come back.

A message waits on disk until the other machine has it on its own. Handing it over may happen more
than once, for an answer can be lost; it stands in the inbox once all the same.
"""

from __future__ import annotations

import logging
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, cast

import trio

from loopsy_core.errors import BadRequest, Busy, Gone, LoopsyError
from loopsy_core.kit import Backoff, Watched, contained
from loopsy_core.wire import MAX_VALUE, DeliverMessage, MessageEnvelope, NoteRead, Nothing, Sent

from . import message_table as table
from .context import check_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.links import Conversation
    from loopsy_core.wire import AckMessage, ContextInfo, MessageState, MessageType, SendMessage

    from .context import Context
    from .message_table import Outgoing

__all__ = ["Messages"]

PATIENCE: Final = 30.0
"""Seconds that a machine may take to put a message on its disk."""
SWEEP: Final = 200
"""Messages that are given up in one transaction."""
LONGEST_SLEEP: Final = 60.0
"""Seconds between two looks for messages whose time is over, for the clock may be set."""
SHORTEST_SLEEP: Final = 0.05

_log = logging.getLogger("loopsy.messages")


class Messages:
    """The messages of one node, kept in its context."""

    def __init__(self, context: Context, name: str, clock: Callable[[], float] = time.time) -> None:
        """Be the machine `name`; `clock` is in seconds since 1970."""
        self._context = context
        self._name = name
        self._clock = clock
        # Two connections with one machine take turns, or messages would overtake one another.
        self._turns: dict[str, trio.Lock] = {}
        self.queued = Watched(0)
        """Changes with everything that is to be handed to another machine."""

    async def send(self, request: SendMessage, peer: str | None, to: str) -> Sent:
        """Take a message for `peer`, which is called `to` here; None is this machine."""
        now = self._clock()
        milliseconds = int(now * 1000)
        message_id = f"{milliseconds}-{self._name}-{secrets.token_hex(2)}"
        state: MessageState = "waiting" if peer else "delivered"
        envelope = MessageEnvelope(
            self._name,
            to,
            milliseconds,
            message_id,
            request.type,
            request.body,
            request.reply_to,
            state,
        )
        if len(request.body.encode()) * 2 > MAX_VALUE:
            raise BadRequest(f"a message's body has at most {MAX_VALUE // 2} bytes")
        expires_at = now + request.ttl
        changed = await self._context.transact(
            lambda connection: table.send(
                connection, envelope, peer or table.HERE, now=now, expires_at=expires_at
            )
        )
        self._tell(changed)
        if peer:
            self._queue()
        return Sent(message_id, to, state, expires_at)

    async def receive(self, message: DeliverMessage, peer: str, sender: str) -> Nothing:
        """Put a message from the contact `peer` into the inbox; it is on disk when this returns."""
        check_key(message.id)
        now = self._clock()
        changed = await self._context.transact(
            lambda connection: table.receive(
                connection, message, peer=peer, sender=sender, here=self._name, now=now
            )
        )
        self._tell(changed)
        return Nothing()

    async def acknowledge(self, request: AckMessage) -> Nothing:
        """Take a message out of the inbox, as read."""
        now = self._clock()
        changed, removed = await self._context.transact(
            lambda connection: table.acknowledge(connection, request.id, here=self._name, now=now)
        )
        self._tell(changed)
        for each in removed:
            self._context.gone(each, "deleted")
        if removed:
            self._queue()
        return Nothing()

    async def note_read(self, request: NoteRead, by: str) -> Nothing:
        """Note that the machine `by` has read what we sent."""
        now = self._clock()
        changed = await self._context.transact(
            lambda connection: table.was_read(connection, request.id, by=by, now=now)
        )
        self._tell(changed)
        return Nothing()

    # Handing over.

    async def hand_over(self, peer: str, conversation: Conversation) -> NoReturn:
        """Hand everything for `peer` over by `conversation`, as it comes, for ever.

        Raises `Gone` when the machine is lost: nothing is lost with it.
        """
        async with self._turns.setdefault(peer, trio.Lock()):
            await self._hand_over(peer, conversation)
        raise AssertionError("there is always more to come")

    async def _hand_over(self, peer: str, conversation: Conversation) -> NoReturn:
        backoff = Backoff(first=0.5, most=30.0)
        while True:
            seen = self.queued.value
            outgoing = await self._next(peer)
            if outgoing is None:
                await self.queued.wait(lambda value, seen=seen: value != seen)  # type: ignore[misc]
                continue
            try:
                with trio.fail_after(PATIENCE):
                    await self._hand_over_one(conversation, outgoing)
            except (Busy, trio.TooSlowError):
                await trio.sleep(backoff.next())
                continue
            except Gone:
                raise
            except LoopsyError as error:
                await self._settle(outgoing, "failed", str(error))
            else:
                await self._settle(outgoing, "delivered")
            backoff.reset()

    async def _next(self, peer: str) -> Outgoing | None:
        now = self._clock()
        return await self._context.read(
            lambda connection: table.next_outgoing(connection, peer, now)
        )

    async def _hand_over_one(self, conversation: Conversation, outgoing: Outgoing) -> None:
        if outgoing.kind == "read":
            await conversation.ask(NoteRead(id=outgoing.id))
            return
        envelope = outgoing.envelope
        if envelope is None:
            return  # somebody has deleted it from the outbox: it is not to be sent
        await conversation.ask(
            DeliverMessage(
                id=envelope.id,
                ts=envelope.ts,
                type=cast("MessageType", envelope.type),  # of our own writing; else it is refused
                body=envelope.body,
                reply_to=envelope.reply_to,
                ttl=max(1.0, outgoing.expires_at - self._clock()),
            )
        )

    async def _settle(
        self, outgoing: Outgoing, state: MessageState, error: str | None = None
    ) -> None:
        now = self._clock()
        changed = await self._context.transact(
            lambda connection: table.settle(connection, outgoing, state, now=now, error=error)
        )
        self._tell(changed)

    async def keep_expired(self) -> NoReturn:
        """Give up on messages whose time is over, for ever; their senders see it in the outbox."""
        while True:
            seen = self.queued.value
            pause = LONGEST_SLEEP
            with contained(_log, "giving up on messages"):
                pause = await self._expire()
            with trio.move_on_after(max(SHORTEST_SLEEP, min(pause, LONGEST_SLEEP))):
                await self.queued.wait(lambda value, seen=seen: value != seen)  # type: ignore[misc]

    async def _expire(self) -> float:
        """Give up on what is over; return the seconds until there is more."""
        while True:
            now = self._clock()
            due = await self._context.read(table.next_expiry)
            if due is None:
                return LONGEST_SLEEP
            if due > now:
                return due - now
            changed = await self._context.transact(partial(table.expire, now=now, limit=SWEEP))
            self._tell(changed)

    def _tell(self, changed: list[ContextInfo]) -> None:
        for info in changed:
            self._context.was_set(info)

    def _queue(self) -> None:
        self.queued.set(self.queued.value + 1)
