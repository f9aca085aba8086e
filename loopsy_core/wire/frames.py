"""Length-prefixed frames: messages on a byte stream (unix sockets and TCP).

PROTOCOL.md section 1: a big-endian `u32` length, then that many bytes. A length of zero or
above the limit is refused before a byte of it is kept.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import ProtocolViolation

from .codec import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["FrameDecoder", "encode_frames", "frame_parts"]

LEAST: Final = 4096
"""Bytes that there is room for where little comes."""
READ_AHEAD: Final = 5 << 16
"""The same where much comes at once: a piece of a file, and the beginning of the next."""
WORTH_GATHERING: Final = 32_768
"""Bytes that it costs more to join than to have the system gather them."""
MOST_PARTS: Final = 64

_LENGTH = Struct(">I")


def encode_frames(messages: Iterable[bytes]) -> bytes:
    """Return the frames of `messages`, joined: one write for all of them."""
    return b"".join(_parts(messages))


def frame_parts(messages: Sequence[bytes]) -> list[bytes]:
    """Return the same in parts, few of them, where it is too much to be copied once more."""
    parts = _parts(messages)
    if len(messages) == 1 and len(messages[0]) < WORTH_GATHERING:  # a keystroke, say
        return [parts[0] + parts[1]]
    if len(parts) > MOST_PARTS or sum(map(len, parts)) < WORTH_GATHERING:
        return [b"".join(parts)]
    return parts


def _parts(messages: Iterable[bytes]) -> list[bytes]:
    parts: list[bytes] = []
    for message in messages:
        if not 0 < len(message) <= MAX_MESSAGE:
            raise ValueError(f"a message has 1 to {MAX_MESSAGE} bytes, not {len(message)}")
        parts.append(_LENGTH.pack(len(message)))
        parts.append(message)
    return parts


class FrameDecoder:
    """Takes bytes in pieces of any size, gives whole messages; keeps at most one frame.

    Bytes are read right into its buffer, which grows as they come and not as they are announced.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        """Refuse messages of more than `limit` bytes."""
        self._limit = limit
        self._buffer = memoryview(bytearray(LEAST))
        self._begin = 0  # of what came and was not given yet
        self._end = 0
        self._last = 0  # bytes that came at once

    @property
    def waiting(self) -> bool:
        """Whether part of a frame has come: an end of the stream now is a cut."""
        return self._begin < self._end

    def space(self) -> memoryview:
        """Return where the next bytes belong; what `came` has given is overwritten from here on."""
        if self._begin == self._end < LEAST == len(self._buffer):  # small messages, one at a time
            self._begin = self._end = 0
            return self._buffer
        kept = self._buffer[self._begin : self._end]
        size = self._wanted(len(kept))
        if size != len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        elif not self._begin:
            return self._buffer[self._end :]
        self._buffer[: len(kept)] = kept
        self._begin, self._end = 0, len(kept)
        return self._buffer[self._end :]

    def _wanted(self, kept: int) -> int:
        size = len(self._buffer)
        if self._end == size:  # what came has filled it: there may be more
            return min(8 * size, READ_AHEAD) if size < READ_AHEAD else max(size, 2 * kept)
        if not kept and self._last < LEAST:
            return LEAST
        return size

    def came(self, count: int) -> list[memoryview]:
        """Return the messages that the next `count` bytes complete, which are in the `space`.

        They hold until that is asked for again. Raises `ProtocolViolation` for a length out of
        range; the stream is then useless.
        """
        self._last = count
        self._end += count
        messages: list[memoryview] = []
        while self._end - self._begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, self._begin)
            if not 0 < length <= self._limit:
                raise ProtocolViolation(f"a frame claims {length} bytes; 1 to {self._limit} may be")
            begin = self._begin + _LENGTH.size
            if self._end < begin + length:
                break
            messages.append(self._buffer[begin : begin + length])
            self._begin = begin + length
        return messages

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Return the messages that `data` completes, in order; raises as `came` does."""
        messages: list[bytes] = []
        rest = memoryview(data)
        while rest:
            space = self.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            rest = rest[count:]
            messages += map(bytes, self.came(count))
        return messages
