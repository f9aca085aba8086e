"""Values to bytes and back: MessagePack by msgspec, with errors that name the field.

Every value that crosses a process is a frozen `msgspec.Struct`. Decoding validates types,
ranges and lengths in one pass, so that nothing unchecked gets past this file.
"""

from __future__ import annotations

from typing import Final, TypeVar, cast

import msgspec

from loopsy_core.errors import BadRequest

__all__ = ["MAX_MESSAGE", "Raw", "decode", "decode_as", "encode", "tag_of"]

T = TypeVar("T")
Raw = msgspec.Raw

MAX_MESSAGE = 1 << 20
"""Bytes of the largest message on any transport, before sealing."""
LONGEST_COMPLAINT: Final = 200
"""Characters of a value that is complained about, and of where it stood."""

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}  # by type, of which there are few


def encode(value: object) -> bytes:
    """Return `value` as MessagePack."""
    return _encoder.encode(value)


def decode(data: bytes | Raw, kind: type[T]) -> T:
    """Return the `kind` that `data` holds.

    Raises `BadRequest`, naming the field, when `data` is no MessagePack or not a `kind`.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return cast("T", decode_as(data, decoder))


def decode_as(data: bytes | Raw, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """Do the same with a decoder of one's own; for unions, which are no types to pass."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(_sentence(str(error))) from None


def tag_of(data: bytes) -> str:
    """Return the `type` of a tagged map, also of one that only a newer version knows.

    Raises `BadRequest` when `data` is none.
    """
    return decode_as(data, _tagged).type


class _Tagged(msgspec.Struct):
    type: str


_tagged: Final = msgspec.msgpack.Decoder(_Tagged)


def _sentence(text: str) -> str:
    """Return what msgspec says, with the path as a person writes it, and at a bearable length."""
    # It ends with the path: "Expected `int`, got `str` - at `$.cols`". Before that it may repeat
    # a value ("Invalid enum value '...'"), which a stranger can make a megabyte long.
    what, at, path = text.replace("`$.", "`").rpartition(" - at ")
    return f"{what[:LONGEST_COMPLAINT]}{at}{path[:LONGEST_COMPLAINT]}"
