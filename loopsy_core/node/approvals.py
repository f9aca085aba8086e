"""Contacts that would like agents to approve by themselves, and this machine's user's word on it.

The word holds until the contact is revoked, pairs anew, or the user takes it back. Nothing but
the wish travels: no password, no code. A yes is for the one wish that was shown: each has an id
of its own, so whatever a contact calls itself, and however it changes its mind while the user
reads, another wish is not confirmed with it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import Busy, NotFound, Refused
from loopsy_core.wire import ApprovalDecided, ApprovalRequest, ApprovalWanted, ApprovalWithdrawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loopsy_core.home import PeerId
    from loopsy_core.kit import Broadcast
    from loopsy_core.peers import Book, Contact
    from loopsy_core.wire import Event

    from .grants import Asker

__all__ = ["Approvals"]

PATIENCE: Final = 120.0
"""Seconds that a contact waits for this machine's user."""
AFTER_DENIAL: Final = 30.0
"""Seconds in which a contact that was denied need not ask again."""
MINUTE: Final = 60.0
ASKS: Final = 6
"""Wishes that a contact may have in a minute, taken back or not."""
MAX_NOTICES: Final = 6
"""Notices on the desktop in a minute, one for each contact."""
MAX_WAITING: Final = 20
MAX_RECENT: Final = 1000
"""Moments that are remembered; more than there can be contacts that do something at once."""

_log = logging.getLogger("loopsy.approvals")


class _Wish:
    """One contact's wish, and what becomes of it."""

    def __init__(self, request: ApprovalRequest, contact: Contact) -> None:
        self.request = request
        self.contact = contact
        self.allowed: bool | None = None  # None: nobody's word came, or it could not be kept
        self.decided = trio.Event()


class _Lately:
    """Who did something within the last seconds; forgets the rest."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[tuple[float, PeerId]] = deque(maxlen=MAX_RECENT)

    def count(self, contact: PeerId | None = None) -> int:
        """Return how often `contact` did it, or everybody."""
        while self._times and trio.current_time() - self._times[0][0] >= self._seconds:
            self._times.popleft()
        return sum(contact in (None, who) for _, who in self._times)

    def add(self, contact: PeerId) -> None:
        self._times.append((trio.current_time(), contact))


class Approvals:
    """Who waits; what was confirmed stands in the book."""

    def __init__(self, book: Book, events: Broadcast[Event], notify: Callable[[str], None]) -> None:
        """Ask this machine's user by event, and by `notify`, which never blocks or fails."""
        self._book = book
        self._events = events
        self._notify = notify
        self._wishes: dict[str, _Wish] = {}
        self._asked = _Lately(MINUTE)
        self._noticed = _Lately(MINUTE)
        self._denied = _Lately(AFTER_DENIAL)

    def list(self) -> list[ApprovalRequest]:
        """Return who waits, the oldest first."""
        return [wish.request for wish in self._wishes.values()]

    async def need(self, asker: Asker, kind: str) -> None:
        """Return once `asker` may start agents that approve by themselves.

        Raises `Refused` when it may not, is denied, or nobody decides in time, and `Busy` when it
        asks too often. Cancelled, the wish is taken back.
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
        if self._denied.count(contact.id):
            raise Refused("this machine's user has just said no")
        if self._wishes_of(contact.id):
            raise Busy("this machine's user has been asked already and has not answered yet")
        if self._asked.count(contact.id) >= ASKS:
            raise Busy("this machine's user has been asked too often; try again in a minute")
        if len(self._wishes) >= MAX_WAITING:
            raise Busy("too many devices wait for this machine's user already")
        self._asked.add(contact.id)
        request = ApprovalRequest(secrets.token_hex(4), contact.id, contact.name, kind, time.time())
        await self._wait(_Wish(request, contact))

    async def _wait(self, wish: _Wish) -> None:
        request = wish.request
        self._wishes[request.id] = wish
        try:
            self._events.publish(ApprovalWanted(request.contact, request.name, request.kind))
            self._notice(wish)
            with trio.move_on_after(PATIENCE):
                await wish.decided.wait()
        finally:
            self._wishes.pop(request.id, None)
        if wish.allowed is None:
            raise Refused("nobody confirmed it there in time; `loopsy approve` does")
        if not wish.allowed:
            raise Refused("this machine's user has said no")

    def _notice(self, wish: _Wish) -> None:
        """Tell this machine's user on the desktop, unless that was done just now."""
        request = wish.request
        if self._noticed.count(wish.contact.id) or self._noticed.count() >= MAX_NOTICES:
            return
        self._noticed.add(wish.contact.id)
        # The name stands last: it is the device's own word, and nothing of ours is to follow it.
        self._notify(
            f"May {request.kind} ask nothing any more? `loopsy approve` decides."
            f" It is wanted by device {request.contact[:8]}, named {request.name}"
        )

    async def decide(self, request: str, *, allow: bool) -> ApprovalRequest:
        """Confirm or deny the wish whose id is `request`, and no other.

        Raises `NotFound` when it does not wait any more: it was taken back, was decided already,
        or its contact was revoked or has paired anew.
        """
        # Out of the list before anything is awaited: two answers to one wish cannot cross.
        wish = self._wishes.pop(request, None)
        if wish is None:
            raise NotFound(f"no wish {request!r} waits; `loopsy approve` lists those that do")
        try:
            if allow:
                await self._allow(wish.contact)
            else:
                self._denied.add(wish.contact.id)
            wish.allowed = allow
        finally:
            wish.decided.set()
        self._tell(wish.contact, allowed=allow)
        return wish.request

    async def _allow(self, contact: Contact) -> None:
        if await self._book.change(contact, _with_approval) is None:
            raise NotFound("that device was revoked, or has paired anew; nothing was decided")

    async def withdraw(self, reference: str) -> ApprovalWithdrawn:
        """Take back what a contact, given by id, its beginning or name, was allowed, or wishes.

        It may ask again. Agents that it has started go on as they are.
        """
        contact = self._book.find(reference, None)
        for wish in self._wishes_of(contact.id):
            await self.decide(wish.request.id, allow=False)
        if await self._book.change(contact, _without_approval) is None:
            raise NotFound("that device was revoked, or has paired anew; it is allowed nothing")
        if contact.auto_approve:
            self._tell(contact, allowed=False)
        return ApprovalWithdrawn(contact.id, contact.name)

    def _wishes_of(self, contact: PeerId) -> Sequence[_Wish]:
        return [wish for wish in self._wishes.values() if wish.contact.id == contact]

    def _tell(self, contact: Contact, *, allowed: bool) -> None:
        self._events.publish(ApprovalDecided(contact.id, contact.name, allowed))
        _log.info("%s %s (%s)", "confirmed" if allowed else "denied", contact.name, contact.id[:8])


def _with_approval(contact: Contact) -> Contact:
    return attrs.evolve(contact, auto_approve=True)


def _without_approval(contact: Contact) -> Contact:
    return attrs.evolve(contact, auto_approve=False)
