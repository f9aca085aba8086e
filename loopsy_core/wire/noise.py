"""Noise handshakes IK, IKpsk1 and XX with 25519, ChaChaPoly and SHA256, as machines.

Written after the Noise Protocol Framework, revision 34 (noiseprotocol.org/noise.html);
section numbers below are its. Bytes in, bytes out: no clock, no socket, and randomness only
for the ephemeral key. Held to the published cacophony vectors by the tests.
"""

from __future__ import annotations

import hmac
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cipher", "Handshake", "Pattern", "Unreadable"]

KEY: Final = 32
TAG: Final = 16
MAX_NOISE_MESSAGE: Final = 65_535
"""Section 3: no Noise message is longer, tag included."""


class Unreadable(Exception):
    """A message did not open: wrong key, wrong code, or bytes that were tampered with."""


class Pattern(Enum):
    """A handshake pattern: the tokens of each message, the initiator's first (7.5, 9.4)."""

    IK = (("e", "es", "s", "ss"), ("e", "ee", "se"))
    IKpsk1 = (("e", "es", "s", "ss", "psk"), ("e", "ee", "se"))
    XX = (("e",), ("e", "ee", "s", "es"), ("s", "se"))

    @property
    def messages(self) -> tuple[tuple[str, ...], ...]:
        """The tokens, message by message."""
        messages: tuple[tuple[str, ...], ...] = self.value
        return messages

    @property
    def knows_responder(self) -> bool:
        """Whether the initiator has the responder's static key beforehand (`<- s`)."""
        return self is not Pattern.XX


class Cipher:
    """One direction's key and nonce (5.1): seals or opens messages in order."""

    def __init__(self, key: bytes) -> None:
        """Begin with `key` (32 bytes) at nonce 0."""
        self._key = key
        self._aead = ChaCha20Poly1305(key)
        self.nonce = 0

    def encrypt(self, plaintext: bytes | memoryview, associated: bytes = b"") -> bytes:
        """Seal `plaintext`; the result is 16 bytes longer."""
        sealed = self._aead.encrypt(_nonce(self.nonce), plaintext, associated)
        self.nonce += 1
        return sealed

    def decrypt(self, sealed: bytes | memoryview, associated: bytes = b"") -> bytes:
        """Open `sealed`, or raise `Unreadable`; a failure does not move the nonce."""
        try:
            plaintext = self._aead.decrypt(_nonce(self.nonce), sealed, associated)
        except InvalidTag:
            raise Unreadable("a sealed message does not open") from None
        self.nonce += 1
        return plaintext

    def decrypt_into(self, sealed: bytes | memoryview, into: memoryview) -> None:
        """Do the same into a place of the right length, which is 16 bytes less."""
        try:
            self._aead.decrypt_into(_nonce(self.nonce), sealed, b"", into)
        except InvalidTag:
            raise Unreadable("a sealed message does not open") from None
        self.nonce += 1

    def rekey(self) -> None:
        """Replace the key by `REKEY(k)` (4.2); the nonce goes on."""
        self._key = self._aead.encrypt(_nonce(2**64 - 1), bytes(KEY), b"")[:KEY]
        self._aead = ChaCha20Poly1305(self._key)


def _nonce(number: int) -> bytes:
    return b"\0\0\0\0" + number.to_bytes(8, "little")


class _Symmetric:
    """The running hash and chaining key of a handshake (5.2)."""

    def __init__(self, name: bytes) -> None:
        self.hash = name.ljust(KEY, b"\0") if len(name) <= KEY else sha256(name).digest()
        self._chain = self.hash
        self._cipher: Cipher | None = None

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self._chain, key = _hkdf(self._chain, material, 2)
        self._cipher = Cipher(key)

    def mix_key_and_hash(self, material: bytes) -> None:
        self._chain, hashed, key = _hkdf(self._chain, material, 3)
        self.mix_hash(hashed)
        self._cipher = Cipher(key)

    def encrypt(self, plaintext: bytes) -> bytes:
        sealed = self._cipher.encrypt(plaintext, self.hash) if self._cipher else plaintext
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        plaintext = self._cipher.decrypt(sealed, self.hash) if self._cipher else sealed
        self.mix_hash(sealed)
        return plaintext

    @property
    def tag_length(self) -> int:
        return TAG if self._cipher else 0

    def split(self) -> tuple[Cipher, Cipher]:
        first, second = _hkdf(self._chain, b"", 2)
        return Cipher(first), Cipher(second)


def _hkdf(chain: bytes, material: bytes, outputs: int) -> Sequence[bytes]:
    """Return `outputs` keys of 32 bytes (4.3): HKDF with an empty info, as Noise has it."""
    secret = hmac.digest(chain, material, "sha256")
    keys: list[bytes] = []
    last = b""
    for number in range(1, outputs + 1):
        last = hmac.digest(secret, last + bytes([number]), "sha256")
        keys.append(last)
    return keys


