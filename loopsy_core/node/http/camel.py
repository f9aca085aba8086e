"""The node's own values as this API shows them: names in camelCase, times in milliseconds.

Made from the types of `wire`, so that what is added there is shown here, and described too.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec

__all__ = ["in_ms", "shown", "twin"]

_TIME: Final = ("_at", "_until")
"""How the names of all times end; in `wire` they are seconds since 1970."""


def in_ms(seconds: float) -> int:
    """Return seconds as this API tells times and lengths of time."""
    return round(seconds * 1000)


@cache
def twin(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the type of what `shown` makes of a `kind`."""
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__,
        [_field(field) for field in msgspec.structs.fields(kind)],
        namespace={"__doc__": kind.__doc__},
        frozen=True,
        rename="camel",
        tag=config.tag,
        tag_field=config.tag_field,
    )


def shown(value: msgspec.Struct) -> msgspec.Struct:
    """Return `value` in the form in which it is to be shown."""
    values = {
        name: in_ms(held) if name.endswith(_TIME) and held is not None else held
        for name, held in msgspec.structs.asdict(value).items()
    }
    return twin(type(value))(**values)


def _field(field: msgspec.structs.FieldInfo) -> tuple[str, object]:
    kind = field.type
    if field.name.endswith(_TIME):
        kind = int if kind is float else int | None
    # What has no default there is always there, and so is what has one: all of it is required.
    return (field.name, kind)
