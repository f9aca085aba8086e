"""Contacts that would like agents to approve by themselves, and this machine's user's word on it.

The word holds until the contact is revoked. Nothing but the wish travels: no password, no code.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import BadRequest, Busy, NotFound, Refused
from loopsy_core.wire import ApprovalDecided, ApprovalRequest, ApprovalWanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Broadcast
    from loopsy_core.peers import Book
    from loopsy_core.wire import Event

    from .grants import Asker

__all__ = ["Approvals"]

PATIENCE: Final = 120.0
"""Seconds that a contact waits for this machine's user."""
AFTER_DENIAL: Final = 30.0
"""Seconds in which a contact that was denied need not ask again."""
MAX_WAITING: Final = 20

_log = logging.getLogger("loopsy.approvals")


class _Wish:
    """One contact's wish, and what becomes of it."""

    def __init__(self, request: ApprovalRequest) -> None:
        self.request = request
        self.allowed: bool | None = None
        self.decided = trio.Event()


class Approvals:
    """Who waits; what was confirmed stands in the book."""

    def __init__(self, book: Book, events: Broadcast[Event], notify: Callable[[str], None]) -> None:
        """Ask this machine's user by event, and by `notify`, which never blocks or fails."""
        self._book = book
        self._events = events
        self._notify = notify
        self._wishes: dict[PeerId, _Wish] = {}
        self._denied: dict[PeerId, float] = {}

    def list(self) -> list[ApprovalRequest]:
        """Return who waits, the oldest first."""
        return [wish.request for wish in self._wishes.values()]

    async def need(self, asker: Asker, kind: str) -> None:
        """Return once `asker` may start agents that approve by themselves.

        Raises `Refused` when it may not, is denied, or nobody decides in time. Cancelled, the
        wish is taken back.
        """
        if asker.contact is None:
            return  # it is this machine's user
        if not asker.may("approve"):
            raise Refused(f"{asker.name} may not have agents approve by themselves")
        contact = self._book.get(asker.contact)
        if contact is None:
            raise Refused("revoked")
        if contact.auto_approve:
            return
        if trio.current_time() - self._denied.get(contact.id, float("-inf")) < AFTER_DENIAL:
            raise Refused("this machine's user has just said no")
        if contact.id in self._wishes:
            raise Busy("this machine's user has been asked already and has not answered yet")
        if len(self._wishes) >= MAX_WAITING:
            raise Busy("too many devices wait for this machine's user already")
        request = ApprovalRequest(contact.id, contact.name, kind, time.time())
        await self._wait(_Wish(request), contact.id)

    async def _wait(self, wish: _Wish, contact: PeerId) -> None:
        request = wish.request
        self._wishes[contact] = wish
        try:
            self._events.publish(ApprovalWanted(request.contact, request.name, request.kind))
            self._notify(f"{request.name} would like {request.kind} to ask nothing: loopsy approve")
            with trio.move_on_after(PATIENCE):
                await wish.decided.wait()
        finally:
            if self._wishes.get(contact) is wish:
                del self._wishes[contact]
        if wish.allowed is None:
            raise Refused("nobody confirmed it there in time; `loopsy approve` does")
        if not wish.allowed:
            raise Refused("this machine's user has said no")

    async def decide(self, reference: str, *, allow: bool) -> ApprovalRequest:
        """Confirm or deny what a contact, given by id, its beginning or name, waits for."""
        found = [
            (contact, wish)
            for contact, wish in self._wishes.items()
            if wish.request.name == reference or contact.startswith(reference)
        ]
        if not found:
            raise NotFound(f"{reference!r} waits for nothing; `loopsy approve` lists who does")
        if len(found) > 1:
            ids = ", ".join(contact[:8] for contact, _ in found)
            raise BadRequest(f"{reference!r} may mean several devices: {ids}")
        [(contact_id, wish)] = found
        if allow:
            contact = self._book.get(contact_id)
            if contact is None:
                raise NotFound("that device has been revoked")
            await self._book.put(attrs.evolve(contact, auto_approve=True))
            if self._book.get(contact_id) is None:
                raise NotFound("that device has been revoked")
        else:
            self._denied[contact_id] = trio.current_time()
            if len(self._denied) > MAX_WAITING:
                del self._denied[next(iter(self._denied))]
        wish.allowed = allow
        wish.decided.set()
        request = wish.request
        self._events.publish(ApprovalDecided(request.contact, request.name, allow))
        _log.info("%s %s", "confirmed" if allow else "denied", request.name)
        return request
