"""Messages between machines: sent once, delivered once, in order, and receipts come back.

A message waits on disk until the other machine has it on its own. Handing it over may happen more
than once, for an answer can be lost; it stands in the inbox once all the same.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
import trio

from loopsy_core.errors import BadRequest
from loopsy_core.kit import Bell, contained
from loopsy_core.wire import MAX_BODY_BYTES, Nothing, Sent

from . import inbox, outbox
from .context import check_key
from .courier import Courier
from .due import keep_due
from .envelopes import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from loopsy_core.links import Conversation
    from loopsy_core.wire import (
        AckMessage,
        DeliverMessages,
        MessageEnvelope,
        MessageState,
        NoteRead,
        SendMessage,
    )

    from .context import Context
    from .entries import Entries

__all__ = ["Messages"]

SWEEP: Final = 200
"""Messages that are given up in one transaction."""
SET_BACK: Final = 1000
"""Milliseconds by which the clock may go back without our messages' times doing so."""

_log = logging.getLogger("loopsy.messages")


class Messages:
    """The messages of one node, kept in its context."""

    def __init__(self, context: Context, name: str, clock: Callable[[], float] = time.time) -> None:
        """Be the machine `name`; `clock` is in seconds since 1970."""
        self._context = context
        self._name = name
        self._clock = clock
        self._last = 0
        # Two connections with one machine take turns, or messages would overtake one another.
        self._turns: dict[str, trio.Lock] = {}
        self._queued = Bell()

    async def begin(self, known: Container[str]) -> None:
        """Take the inbox along if this machine had another name, and give up on machines unknown.

        `known` are those that are paired: what waits for others will never be fetched.
        """
        await self._context.transact(partial(inbox.take_name, name=self._name))
        for peer in await self._context.read(outbox.addressees):
            if peer not in known:
                await self.forget(peer)

    async def send(self, request: SendMessage, peer: str | None, to: str, owner: str = "") -> Sent:
        """Take a message for `peer`, which is called `to` here; None is this machine.

        On disk when this returns. Raises `Busy` when too many wait for that machine, and `Full`
        when there is no room, for which a message counts as the contact `owner`'s.
        """
        if len(request.body.encode()) > MAX_BODY_BYTES:
            raise BadRequest(f"a message's body has at most {MAX_BODY_BYTES} bytes")
        if request.reply_to is not None:
            check_key(request.reply_to)
        milliseconds = self._next_time()

        def work(entries: Entries) -> MessageEnvelope:
            sent = outbox.send(
                entries,
                request,
                here=self._name,
                peer=HERE if peer is None else peer,
                to=to,
                milliseconds=milliseconds,
                owner=owner,
            )
            if peer is None:
                came = msgspec.structs.replace(sent, state=None)
                inbox.put(entries, came, HERE, entries.now + request.ttl)
            return sent

        sent = await self._context.transact(work)
        self._queued.ring()
        state: MessageState = "waiting" if peer else "delivered"
        return Sent(sent.id, to, state, self._clock() + request.ttl)

    async def receive(self, request: DeliverMessages, peer: str, sender: str) -> Nothing:
        """Put messages from the contact `peer` into the inbox; on disk when this returns."""
        for message in request.messages:
            check_key(message.id)
            if message.reply_to is not None:
                check_key(message.reply_to)

        def work(entries: Entries) -> None:
            inbox.receive(entries, request.messages, peer=peer, sender=sender, here=self._name)

        await self._context.transact(work)
        return Nothing()

    async def acknowledge(self, request: AckMessage) -> Nothing:
        """Take a message out of the inbox, as read; raises `NotFound` for one that never came."""
        await self._context.transact(
            partial(inbox.acknowledge, message_id=request.id, here=self._name)
        )
        self._queued.ring()
        return Nothing()

    async def note_read(self, request: NoteRead, peer: str, name: str) -> Nothing:
        """Note what the machine `peer`, which is called `name` here, has read of what we sent."""

        def work(entries: Entries) -> None:
            for message_id in request.ids:
                outbox.was_read(entries, message_id, peer=peer, name=name)

        await self._context.transact(work)
        return Nothing()

    async def hand_over(self, peer: str, conversation: Conversation) -> None:
        """Hand everything for `peer` over by `conversation`, as it comes, until that is lost.

        Nothing is lost with it.
        """
        with contained(_log, f"handing messages to {peer[:8]}"):
            async with self._turns.setdefault(peer, trio.Lock()):
                courier = Courier(self._context, peer, conversation, self._clock)
                await courier.go(self._queued)

    async def forget(self, peer: str) -> None:
        """Give up on what waits for a machine that is not paired any more; the outbox says so."""
        why = "that machine is not paired with this one any more"

        def work(entries: Entries) -> None:
            outbox.forget_peer(entries, peer, why)
            inbox.forget_peer(entries, peer)

        await self._context.transact(work)

    async def keep_expired(self) -> NoReturn:
        """Give up on messages whose time is over, for ever; their senders see it in the outbox."""
        await keep_due(self.expire, self._queued, _log, "giving up on messages")

    async def expire(self) -> float | None:
        """Give up on what is over; return the seconds until there is more."""
        while True:
            now = self._clock()
            due = await self._context.read(outbox.next_expiry)
            if due is None or due > now:
                return None if due is None else due - now
            await self._context.transact(partial(outbox.expire, most=SWEEP))

    def _next_time(self) -> int:
        """Return the time in milliseconds, later than that of the message before.

        Ids begin with it, so that those who sort them have the order of sending.
        """
        now = int(self._clock() * 1000)
        if now <= self._last < now + SET_BACK:
            now = self._last + 1
        self._last = now
        return now
