"""What a tool is: a frozen struct whose class says its name, and whose fields are its arguments.

A tool's docstring is what the model reads, so each is written for one that has never seen Loopsy,
and is short: every word of it is paid for in every conversation.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    Final,
    Literal,
    Protocol,
    TypeAlias,
    get_args,
    get_origin,
)

import attrs
import msgspec

from loopsy_core.errors import BadRequest

if TYPE_CHECKING:
    from .desk import Desk

__all__ = [
    "PATIENCE",
    "Group",
    "Json",
    "MachineName",
    "MostText",
    "Said",
    "Seconds",
    "Tell",
    "Tool",
    "description_of",
    "read_arguments",
    "schema_of",
]

Group: TypeAlias = Literal["peers", "execute", "session", "files", "context", "messages", "tasks"]
"""What belongs together; `mcp.deny` may name a group as well as a tool."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MachineName: TypeAlias = Annotated[
    str, msgspec.Meta(max_length=64, description="Machine name; default: this one")
]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=3600)]
PATIENCE: Final = 45.0
"""Seconds that a tool waits unless told otherwise; some clients give up after 60."""
MostText: TypeAlias = Annotated[int, msgspec.Meta(ge=500, le=200_000)]
"""Characters of a result; what is longer is cut in its middle."""


class Tell(Protocol):
    """Tells whoever waits how far a tool is."""

    async def __call__(self, done: float, total: float | None, message: str) -> None:
        """Say that `done` of `total` seconds or bytes are over; a client may show `message`."""


@attrs.frozen
class Said:
    """What a tool has to say: a text that reads well, and the same as data."""

    text: str
    data: Mapping[str, Json]
    failed: bool = False
    """Whether it is of something that went wrong, though there is more to say than that."""


class Tool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool with the arguments of one call."""

    tool: ClassVar[str]
    """Its name, as clients see it."""
    group: ClassVar[Group]
    reads_only: ClassVar[bool] = False

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Do it; raises `LoopsyError` with words that a model can act on."""
        raise NotImplementedError


def read_arguments(kind: type[Tool], arguments: Mapping[str, object] | None) -> Tool:
    """Return the call that `arguments` describe, or raise `BadRequest` naming what is wrong.

    Null counts as left out, and so does an empty text where nothing is the default: many models
    send them where they have nothing to say.
    """
    fields = msgspec.structs.fields(kind)
    idle = {field.name for field in fields if field.default is None}
    given = {
        name: value
        for name, value in (arguments or {}).items()
        if value is not None and not (value == "" and name in idle)
    }
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__)
        what = str(error).replace("`$.", "`").replace("Object ", "the call ")
        for field in fields:
            if what.endswith(f"`{field.name}`") and get_origin(field.type) is Literal:
                what += f", which is one of: {', '.join(get_args(field.type))}"
        takes = f"Its arguments are: {known}" if known else "It takes none"
        raise BadRequest(f"{kind.tool}: {what}. {takes}") from None


def schema_of(kind: type[Tool]) -> dict[str, Json]:
    """Return the JSON schema of a tool's arguments, with nothing that says what is clear anyway."""
    (_,), components = msgspec.json.schema_components((kind,))
    full = components[kind.__name__]
    properties: dict[str, Json] = {name: _slim(value) for name, value in full["properties"].items()}
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    if required := full.get("required"):
        schema["required"] = required
    return schema


def description_of(kind: type[Tool]) -> str:
    """Return what the model reads of a tool."""
    return inspect.cleandoc(kind.__doc__ or "")


_NULL: Final[dict[str, Json]] = {"type": "null"}


def _slim(schema: dict[str, Json]) -> dict[str, Json]:
    """Leave out null and the default null of what may be left out."""
    slim = dict(schema)
    if slim.get("default", 0) is None:
        del slim["default"]
    kinds = slim.get("anyOf")
    if isinstance(kinds, list) and _NULL in kinds:
        left = [kind for kind in kinds if kind != _NULL]
        if len(left) == 1 and isinstance(left[0], dict):
            del slim["anyOf"]
            return {**left[0], **slim}
        slim["anyOf"] = left
    return slim
