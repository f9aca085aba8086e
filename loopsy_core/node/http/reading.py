"""Reading what a request says: JSON and queries to values, or an error that names the field."""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from loopsy_core.errors import BadRequest

__all__ = ["read_json", "read_path", "read_query"]

T = TypeVar("T")

LONGEST_COMPLAINT: Final = 300
"""Characters of what is complained about."""
MOST_FIELDS: Final = 32
_MISSING: Final = "Object missing required field `"


def read_json(data: bytes, kind: type[T]) -> T:
    """Return the `kind` that a body holds. Unknown fields are passed over."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(_sentence(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None


def read_query(query: bytes, kind: type[T]) -> T:
    """Return the `kind` that a query string holds. Unknown fields are passed over."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:  # UnicodeError is one
        raise BadRequest("the query is not valid, or has too many fields") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise BadRequest("a field stands twice in the query")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(_sentence(str(error))) from None


def read_path(raw_path: bytes) -> str:
    """Return a path percent-decoded, as strictly as nothing before has looked at it."""
    try:
        return unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        raise BadRequest("the path is not valid UTF-8") from None


def _sentence(text: str) -> str:
    """Put the field first: "command: Expected `str`, got `int`"."""
    # What msgspec says ends with the path, if there is one ("... - at `$.command`"). Before that
    # it may repeat a value, which can be long.
    what, _, path = text.partition(" - at `$")
    field = path.strip("`.")
    if what.startswith(_MISSING):
        field = f"{field}.{what[len(_MISSING) :].strip('`')}".strip(".")
        what = "is missing"
    what, field = what[:LONGEST_COMPLAINT], field[:LONGEST_COMPLAINT]
    return f"{field}: {what}" if field else what
