"""Who asks, and whether they may: the one place where grants are checked, and changed."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Final

import attrs

from loopsy_core.errors import Refused
from loopsy_core.home import PeerId
from loopsy_core.wire import ALL_GRANTS, PRESETS, Operation

if TYPE_CHECKING:
    from loopsy_core.peers import Contact
    from loopsy_core.wire import GrantPeer, GrantPhone

__all__ = ["HTTP", "LOCAL", "Asker", "granted"]


@attrs.frozen
class Asker:
    """Whoever opened a connection, as its door has proven it."""

    name: str
    grants: frozenset[str]
    contact: PeerId | None = None
    """Who it is in the book; None for this machine's own user."""

    def may(self, grant: str | None) -> bool:
        """Whether the asker holds `grant`; None is for everybody."""
        return grant is None or grant in self.grants

    def check(self, operation: type[Operation[object]]) -> None:
        """Raise `Refused` unless the asker may ask this."""
        if not self.may(operation.grant):
            kind, _, name = self.name.partition(" ")
            command = "phone" if kind == "phone" else "peers"
            raise Refused(
                f"{self.name} may not ask {operation.op}: it needs {operation.grant!r}; on the"
                f" machine that was asked, `loopsy {command} grant {shlex.quote(name)}"
                f" +{operation.grant}` gives it"
            )


LOCAL: Final = Asker("this machine's user", frozenset(ALL_GRANTS))
"""Whoever reached the unix socket: the kernel says that it is the same user."""

HTTP: Final = Asker("http", LOCAL.grants)
"""Whoever holds the key of the HTTP door, which only the same user can read."""


def granted(contact: Contact, request: GrantPeer | GrantPhone) -> Contact:
    """Return `contact` with what `request` wants it to be able to do, and until when.

    Raises `Refused` for an end that lies in the past.
    """
    grants = contact.grants if request.preset is None else frozenset(PRESETS[request.preset])
    grants = (grants | frozenset(request.add)) - frozenset(request.remove)
    expires_at = contact.expires_at if request.expires is None else request.expires
    if request.expires is not None and request.expires <= time.time():
        raise Refused("a pairing cannot expire in the past")
    return attrs.evolve(
        contact,
        grants=grants,
        expires_at=None if request.lasting else expires_at,
        # Who may not even wish it any more is asked about anew, should it wish it again.
        auto_approve=contact.auto_approve and "approve" in grants,
    )