class Handshake:
    """One side of one handshake (5.3): `write` and `read` in turn until `done`, then `split`.

    After any `Unreadable` the handshake is dead: make a new one.
    """

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        prologue: bytes,
        static: bytes,
        remote_static: bytes | None = None,
        psk: bytes | None = None,
        ephemeral: bytes | None = None,
    ) -> None:
        """Prepare a handshake.

        Args:
            pattern: which one.
            initiator: whether we send the first message.
            prologue: bytes that both sides must agree on.
            static: our private key, 32 bytes.
            remote_static: the responder's public key, if we begin IK or IKpsk1.
            psk: 32 bytes, for IKpsk1.
            ephemeral: a private key instead of a random one; for test vectors only.
        """
        if (pattern is Pattern.IKpsk1) != (psk is not None):
            raise ValueError("a pre-shared key goes with IKpsk1, and only with it")
        if (remote_static is not None) != (initiator and pattern.knows_responder):
            raise ValueError("who begins IK must know the responder's key; nobody else does")
        self._pattern = pattern
        self._initiator = initiator
        self._psk = psk
        self._static = X25519PrivateKey.from_private_bytes(static)
        self._ephemeral = (
            X25519PrivateKey.from_private_bytes(ephemeral)
            if ephemeral is not None
            else X25519PrivateKey.generate()
        )
        self._remote_ephemeral: bytes | None = None
        self.remote_static = remote_static
        self._step = 0
        self._symmetric = _Symmetric(f"Noise_{pattern.name}_25519_ChaChaPoly_SHA256".encode())
        self._symmetric.mix_hash(prologue)
        if pattern.knows_responder:
            known = remote_static or self._static.public_key().public_bytes_raw()
            self._symmetric.mix_hash(known)

    @property
    def done(self) -> bool:
        """Whether all messages have been written and read."""
        return self._step == len(self._pattern.messages)

    @property
    def hash(self) -> bytes:
        """The handshake hash (11.2): the same on both sides, and of this connection alone."""
        return self._symmetric.hash

    def write(self, payload: bytes = b"") -> bytes:
        """Return our next message, with `payload` as well sealed as it can be so far."""
        parts: list[bytes] = []
        for token in self._next_tokens(writing=True):
            if token == "e":
                public = self._ephemeral.public_key().public_bytes_raw()
                parts.append(public)
                self._mix_ephemeral(public)
            elif token == "s":
                public = self._static.public_key().public_bytes_raw()
                parts.append(self._symmetric.encrypt(public))
            else:
                self._mix_secret(token)
        parts.append(self._symmetric.encrypt(payload))
        self._step += 1
        return b"".join(parts)

    def read(self, message: bytes) -> bytes:
        """Return the payload of the other side's next message, or raise `Unreadable`."""
        tokens = self._next_tokens(writing=False)
        if len(message) > MAX_NOISE_MESSAGE:
            raise Unreadable("a handshake message is too long")
        rest = memoryview(message)
        for token in tokens:
            if token == "e":
                part, rest = _cut(rest, KEY)
                self._remote_ephemeral = part
                self._mix_ephemeral(part)
            elif token == "s":
                part, rest = _cut(rest, KEY + self._symmetric.tag_length)
                self.remote_static = self._symmetric.decrypt(part)
            else:
                self._mix_secret(token)
        payload = self._symmetric.decrypt(bytes(rest))
        self._step += 1
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """Return our ciphers for sending and for receiving; the handshake must be done."""
        if not self.done:
            raise RuntimeError("the handshake is not done")
        initiators, responders = self._symmetric.split()
        return (initiators, responders) if self._initiator else (responders, initiators)

    def _next_tokens(self, *, writing: bool) -> tuple[str, ...]:
        if self.done:
            raise RuntimeError("the handshake is done")
        ours = (self._step % 2 == 0) == self._initiator
        if ours != writing:
            raise RuntimeError("it is the other side's turn")
        return self._pattern.messages[self._step]

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._psk is not None:  # 9.2: with a psk modifier every "e" is mixed in as a key too
            self._symmetric.mix_key(public)

    def _mix_secret(self, token: str) -> None:
        if token == "psk":
            assert self._psk is not None
            self._symmetric.mix_key_and_hash(self._psk)
            return
        # "es" is the initiator's ephemeral with the responder's static key, and so on.
        first, second = token[0], token[1]
        ours, theirs = (first, second) if self._initiator else (second, first)
        private = self._ephemeral if ours == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        assert public is not None
        try:
            secret = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # a point of low order: the shared secret would be known to all
            raise Unreadable("the other side's key is not a proper one") from None
        self._symmetric.mix_key(secret)


def _cut(rest: memoryview, length: int) -> tuple[bytes, memoryview]:
    if len(rest) < length:
        raise Unreadable("a handshake message is too short")
    return bytes(rest[:length]), rest[length:]
