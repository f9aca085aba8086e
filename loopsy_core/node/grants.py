"""Who asks, and whether they may: the one place where grants are checked."""

from __future__ import annotations

from typing import Final

import attrs

from loopsy_core.errors import Refused
from loopsy_core.home import PeerId
from loopsy_core.wire import ALL_GRANTS, Operation

__all__ = ["HTTP", "LOCAL", "Asker"]


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
            raise Refused(f"{self.name} may not ask {operation.op}: it needs {operation.grant!r}")


LOCAL: Final = Asker("this machine's user", frozenset(ALL_GRANTS))
"""Whoever reached the unix socket: the kernel says that it is the same user."""

HTTP: Final = Asker("http", LOCAL.grants)
"""Whoever holds the key of the HTTP door, which only the same user can read."""
