"""Length-prefixed frames: messages on a byte stream (unix sockets and TCP).

PROTOCOL.md section 1: a big-endian `u32` length, then that many bytes. A length of zero or
above the limit is refused before a byte of it is kept.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from loopsy_core.errors import ProtocolViolation

from .codec import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FrameDecoder", "encode_frames"]

_LENGTH = Struct(">I")


def encode_frames(messages: Iterable[bytes]) -> bytes:
    """Return the frames of `messages`, joined: one write for all of them."""
    parts: list[bytes] = []
    for message in messages:
        if not 0 < len(message) <= MAX_MESSAGE:
            raise ValueError(f"a message has 1 to {MAX_MESSAGE} bytes, not {len(message)}")
        parts.append(_LENGTH.pack(len(message)))
        parts.append(message)
    return b"".join(parts)


class FrameDecoder:
    """Takes bytes in pieces of any size, gives whole messages; keeps at most one frame."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        """Refuse messages of more than `limit` bytes."""
        self._limit = limit
        self._buffer = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether part of a frame has come: an end of the stream now is a cut."""
        return bool(self._buffer)

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Return the messages that `data` completes, in order.

        Raises `ProtocolViolation` for a length out of range; the stream is then useless.
        """
        buffer: bytes | bytearray
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        else:
            buffer = data
        messages: list[bytes] = []
        at = 0
        size = len(buffer)
        while size - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if not 0 < length <= self._limit:
                raise ProtocolViolation(f"a frame claims {length} bytes; 1 to {self._limit} may be")
            end = at + _LENGTH.size + length
            if size < end:
                break
            messages.append(bytes(buffer[at + _LENGTH.size : end]))
            at = end
        if buffer is self._buffer:
            del self._buffer[:at]
        else:
            self._buffer += data[at:]
        return messages
