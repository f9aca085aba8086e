"""Hypothesis strategies for everything that is said, read off the types themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

# Text as MessagePack has it: any character, but no half of a surrogate pair.
characters = st.characters(exclude_categories=["Cs"])

MOST = 40  # elements or characters of a drawn value, where the type allows more


@cache  # hypothesis looks through each new strategy, which takes longer than drawing from it
def values(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any type or union of types
    """Return a strategy for values that the type `kind` allows, its limits included."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=ge, le=le):
            # MessagePack's own range, where the type names none.
            return st.integers(-(2**63) if ge is None else ge, 2**64 - 1 if le is None else le)
        case inspect.FloatType(ge=ge, gt=gt, le=le):
            low = gt if ge is None else ge
            exclude = ge is None and gt is not None
            return st.floats(low, le, exclude_min=exclude, allow_nan=False)
        case inspect.StrType(min_length=low, max_length=high):
            return st.text(characters, min_size=low or 0, max_size=_most(high))
        case inspect.BytesType(min_length=low, max_length=high):
            return st.binary(min_size=low or 0, max_size=_most(high))
        case inspect.LiteralType(values=allowed):
            return st.sampled_from(allowed)
        case inspect.UnionType(types=types):
            return st.one_of([_of(each) for each in types])
        case inspect.ListType(item_type=item, min_length=low):
            return st.lists(_of(item), min_size=low or 0, max_size=4)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=4)
        case inspect.RawType():
            return st.builds(lambda value: msgspec.Raw(msgspec.msgpack.encode(value)), documents)
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _of(field.type) for field in fields})
        case _:
            raise NotImplementedError(info)


def _most(limit: int | None) -> int:
    return MOST if limit is None else min(limit, MOST)


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=MOST)
    | st.text(characters, max_size=MOST),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(characters, max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
"""Anything that MessagePack can say."""
