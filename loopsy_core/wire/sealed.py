"""An encrypted connection of whole messages: fragments, padding and rekeying.

PROTOCOL.md section 2. Sans-io: `seal` gives the transport messages to send, `open` takes what
arrived. Because each direction's nonce counts up, a message that was flipped, dropped,
repeated, reordered or taken from another connection does not open, and then the connection
is dead.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from loopsy_core.errors import ProtocolViolation

from .codec import MAX_MESSAGE
from .noise import TAG, Cipher, Unreadable

__all__ = ["SealedConnection"]

MAX_RECORD: Final = 65_535 - TAG
"""Bytes of the largest record: a Noise message less its tag."""
MAX_CONTENT: Final = MAX_RECORD - 1
PADDED_UP_TO: Final = 1024
"""Records up to this size are padded: keystrokes and lines look alike, bulk costs nothing."""
PAD_STEP: Final = 64
REKEY_EVERY: Final = 1 << 16
"""Messages under one key."""

BROKEN: Final = "this connection has been broken before"

_MORE: Final = 1
_PADDED: Final = 2
_PADDED_HEADER: Final = Struct(">BH")


class SealedConnection:
    """Both directions of a connection after its handshake."""

    def __init__(self, sending: Cipher, receiving: Cipher) -> None:
        """Take over the ciphers of `Handshake.split`."""
        self._sending = sending
        self._receiving = receiving
        # One buffer and not a list of fragments: a peer may send a mebibyte in crumbs of a byte,
        # each of which would be an object of forty.
        self._begun = bytearray()
        self._dead = False

    def seal(self, message: bytes) -> list[bytes]:
        """Return the transport messages that carry `message` (1 byte to 1 MiB).

        Raises `ProtocolViolation` once the other side broke the connection: it is dead in both
        directions.
        """
        if self._dead:
            raise ProtocolViolation(BROKEN)
        if not 0 < len(message) <= MAX_MESSAGE:
            raise ValueError(f"a message has 1 to {MAX_MESSAGE} bytes, not {len(message)}")
        if len(message) <= MAX_CONTENT:
            return [self._encrypt(_record(message))]
        last = (len(message) - 1) // MAX_CONTENT * MAX_CONTENT
        sealed = [
            self._encrypt(bytes([_MORE]) + message[at : at + MAX_CONTENT])
            for at in range(0, last, MAX_CONTENT)
        ]
        sealed.append(self._encrypt(_record(message[last:])))
        return sealed

    def open(self, sealed: bytes) -> bytes | None:
        """Return the message that `sealed` completes, or None while fragments are missing.

        Raises `ProtocolViolation` for whatever the other side did not seal as the next one;
        from then on nothing opens any more.
        """
        if self._dead:
            raise ProtocolViolation(BROKEN)
        try:
            return self._accept(self._decrypt(sealed))
        except Unreadable as error:
            self._dead = True
            raise ProtocolViolation(str(error)) from None
        except ProtocolViolation:
            self._dead = True
            raise

    def _accept(self, record: bytes) -> bytes | None:
        more, content = _content(record)
        if not more and not self._begun:
            return content
        if len(self._begun) + len(content) > MAX_MESSAGE:
            raise ProtocolViolation("a message in fragments is longer than the limit")
        self._begun += content
        if more:
            return None
        message = bytes(self._begun)
        self._begun = bytearray()
        return message

    def _encrypt(self, record: bytes) -> bytes:
        sealed = self._sending.encrypt(record)
        if self._sending.nonce % REKEY_EVERY == 0:
            self._sending.rekey()
        return sealed

    def _decrypt(self, sealed: bytes) -> bytes:
        if len(sealed) > MAX_RECORD + TAG:
            raise ProtocolViolation("a sealed message is longer than Noise allows")
        record = self._receiving.decrypt(sealed)
        if self._receiving.nonce % REKEY_EVERY == 0:
            self._receiving.rekey()
        return record


def _record(content: bytes) -> bytes:
    size = _PADDED_HEADER.size + len(content)
    if size > PADDED_UP_TO:
        return b"\0" + content
    return (_PADDED_HEADER.pack(_PADDED, len(content)) + content).ljust(
        -(-size // PAD_STEP) * PAD_STEP, b"\0"
    )


def _content(record: bytes) -> tuple[bool, bytes]:
    """Return whether more fragments follow, and what the record holds."""
    flags = record[0] if record else -1
    if flags == 0 and len(record) > 1:
        return False, record[1:]
    if flags == _MORE and len(record) > 1:
        return True, record[1:]
    if flags == _PADDED and len(record) >= _PADDED_HEADER.size:
        _, length = _PADDED_HEADER.unpack_from(record)
        end = _PADDED_HEADER.size + length
        if length > 0 and end <= len(record) and not record[end:].strip(b"\0"):
            return False, record[_PADDED_HEADER.size : end]
    raise ProtocolViolation("a sealed record has the wrong form")
