"""An invitation to pair with another machine: its code, its tries and its end.

It lives in memory only. Tries are counted per invitation and not per connection: whoever comes
with a wrong code, or comes with the right one and then is not who they should be, costs one.
"""

from __future__ import annotations

import secrets
from typing import Final

import attrs

from loopsy_core.errors import Busy
from loopsy_core.wire import INVITE_DIGITS, Called, Preset

__all__ = ["Invitation", "Invitations"]

TRIES: Final = 5


@attrs.define(eq=False)
class Invitation:
    """One open invitation; times are seconds since 1970 (UTC)."""

    code: str = attrs.field(repr=False)
    preset: Preset
    ends_at: float
    """When the invitation ends."""
    pairing_expires_at: float | None
    """When the pairing that comes of it ends."""
    tries_left: int = TRIES
    taken: bool = False
    """Whether somebody with the code is being compared at this moment."""


class Invitations:
    """The open invitation of a node, if there is one; pure state, time is passed in."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: Invitation | None = None

    def make(
        self, *, now: float, ttl: float, preset: Preset, pairing_expires_at: float | None
    ) -> Invitation:
        """Open an invitation for `ttl` seconds; raises `Busy` when there is one already."""
        if self._current(now) is not None:
            raise Busy("an invitation is open already on this machine; end it first (Ctrl-C there)")
        code = f"{secrets.randbelow(10**INVITE_DIGITS):0{INVITE_DIGITS}}"
        self._open = Invitation(code, preset, now + ttl, pairing_expires_at)
        return self._open

    def take(self, called: Called, now: float) -> Invitation | None:
        """Return the invitation that a caller knows the code of, which costs a try either way.

        `give_back` undoes that the caller is the only one; a try that was spent stays spent.
        """
        invitation = self._current(now)
        if invitation is None or invitation.taken:
            return None
        invitation.tries_left -= 1
        if not called.knows(invitation.code):
            if not invitation.tries_left:
                self._open = None
            return None
        invitation.taken = True
        return invitation

    def burn(self, invitation: Invitation) -> None:
        """End the invitation, however many tries are left: somebody plays with it."""
        invitation.tries_left = 0
        self.give_back(invitation)

    def give_back(self, invitation: Invitation) -> None:
        """Let somebody else try, after a caller that knew the code did not come to be trusted."""
        invitation.taken = False
        if not invitation.tries_left and self._open is invitation:
            self._open = None

    @property
    def open(self) -> bool:
        """Whether there is one that was neither used, burnt nor withdrawn."""
        return self._open is not None

    def close(self, invitation: Invitation) -> None:
        """End the invitation: it was used, or is withdrawn."""
        if self._open is invitation:
            self._open = None

    def _current(self, now: float) -> Invitation | None:
        if self._open is not None and now >= self._open.ends_at:
            self._open = None
        return self._open
