"""Keys that everybody may know, keys that nobody may have, and the ways to flip a bit."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIME: Final = 2**255 - 19
_ORDER_8: Final = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)

LOW_ORDER: Final = [
    *((number).to_bytes(32, "little") for number in (0, 1, _PRIME - 1, _PRIME, _PRIME + 1)),
    *(bytes.fromhex(point) for point in _ORDER_8),
    # The highest bit is not part of the number (RFC 7748, section 5).
    (2**255).to_bytes(32, "little"),
    (2**255 + 1).to_bytes(32, "little"),
    (2**256 - 19).to_bytes(32, "little"),
]
"""Public keys with which every shared secret is zero (cr.yp.to/ecdh.html)."""


def key(name: str) -> bytes:
    """Return a private key."""
    return sha256(name.encode()).digest()


def public(name: str) -> bytes:
    """Return the public key that belongs to `key(name)`."""
    return X25519PrivateKey.from_private_bytes(key(name)).public_key().public_bytes_raw()


def flips(message: bytes) -> Iterator[bytes]:
    """Yield `message` with each of its bits flipped in turn."""
    for bit in range(8 * len(message)):
        changed = bytearray(message)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
