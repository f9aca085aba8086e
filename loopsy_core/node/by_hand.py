"""Keys of context that are messages and tasks: who may look at them, and write them by hand.

They need the grant of what they are, beside that of context. And no machine speaks for another, or
for this one: whatever way it takes, a message that lies here is from whom it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.errors import Refused
from loopsy_core.wire import decode_message_envelope

if TYPE_CHECKING:
    from loopsy_core.wire import Grant, SetContext

    from .grants import Asker

__all__ = ["ByHand"]

INBOX: Final = "inbox:"
OUTBOX: Final = "outbox:"
ACK: Final = "ack:"
TASK: Final = "task:"
_NEEDS: Final[dict[str, Grant]] = {
    INBOX: "message",
    OUTBOX: "message",
    ACK: "message",
    TASK: "task",
}


class ByHand:
    """What one asker may do with these keys."""

    def __init__(self, asker: Asker, machine: str | None) -> None:
        """Judge for `asker`; `machine` is what it is called here, if it is another machine."""
        self._asker = asker
        self._machine = machine

    @property
    def hidden(self) -> tuple[str, ...]:
        """How the keys begin that it may not know of."""
        return tuple(each for each, grant in _NEEDS.items() if not self._asker.may(grant))

    def check_looking(self, key: str) -> None:
        """Raise `Refused` unless it may look at `key`, or at all that begins so."""
        for begin, grant in _NEEDS.items():
            if key.startswith(begin) and not self._asker.may(grant):
                raise Refused(f"{self._asker.name} may not use {begin} keys: it needs {grant!r}")

    def setting(self, request: SetContext) -> SetContext:
        """Return what may be done of `request`; raises `Refused` if that is nothing."""
        key = request.key
        self.check_looking(key)
        if self._machine is None:
            return request
        if key.startswith(OUTBOX):
            raise Refused(
                "what stands in outbox: is sent from here, and no other machine writes it"
            )
        if key.startswith(TASK):
            raise Refused("a task is changed by what is asked about tasks, and not by hand")
        if key.startswith(ACK) and key != f"{ACK}{self._machine}":
            raise Refused(f"{self._machine} acknowledges for itself, by {ACK}{self._machine}")
        if key.startswith(INBOX):
            return msgspec.structs.replace(request, if_revision=0)  # it replaces nobody's message
        return request

    def check_value(self, key: str, value: str) -> None:
        """Raise `Refused` for a message that says that it is from somebody else."""
        if self._machine is None or not key.startswith(INBOX):
            return
        envelope = decode_message_envelope(value)
        if envelope is not None and envelope.from_ != self._machine:
            raise Refused(f"from: must say {self._machine!r}, which is what you are called here")

    def check_deleting(self, key: str) -> None:
        """Raise `Refused` unless it may delete `key`."""
        self.check_looking(key)
        if self._machine is not None and key.startswith((INBOX, OUTBOX, ACK)):
            raise Refused("no other machine takes away messages, or what became of them")
