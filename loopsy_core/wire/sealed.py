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
LONGEST_PADDED: Final = PADDED_UP_TO - 3
"""Bytes of content of such a record, behind its flags and length."""
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
        self._record = bytearray()  # in which long ones are put together
        self._coming = _Coming()
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
        size = len(message)
        if size <= LONGEST_PADDED:
            return [self._encrypt(_padded(message))]
        view = memoryview(message)
        last = (size - 1) // MAX_CONTENT * MAX_CONTENT
        starts = range(0, last, MAX_CONTENT)
        sealed = [self._seal_long(_MORE, view[at : at + MAX_CONTENT]) for at in starts]
        if size - last <= LONGEST_PADDED:
            sealed.append(self._encrypt(_padded(message[last:])))
        else:
            sealed.append(self._seal_long(0, view[last:]))
        return sealed

    def open(self, sealed: bytes | memoryview) -> bytes | None:
        """Return the message that `sealed` completes, or None while fragments are missing.

        Raises `ProtocolViolation` for whatever the other side did not seal as the next one;
        from then on nothing opens any more.
        """
        if self._dead:
            raise ProtocolViolation(BROKEN)
        try:
            return self._accept(sealed)
        except Unreadable as error:
            self._dead = True
            raise ProtocolViolation(str(error)) from None
        except ProtocolViolation:
            self._dead = True
            raise

    def _accept(self, sealed: bytes | memoryview) -> bytes | None:
        if len(sealed) > MAX_RECORD + TAG:
            raise ProtocolViolation("a sealed message is longer than Noise allows")
        coming = self._coming
        whole: bytes | None = None
        if len(sealed) > PADDED_UP_TO + TAG:
            more = coming.open(sealed, self._receiving)
        else:
            more, content = _content(self._receiving.decrypt(sealed))
            if more or coming.size:
                coming.add(content)
            else:
                coming.forget()
                whole = content
        if self._receiving.nonce % REKEY_EVERY == 0:
            self._receiving.rekey()
        if more:
            return None
        return coming.take() if whole is None else whole

    def _seal_long(self, flags: int, content: memoryview) -> bytes:
        # Put together where the last one was: memory that was not used before costs more than it.
        if not self._record:
            self._record = bytearray(MAX_RECORD)
        record = memoryview(self._record)[: 1 + len(content)]
        record[0] = flags
        record[1:] = content
        return self._encrypt(record)

    def _encrypt(self, record: bytes | memoryview) -> bytes:
        sealed = self._sending.encrypt(record)
        if self._sending.nonce % REKEY_EVERY == 0:
            self._sending.rekey()
        return sealed


class _Coming:
    """A message as far as it has come: long fragments are opened right into their place.

    It is one buffer and not a list of them: a peer may send a mebibyte in crumbs of a byte, each of
    which would be an object of forty.
    """

    def __init__(self) -> None:
        self.size = 0
        self._buffer = bytearray()  # of which the first byte is not the message's

    def open(self, sealed: bytes | memoryview, cipher: Cipher) -> bool:
        """Append what a record holds; return whether more fragments follow."""
        length = len(sealed) - TAG
        self._make_room(length - 1)
        at = self.size
        behind = self._buffer[at]  # where the record's flags come to lie meanwhile
        with memoryview(self._buffer) as view, view[at : at + length] as place:
            cipher.decrypt_into(sealed, place)
        flags = self._buffer[at]
        if flags not in (0, _MORE):  # whoever likes may pad a long one too
            _, content = _content(bytes(self._buffer[at : at + length]))
            self._buffer[at] = behind
            self.add(content)
            return False
        self._buffer[at] = behind
        self.size += length - 1
        return flags == _MORE

    def add(self, content: bytes) -> None:
        """Append the content of a fragment."""
        self._make_room(len(content))
        self._buffer[self.size + 1 : self.size + 1 + len(content)] = content
        self.size += len(content)

    def take(self) -> bytes:
        """Return all of it, and begin anew."""
        with memoryview(self._buffer) as view:
            message = bytes(view[1 : self.size + 1])
        self.size = 0
        return message

    def forget(self) -> None:
        """Free the room, after a message that did not need it: long ones come in a row."""
        if self._buffer:
            self._buffer = bytearray()

    def _make_room(self, length: int) -> None:
        size = self.size + length
        if size > MAX_MESSAGE:
            raise ProtocolViolation("a message in fragments is longer than the limit")
        if size >= len(self._buffer):
            self._buffer.extend(bytes(max(size + 1, 2 * len(self._buffer)) - len(self._buffer)))


def _padded(content: bytes) -> bytes:
    size = _PADDED_HEADER.size + len(content)
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
