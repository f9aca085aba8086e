"""The little that a relay may read: which phone's connection a sealed message belongs to.

One envelope is one binary WebSocket message between a node and its relay (PROTOCOL.md, section
6). Both sides use the same four; who may send which is theirs to enforce.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from loopsy_core.errors import ProtocolViolation

__all__ = [
    "ENVELOPE_OVERHEAD",
    "LONGEST_WHY",
    "Bytes",
    "Close",
    "Envelope",
    "Joined",
    "Left",
    "decode_envelope",
    "encode_envelope",
]

# Bytes that `Bytes` adds to the sealed message in it: array, tag, u32 and the length of a bin32.
ENVELOPE_OVERHEAD: Final = 1 + 1 + 5 + 5

# Characters of a reason, an id or an address: it goes into log lines and onto small screens.
LONGEST_WHY: Final = 100

_Conn: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=LONGEST_WHY)]


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Relay to node: the phone with the id `client` connected from the address `from_`."""

    conn: _Conn
    client: _Text
    from_: _Text


class Bytes(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Both ways: one sealed message of, or for, the phone on `conn`."""

    conn: _Conn
    sealed: bytes


class Left(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Relay to node: the phone is gone; `conn` will not be heard of again."""

    conn: _Conn
    why: _Text


class Close(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Node to relay: end that phone's connection, and tell it `why`."""

    conn: _Conn
    why: _Text


Envelope: TypeAlias = Joined | Bytes | Left | Close

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    """Return `envelope` as the bytes of one WebSocket message.

    Nothing is checked: a `conn` outside of u32 or a text over `LONGEST_WHY` characters is the
    caller's mistake, and the other side will refuse it.
    """
    return _encoder.encode(envelope)


def decode_envelope(data: bytes) -> Envelope:
    """Return the envelope that `data` holds; elements that a newer version added are ignored.

    Raises `ProtocolViolation` for everything else, without repeating what was in it.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # RecursionError: even an element that is skipped is walked, however deep it is.
        raise ProtocolViolation(f"a message that is no envelope ({_shape_of(error)})") from error


def _shape_of(error: Exception) -> str:
    """Return msgspec's words, which name types and places; never a stranger's text."""
    return str(error) if isinstance(error, msgspec.ValidationError) else type(error).__name__
