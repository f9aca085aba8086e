"""The ten messages of which calls are made.

PROTOCOL.md section 3: each is one MessagePack array whose first element says what it is.
"""

from __future__ import annotations

from struct import Struct
from typing import Annotated, Final, TypeAlias

import msgspec

from loopsy_core.errors import LoopsyError, ProtocolViolation, error_from_code

from .codec import Raw, decode, encode

__all__ = [
    "Answer",
    "Ask",
    "Credit",
    "Data",
    "Drop",
    "End",
    "Fault",
    "Item",
    "Message",
    "Ping",
    "Pong",
    "decode_message",
    "encode_data",
    "read_fault",
]

CallId: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Begin a call."""

    id: CallId
    op: Annotated[str, msgspec.Meta(max_length=64)]
    params: Raw
    to: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The call succeeded and is over."""

    id: CallId
    result: Raw


class Fault(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The call failed and is over."""

    id: CallId
    code: Annotated[str, msgspec.Meta(max_length=64)]
    message: str
    details: Raw = Raw(b"\x80")


class Data(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A piece of the call's byte stream."""

    id: CallId
    data: bytes


class Item(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A value in the call's stream: one MessagePack document."""

    id: CallId
    value: bytes


class Credit(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """How much the other side may have sent in this call, in all."""

    id: CallId
    total: Count


class End(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The asker sends no more Data or Items."""

    id: CallId


class Drop(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The asker no longer wants the answer, or is lost."""

    id: CallId
    lost: bool = False
    """Whether the asker did not say so: somewhere on the way a connection was lost."""


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """Say whether you are there."""

    number: Count


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """I am."""

    number: Count


_DATA: Final = b"\x93\x04"
_NO_BYTES: Final = b"\xc4\0"
_BIN_32: Final = Struct(">BI")
_SHORT: Final = 0xFFFF  # from which on MessagePack has four bytes for the length

Message: TypeAlias = Ask | Answer | Fault | Data | Item | Credit | End | Drop | Ping | Pong

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode_data(call_id: int, data: bytes | memoryview) -> bytes:
    """Return a Data: what `encode` does as well, with less memory on the way where that is much."""
    if len(data) <= _SHORT:
        return encode(Data(call_id, bytes(data)))
    head = encode(Data(call_id, b""))[: -len(_NO_BYTES)]
    return b"".join((head, _BIN_32.pack(0xC6, len(data)), data))


def decode_message(data: bytes | memoryview) -> Message:
    """Return the message in `data`, to which it does not refer, or raise `ProtocolViolation`."""
    if data[:2] != _DATA:
        data = bytes(data)  # to which parts that are still encoded refer
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolViolation(f"what came is no message: {error}") from None


def read_fault(fault: Fault) -> LoopsyError:
    """Return the error that a Fault tells of, with what it tells programs as far as we know it."""
    try:
        details = decode(fault.details, dict[str, str | int])
    except LoopsyError:
        details = {}
    return error_from_code(fault.code, fault.message, details)
