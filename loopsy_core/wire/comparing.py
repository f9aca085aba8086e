"""Pairing two machines: an invitation's code, Noise XX, and a number that two people compare.

PROTOCOL.md section 2. The code lets a caller in; it protects nobody from a man in the middle, for
whoever carries the messages can find it out. The number does: it comes of the handshake
and of a nonce of each side, and the caller is bound to its own by a commitment before it sees the
other. So whoever stands between has one chance in a million, and no way to try again unseen
(Vaudenay, "Secure communications over insecure channels based on short authenticated strings",
2005).

Each step is a type of its own, so that a step out of order cannot be written: `call_with_code` ->
`Calling` -> `Met` -> `Compared` on the calling side, `Called` -> `Answering` -> `Introduced` ->
`Committed` -> `Compared` on the called side. Then each side sends its user's `Verdict`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Annotated, Final, TypeAlias, TypeVar

import attrs
import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from loopsy_core.errors import BadRequest, ProtocolViolation

from .codec import decode, encode
from .greeting import (
    PROLOGUE,
    Established,
    Introduction,
    establish,
    read_introduction,
    write_introduction,
)
from .noise import KEY, Handshake, Pattern

__all__ = [
    "INVITE_DIGITS",
    "Called",
    "Calling",
    "Compared",
    "Verdict",
    "call_with_code",
    "read_verdict",
]

INVITE_DIGITS: Final = 6
NUMBER_DIGITS: Final = 6
FIRST_BYTE: Final = b"\3"
PROOF: Final = 16
"""Bytes that show knowledge of the code; they are bound to this handshake's ephemeral key."""
NONCE: Final = 32

_CODE = re.compile(rf"[0-9]{{{INVITE_DIGITS}}}")
_Nonce: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=NONCE, max_length=NONCE)]

M = TypeVar("M", bound=msgspec.Struct)


class _Commit(msgspec.Struct, frozen=True, array_like=True, tag=1):
    digest: _Nonce


class _Nonced(msgspec.Struct, frozen=True, array_like=True, tag=2):
    nonce: _Nonce


class _Reveal(msgspec.Struct, frozen=True, array_like=True, tag=3):
    nonce: _Nonce


class Verdict(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """What one side's user says of the number."""

    same: bool


# The calling side.


@attrs.frozen
class Calling:
    """We called; the second message is awaited."""

    first_message: bytes
    _handshake: Handshake

    def hear(self, second_message: bytes, introduction: Introduction) -> Met:
        """Learn who answered; raises `Unreadable` for what is no answer to our call."""
        theirs = read_introduction(self._handshake.read(second_message))
        third = self._handshake.write(write_introduction(introduction))
        nonce = secrets.token_bytes(NONCE)
        return Met(third, establish(self._handshake, theirs), nonce)


@attrs.frozen
class Met:
    """The handshake is done; everything from `commitment` on is sealed by it."""

    third_message: bytes
    established: Established
    _nonce: bytes = attrs.field(repr=False)

    @property
    def commitment(self) -> bytes:
        """What is to be sent first."""
        return encode(_Commit(_digest(self.established, self._nonce)))

    def hear(self, message: bytes) -> Compared:
        """Take the other side's nonce."""
        theirs = _read(message, _Nonced).nonce
        number = _number(self.established, self._nonce, theirs)
        return Compared(self.established, number, encode(_Reveal(self._nonce)))


def call_with_code(code: str, static: bytes) -> Calling:
    """Call a machine whose user has told us its `code`; `static` is our private key."""
    if not _CODE.fullmatch(code):
        raise BadRequest(f"the code has {INVITE_DIGITS} digits")
    handshake = _handshake(static, initiator=True)
    noise = handshake.write()
    return Calling(FIRST_BYTE + _proof(code, noise) + noise, handshake)


# The called side.


@attrs.frozen
class Called:
    """Somebody called; nothing is known of them but whether they know the code."""

    _proof: bytes
    _noise: bytes

    @staticmethod
    def parse(first_message: bytes) -> Called:
        """Take the first message apart, or raise `ProtocolViolation`."""
        if first_message[:1] != FIRST_BYTE or len(first_message) != 1 + PROOF + KEY:
            raise ProtocolViolation("the first message is no call that we know")
        return Called(first_message[1 : 1 + PROOF], first_message[1 + PROOF :])

    def knows(self, code: str) -> bool:
        """Whether the caller knows `code`; takes the same time for any answer."""
        return hmac.compare_digest(self._proof, _proof(code, self._noise))

    def answer(self, static: bytes, introduction: Introduction) -> Answering:
        """Answer with our private key and name."""
        handshake = _handshake(static, initiator=False)
        handshake.read(self._noise)
        return Answering(handshake.write(write_introduction(introduction)), handshake)


@attrs.frozen
class Answering:
    """We answered; the third message is awaited."""

    second_message: bytes
    _handshake: Handshake

    def hear(self, third_message: bytes) -> Introduced:
        """Learn who called; raises `Unreadable` when it is not who began."""
        introduction = read_introduction(self._handshake.read(third_message))
        return Introduced(establish(self._handshake, introduction))


@attrs.frozen
class Introduced:
    """The handshake is done; the caller's commitment is awaited."""

    established: Established

    def hear(self, message: bytes) -> Committed:
        """Take the caller's commitment."""
        digest = _read(message, _Commit).digest
        return Committed(self.established, digest, secrets.token_bytes(NONCE))


@attrs.frozen
class Committed:
    """The caller is bound to its nonce, so it may see ours."""

    established: Established
    _digest: bytes
    _nonce: bytes = attrs.field(repr=False)

    @property
    def nonce(self) -> bytes:
        """What is to be sent."""
        return encode(_Nonced(self._nonce))

    def hear(self, message: bytes) -> Compared:
        """Take the caller's nonce; raises `ProtocolViolation` when it is not the promised one."""
        theirs = _read(message, _Reveal).nonce
        if not hmac.compare_digest(self._digest, _digest(self.established, theirs)):
            raise ProtocolViolation("the caller shows another nonce than it was bound to")
        return Compared(self.established, _number(self.established, theirs, self._nonce), None)


@attrs.frozen
class Compared:
    """Both users see `number`; they are paired once both have said that it is the same."""

    established: Established
    number: str
    reveal: bytes | None = attrs.field(repr=False)
    """What the calling side is to send now, before it shows the number."""


def read_verdict(message: bytes) -> bool:
    """Return what the other side's user says."""
    return _read(message, Verdict).same


def _handshake(static: bytes, *, initiator: bool) -> Handshake:
    return Handshake(Pattern.XX, initiator=initiator, prologue=PROLOGUE + FIRST_BYTE, static=static)


def _proof(code: str, noise: bytes) -> bytes:
    return hmac.digest(code.encode(), b"loopsy/1 invitation" + noise, "sha256")[:PROOF]


def _digest(established: Established, nonce: bytes) -> bytes:
    return hmac.digest(established.hash, b"loopsy/1 commitment" + nonce, "sha256")


def _number(established: Established, callers: bytes, called: bytes) -> str:
    derive = HKDF(SHA256(), length=8, salt=callers + called, info=b"loopsy/1 number")
    number = int.from_bytes(derive.derive(established.hash), "big") % 10**NUMBER_DIGITS
    return f"{number:0{NUMBER_DIGITS}}"


def _read(message: bytes, kind: type[M]) -> M:
    try:
        return decode(message, kind)
    except BadRequest as error:
        raise ProtocolViolation(f"that is no step of a pairing: {error}") from None
