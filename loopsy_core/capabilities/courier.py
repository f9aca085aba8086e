"""Handing one machine what waits for it: messages in the order of sending, and receipts.

A message is taken out of the queue once the other machine has answered that it is on its disk. An
answer that is lost means handing it over again; the other side knows it for the same.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import trio

from loopsy_core.errors import BadRequest, Conflict, Gone, LoopsyError, NotFound, Refused
from loopsy_core.kit import Backoff
from loopsy_core.wire import (
    MAX_DELIVERIES,
    MAX_MESSAGE_TTL,
    DeliverMessages,
    Delivery,
    NoteRead,
)

from . import inbox, outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.kit import Bell
    from loopsy_core.links import Conversation
    from loopsy_core.wire import MessageState, MessageType

    from .context import Context
    from .outbox import Outgoing

__all__ = ["Courier"]

PATIENCE: Final = 30.0
"""Seconds that a machine may take to put messages on its disk."""
MOST_BYTES: Final = 262_144
"""Bytes of text that are handed over at once, but for a single message."""
SHORTEST: Final = 1.0
"""Seconds that a message is given at least, in which somebody may see it."""

_FINAL: Final = (BadRequest, Conflict, NotFound, Refused)
"""Answers that asking again will not change; all others may."""

_log = logging.getLogger("loopsy.messages")


class Courier:
    """Goes to one machine, over one connection with it."""

    def __init__(
        self,
        context: Context,
        peer: str,
        conversation: Conversation,
        clock: Callable[[], float],
    ) -> None:
        """Take what lies in `context` for `peer` to it by `conversation`."""
        self._context = context
        self._peer = peer
        self._conversation = conversation
        self._clock = clock
        self._most = MAX_DELIVERIES

    async def go(self, queued: Bell) -> None:
        """Hand over what waits, as it comes, until the connection is lost.

        `queued` is rung when something new waits. Nothing that goes wrong here ends the
        connection, which others need too.
        """
        backoff = Backoff(first=0.5, most=30.0)
        while not self._conversation.closed:
            rung = queued.listen()
            try:
                if not (await self._tell_receipts() or await self._deliver()):
                    await rung.wait()
                backoff.reset()
            except Gone:
                return
            except (LoopsyError, trio.TooSlowError) as error:
                # Theirs or ours: a disk is full, say, or too much lies there unread.
                delay = backoff.next()
                why = error if isinstance(error, LoopsyError) else "no answer"
                _log.info("messages for %s wait %.1f s: %s", self._peer[:8], delay, why)
                await trio.sleep(delay)

    async def _tell_receipts(self) -> bool:
        """Tell of messages that were read; returns whether there were any."""
        receipts = await self._context.read(
            partial(inbox.next_receipts, peer=self._peer, most=MAX_DELIVERIES)
        )
        if not receipts:
            return False
        try:
            with trio.fail_after(PATIENCE):
                await self._conversation.ask(NoteRead(ids=[each for _, each in receipts]))
        except _FINAL as error:
            _log.info("receipts for %s are dropped: %s", self._peer[:8], error)
        await self._context.transact(partial(inbox.settle_receipts, receipts=receipts))
        return True

    async def _deliver(self) -> bool:
        """Hand over the next messages; returns whether there were any."""
        outgoing = await self._context.read(
            partial(outbox.next_outgoing, peer=self._peer, most=self._most, most_bytes=MOST_BYTES)
        )
        if not outgoing:
            return False
        try:
            with trio.fail_after(PATIENCE):
                await self._conversation.ask(
                    DeliverMessages(messages=[self._delivery(each) for each in outgoing])
                )
        except (*_FINAL, _NoMessage) as error:
            if len(outgoing) == 1:
                await self._settle(outgoing, "failed", str(error))
            self._most = 1  # one of them is at fault: one after the other they show which
        except LoopsyError:
            self._most = 1  # some of them may fit where all do not
            raise
        else:
            await self._settle(outgoing, "delivered")
            self._most = min(self._most * 2, MAX_DELIVERIES)
        return True

    def _delivery(self, outgoing: Outgoing) -> Delivery:
        envelope = outgoing.envelope
        if envelope is None:
            raise _NoMessage("somebody has overwritten it in the outbox")
        left = outgoing.expires_at - self._clock()
        return Delivery(
            outgoing.id,
            envelope.ts,
            cast("MessageType", envelope.type),  # of our own writing; else it is refused there
            envelope.body,
            min(max(left, SHORTEST), MAX_MESSAGE_TTL),
            envelope.reply_to,
        )

    async def _settle(
        self, outgoing: list[Outgoing], state: MessageState, error: str | None = None
    ) -> None:
        handed = [(each.seq, each.id) for each in outgoing]
        await self._context.transact(
            partial(outbox.settle, outgoing=handed, state=state, error=error)
        )


class _NoMessage(Exception):
    """What lies in the outbox is no message any more."""
