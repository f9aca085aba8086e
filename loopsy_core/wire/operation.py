"""What a request is: a frozen struct whose class says its name, its grant and its reply.

Beside it stand the kinds of values that requests are made of, with their limits.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Generic, Literal, TypeAlias, TypeVar, cast

import msgspec

from loopsy_core.errors import BadRequest

from .codec import Raw, decode
from .grants import Grant

__all__ = [
    "MAX_CELLS",
    "MAX_NAME",
    "Argument",
    "Cells",
    "Limit",
    "Name",
    "Offset",
    "Operation",
    "Reference",
    "Text",
    "clean_name",
    "read_reply",
]

R = TypeVar("R")

MAX_CELLS: Final = 1000
"""Columns or rows of the largest terminal."""
MAX_NAME: Final = 64
"""Characters of what a session, a viewer or a command is called."""

Cells: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_CELLS)]
Offset: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Reference: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""An id, a unique beginning of one, or a name."""
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=4096)]
Argument: TypeAlias = Annotated[str, msgspec.Meta(max_length=131_072)]


Limit: TypeAlias = Literal["execute", "transfer", "context"]
"""The kinds of requests that are limited, as the settings name them."""


class Operation(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A request whose reply is an `R`."""

    op: ClassVar[str]
    grant: ClassVar[Grant | None]
    reply: ClassVar[type[object]]
    limited_as: ClassVar[Limit | None] = None
    """Which rate limit counts it, if any does."""
    about: ClassVar[str | None] = None
    """The parameter that says what it is about, for the audit log; never a secret or content."""


def read_reply(operation: Operation[R], result: bytes | Raw) -> R:
    """Return the reply to `operation` that `result` holds, or raise `BadRequest`."""
    return cast("R", decode(result, operation.reply))


def clean_name(name: str, whose: str) -> str:
    """Return a `Name` without blanks around it.

    Raises `BadRequest`, naming `whose` it would be, when it is not printable or nothing is left.
    """
    name = name.strip()
    if not name or not name.isprintable():
        raise BadRequest(f"a {whose}'s name is printable and not empty")
    return name
