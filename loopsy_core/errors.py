"""What can go wrong, named by whose fault it is and what to do about it.

Every error that crosses a call, reaches a person or ends a command is one of these. Each
kind has a stable `code`, which travels on the wire and stands in `--json` output, and the
HTTP `status` that says the same to a web client. Foreign errors (`OSError`, libraries') are
turned into ours at the edge where they enter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BadRequest",
    "Busy",
    "Conflict",
    "Full",
    "Gone",
    "LoopsyError",
    "Misconfigured",
    "NoDaemon",
    "NotFound",
    "PeerLeft",
    "ProtocolViolation",
    "Refused",
    "error_from_code",
]


class LoopsyError(Exception):
    """Something failed, and the message says what happened and what to try.

    Raised as itself it means our own fault: a bug, or a machine that lets us down.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **details: str | int) -> None:
        """Keep `message`: one sentence or two, for a person; and `details` for a program."""
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(LoopsyError):
    """The asker's fault: a value that cannot be. Asking again as it stands is pointless."""

    code = "bad_request"
    status = 400


class Refused(LoopsyError):
    """The asker may not: no grant, a wrong code, an unknown or revoked key."""

    code = "refused"
    status = 403


class NotFound(LoopsyError):
    """There is no such session, peer, phone or file."""

    code = "not_found"
    status = 404


class Conflict(LoopsyError):
    """It has changed meanwhile: look at it anew, and decide again."""

    code = "conflict"
    status = 409


class Full(LoopsyError):
    """There is no room for it: something has to be deleted first, or a limit raised."""

    code = "full"
    status = 507


class Gone(LoopsyError):
    """The other side went away; the same request may succeed once it is back."""

    code = "gone"
    status = 503


class NoDaemon(Gone):
    """No node runs in this home."""

    code = "no_daemon"


class PeerLeft(Gone):
    """The connection to another machine was lost; what was asked there may or may not be done."""

    code = "peer_left"


class Busy(LoopsyError):
    """Too much at once, or held by somebody else; later may work."""

    code = "busy"
    status = 429


class Misconfigured(LoopsyError):
    """A file, permission or setting on this machine must be mended first."""

    code = "misconfigured"


class ProtocolViolation(LoopsyError):
    """The other side sent what the protocol does not allow; the connection ends."""

    code = "protocol"
    status = 400


_KINDS: dict[str, type[LoopsyError]] = {
    kind.code: kind
    for kind in (
        LoopsyError,
        BadRequest,
        Refused,
        NotFound,
        Conflict,
        Full,
        Gone,
        NoDaemon,
        PeerLeft,
        Busy,
        Misconfigured,
        ProtocolViolation,
    )
}


def error_from_code(
    code: str, message: str, details: Mapping[str, str | int] | None = None
) -> LoopsyError:
    """Return the error that the other side of a call named by `code`.

    A code from a newer version than ours becomes a plain `LoopsyError`.
    """
    return _KINDS.get(code, LoopsyError)(message, **(details or {}))
