"""Who is connected at this moment, and the means to cut somebody off."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopsy_core.home import PeerId

__all__ = ["Presence", "Visit"]

MOST: Final = 32
"""Connections of one contact at once; for one more the oldest ends, which the contact may well
have lost."""


@attrs.define
class Visit:
    """One connection of a contact."""

    first: bool
    """Whether it came when there was no other."""
    last: bool = False
    """Whether it went when there was no other; told once it has."""


class Presence:
    """The live connections of each contact; pure state."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._scopes: dict[PeerId, dict[trio.CancelScope, None]] = {}  # the oldest first

    def connected(self, contact: PeerId) -> bool:
        """Whether the contact has a live connection."""
        return contact in self._scopes

    @contextmanager
    def present(self, contact: PeerId) -> Generator[Visit]:
        """Count a connection for as long as the block lasts.

        The block is cancelled, and left quietly, when the contact is cut off.
        """
        scope = trio.CancelScope()
        scopes = self._scopes.setdefault(contact, {})
        visit = Visit(first=not scopes)
        if len(scopes) >= MOST:
            oldest = next(iter(scopes))
            del scopes[oldest]
            oldest.cancel()
        scopes[scope] = None
        try:
            with scope:
                yield visit
        finally:
            scopes.pop(scope, None)
            if not scopes and self._scopes.get(contact) is scopes:
                del self._scopes[contact]
            # Those that were cut off have a set of their own, and one of them leaves it last.
            visit.last = not scopes and contact not in self._scopes

    def cut(self, contact: PeerId) -> int:
        """End all connections of a contact, and only its; return how many there were."""
        scopes = self._scopes.pop(contact, {})
        for scope in scopes:
            scope.cancel()
        return len(scopes)
