"""Errors as HTTP tells them: a status, and a number whose thousands say what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from loopsy_core.errors import NotFound

if TYPE_CHECKING:
    from loopsy_core.errors import LoopsyError

__all__ = [
    "BAD_REQUEST",
    "INTERNAL",
    "NO_SUCH_PATH",
    "NO_SUCH_PEER",
    "Family",
    "NoSuchPeer",
    "Wrong",
    "code_of",
    "error_body",
]

NO_SUCH_PEER: Final = 2001
INTERNAL: Final = 9001
BAD_REQUEST: Final = 9003
"""Not about anything yet: no valid HTTP, say."""
NO_SUCH_PATH: Final = 9004

Family: TypeAlias = Literal[
    "node", "peers", "execute", "transfer", "context", "messages", "tasks", "sessions"
]

_CONTEXT: Final = {
    "bad_request": 5000,
    "not_found": 5001,
    "busy": 5003,
    "conflict": 5004,
    "refused": 5005,
    "full": 5006,
}
CODES: Final[dict[Family, dict[str, int]]] = {
    "node": {"bad_request": BAD_REQUEST, "busy": 9002, "not_found": NO_SUCH_PATH},
    "peers": {"bad_request": 2000, "not_found": NO_SUCH_PEER, "refused": 2004},
    "execute": {"bad_request": 3000, "refused": 3001, "busy": 3003, "not_found": 3006},
    "transfer": {"bad_request": 4000, "refused": 4001, "not_found": 4002, "busy": 4006},
    "context": _CONTEXT,
    "messages": _CONTEXT,  # where they lie
    "tasks": {
        "bad_request": 6000,
        "not_found": 6001,
        "busy": 6003,
        "conflict": 6004,
        "refused": 6005,
        "full": 6006,
    },
    "sessions": {"bad_request": 7000, "not_found": 7001, "refused": 7002, "busy": 7003},
}
"""By the code of an error (PROTOCOL.md section 3)."""
ANYWHERE: Final = {"gone": 2002, "peer_left": 2003}
"""Whatever was asked of it, these are about another machine."""


class NoSuchPeer(NotFound):
    """It is a machine that was not found, whatever the request is about."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong; the thousands of `code` say where, as docs/http.md lists them."""

    code: int
    message: str
    details: dict[str, str | int] = {}
    """For a program, where there is more to know."""


class Wrong(msgspec.Struct, frozen=True):
    """What every answer holds that is not a success."""

    error: Problem


def code_of(error: LoopsyError, family: Family) -> int:
    """Return the number of an error of a request that is about `family`."""
    return CODES[family].get(error.code) or ANYWHERE.get(error.code, INTERNAL)


def error_body(code: int, message: str, details: dict[str, str | int] | None = None) -> bytes:
    """Return the JSON of an error."""
    return msgspec.json.encode(Wrong(Problem(code, message, details or {})))
