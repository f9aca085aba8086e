"""What goes on beside the calls on a connection with a machine: who it is, and whether it lives.

Each side asks the other for its hello, again and again. The first tells its version and how it
can be reached; all of them are signs of life, and silence ends the connection, so that another
way can take over.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import Gone, LoopsyError, PeerLeft
from loopsy_core.wire import AskPass, Hello, HelloReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.home import PeerId
    from loopsy_core.links import Conversation
    from loopsy_core.peers import Book, Way

__all__ = ["Acquaintance"]

BEAT: Final = 5.0
"""Seconds between two signs of life that we ask for."""
PATIENCE: Final = 6.0
"""Seconds without any sign of life after which a machine is held to be gone."""

_log = logging.getLogger("loopsy.peers")


class Acquaintance:
    """One connection with one machine, of which we keep a few facts."""

    def __init__(
        self,
        book: Book,
        peer: PeerId,
        conversation: Conversation,
        way: Way,
        address_at: Callable[[int], str | None],
    ) -> None:
        """`address_at` returns where the machine could be called, given its port."""
        self._book = book
        self._peer = peer
        self._conversation = conversation
        self._way = way
        self._address_at = address_at
        self._relay_tried: str | None = None

    async def keep(self) -> None:
        """Ask for signs of life for ever; raises `PeerLeft` when there are none."""
        hello = await self._beat()
        address = None if hello.port is None else self._address_at(hello.port)
        await self._book.note_way(self._peer, address=address, version=hello.version)
        while True:
            await self._see_to_relay(hello.relay)
            await trio.sleep(BEAT)
            hello = await self._beat()

    async def _beat(self) -> HelloReply:
        began = trio.current_time()
        while True:
            with trio.move_on_after(PATIENCE):
                hello = await self._conversation.ask(Hello())
                self._way.round_trip = trio.current_time() - began
                if hello.clock is not None:
                    half_way = time.time() - self._way.round_trip / 2
                    self._way.clock_ahead = hello.clock - half_way
                return hello
            # A full link delays every answer; one that brings anything else is alive.
            if trio.current_time() - self._conversation.last_heard >= PATIENCE:
                raise PeerLeft("no sign of life")

    async def _see_to_relay(self, relay: str | None) -> None:
        """Get an account at the machine's relay, so that we reach it from elsewhere too."""
        contact = self._book.get(self._peer)
        if relay is None or contact is None or relay in (contact.relay_url, self._relay_tried):
            return
        self._relay_tried = relay  # one that cannot be reached from here is not asked for ever
        from loopsy_core.links.relay_api import RelayApi, parse_relay_url

        try:
            granted = await self._conversation.ask(AskPass())
            if granted.url is None or granted.token is None:
                return
            url = parse_relay_url(granted.url)
            redeemed = await RelayApi(url).redeem(granted.token, "machine")
            await self._book.note_way(self._peer, relay=(url, redeemed.bearer))
        except Gone:
            raise
        except LoopsyError as error:
            _log.info("no way through the relay of %s: %s", contact.name, error)
