"""The first two messages of a sealed connection: who calls whom, and in which way.

PROTOCOL.md section 2. Each step is a type of its own, so that a step out of order cannot be
written: `greet_*` -> `Greeting.finish` on the calling side, `Knock.parse` -> `Knock.read` ->
`Heard.accept` on the called side.
"""

from __future__ import annotations

from typing import Annotated, Final

import attrs
import msgspec

from loopsy_core.errors import BadRequest, Misconfigured, ProtocolViolation

from .codec import decode, encode
from .noise import KEY, Handshake, Pattern, Unreadable
from .sealed import SealedConnection

__all__ = [
    "PROLOGUE",
    "PROTOCOL",
    "Established",
    "Greeting",
    "Heard",
    "Introduction",
    "Knock",
    "check_protocol",
    "establish",
    "greet",
    "greet_with_offer",
    "read_introduction",
    "write_introduction",
]

PROLOGUE: Final = b"loopsy/1"
OFFER_ID: Final = 16
MAX_NAME: Final = 64
"""Characters of a name that a stranger gives us."""

PROTOCOL: Final = 1
"""The newest version of what is said inside that we speak."""
OLDEST: Final = 1
"""The oldest that we speak as well."""

_FIRST_BYTE: Final = {Pattern.IK: 1, Pattern.IKpsk1: 2}


class Introduction(msgspec.Struct, frozen=True, array_like=True):
    """What each side says of itself inside the handshake."""

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
    version: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
    protocol: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 1
    """The newest version of what is said inside that it speaks."""
    oldest: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 1
    """The oldest that it speaks as well."""


@attrs.frozen
class Established:
    """A connection after its handshake."""

    connection: SealedConnection
    remote: bytes
    """The other side's public key, proven."""
    introduction: Introduction
    hash: bytes
    """The handshake hash."""


@attrs.frozen
class Greeting:
    """We called; the second message is awaited."""

    first_message: bytes
    _handshake: Handshake

    def finish(self, second_message: bytes) -> Established:
        """Return the connection, or raise `Unreadable` when nobody with that key answered."""
        introduction = read_introduction(self._handshake.read(second_message))
        return establish(self._handshake, introduction)


def greet(static: bytes, remote: bytes, introduction: Introduction) -> Greeting:
    """Call the node whose public key is `remote`; both are paired already (IK)."""
    return _greet(Pattern.IK, b"", static, remote, introduction, None)


def greet_with_offer(
    static: bytes, remote: bytes, offer: bytes, psk: bytes, introduction: Introduction
) -> Greeting:
    """Call the node `remote` for the first time, on the strength of a pairing offer (IKpsk1)."""
    return _greet(Pattern.IKpsk1, offer, static, remote, introduction, psk)


def _greet(
    pattern: Pattern,
    offer: bytes,
    static: bytes,
    remote: bytes,
    introduction: Introduction,
    psk: bytes | None,
) -> Greeting:
    handshake = Handshake(
        pattern,
        initiator=True,
        prologue=_prologue(pattern, remote, offer),
        static=static,
        remote_static=remote,
        psk=psk,
    )
    try:
        noise = handshake.write(write_introduction(introduction))
    except Unreadable:
        raise BadRequest("that is not a node's key") from None
    return Greeting(bytes([_FIRST_BYTE[pattern]]) + offer + noise, handshake)


@attrs.frozen
class Knock:
    """Somebody called; nothing of it is proven."""

    pattern: Pattern
    offer: bytes
    """The id of the pairing offer that the caller has in mind; empty for IK."""
    _noise: bytes

    @staticmethod
    def parse(first_message: bytes) -> Knock:
        """Take the first message apart, or raise `ProtocolViolation`."""
        for pattern, first_byte in _FIRST_BYTE.items():
            if first_message[:1] == bytes([first_byte]):
                end = 1 + (OFFER_ID if pattern is Pattern.IKpsk1 else 0)
                if len(first_message) < end + KEY:
                    break
                return Knock(pattern, first_message[1:end], first_message[end:])
        raise ProtocolViolation("the first message is no greeting that we know")

    def read(self, static: bytes, public: bytes, psk: bytes | None = None) -> Heard:
        """Return who calls, or raise `Unreadable`: a wrong code, a wrong key, or noise.

        `static` and `public` are our own key pair. The message may be a replay: the caller has
        proven nothing before its first record opens.
        """
        handshake = Handshake(
            self.pattern,
            initiator=False,
            prologue=_prologue(self.pattern, public, self.offer),
            static=static,
            psk=psk,
        )
        introduction = read_introduction(handshake.read(self._noise))
        assert handshake.remote_static is not None
        return Heard(handshake.remote_static, introduction, handshake)


@attrs.frozen
class Heard:
    """We know who claims to call; we may accept or stay silent."""

    remote: bytes
    introduction: Introduction
    _handshake: Handshake

    def accept(self, introduction: Introduction) -> tuple[bytes, Established]:
        """Return the second message and the connection that it opens."""
        second = self._handshake.write(write_introduction(introduction))
        return second, establish(self._handshake, self.introduction)


def _prologue(pattern: Pattern, responder: bytes, offer: bytes) -> bytes:
    return PROLOGUE + bytes([_FIRST_BYTE[pattern]]) + responder + offer


def read_introduction(payload: bytes) -> Introduction:
    """Return the introduction in a handshake's payload, or raise `ProtocolViolation`."""
    try:
        return decode(payload, Introduction)
    except BadRequest as error:
        raise ProtocolViolation(f"the introduction is not one: {error}") from None


def write_introduction(introduction: Introduction) -> bytes:
    """Return the payload that introduces us; whoever speaks version 1 alone need not say so."""
    if introduction.protocol == introduction.oldest == 1:
        return encode((introduction.name, introduction.version))
    return encode(introduction)


def check_protocol(theirs: Introduction) -> None:
    """Raise `Misconfigured`, saying what is to be done, unless both speak some version."""
    if theirs.oldest <= PROTOCOL and theirs.protocol >= OLDEST:
        return
    name = "".join(c for c in theirs.name if c.isprintable()).strip() or "the machine there"
    if theirs.oldest > PROTOCOL:
        raise Misconfigured(
            f"{name} speaks a newer protocol ({theirs.oldest}) than this machine ({PROTOCOL}):"
            " update Loopsy here",
            why="newer",
        )
    raise Misconfigured(
        f"{name} speaks an older protocol ({theirs.protocol}) than this machine does ({OLDEST}):"
        " update Loopsy there",
        why="older",
    )


def establish(handshake: Handshake, introduction: Introduction) -> Established:
    """Return the connection of a handshake that is done; `introduction` is the other side's."""
    assert handshake.remote_static is not None
    sending, receiving = handshake.split()
    return Established(
        SealedConnection(sending, receiving),
        handshake.remote_static,
        introduction,
        handshake.hash,
    )
