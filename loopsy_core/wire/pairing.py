"""Pairing a phone: what its link holds, and the keys that come of it.

PROTOCOL.md sections 2 and 6. The link carries everything but the code; the code is told to
the user apart from it and is in no link, token or QR.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import attrs
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from loopsy_core.errors import BadRequest

from .greeting import OFFER_ID

__all__ = ["CODE_DIGITS", "SECRET_BYTES", "PairLink", "offer_id", "pairing_key"]

SECRET_BYTES: Final = 16
CODE_DIGITS: Final = 4

_CODE = re.compile(rf"[0-9]{{{CODE_DIGITS}}}")
_LINK = re.compile(
    r"(?P<relay>https?://[^\s#?]+)/app#1,(?P<token>[A-Za-z0-9_.-]{1,512})"
    r",(?P<node>[a-z2-7]{52}),(?P<secret>[A-Za-z0-9_-]{22})"
)


def pairing_key(secret: bytes, code: str) -> bytes:
    """Return the pre-shared key (32 bytes) of the offer's `secret` and the user's `code`."""
    if not _CODE.fullmatch(code):
        raise BadRequest(f"the code has {CODE_DIGITS} digits")
    return _derive(secret, code.encode(), b"loopsy/1 pairing", 32)


def offer_id(secret: bytes) -> bytes:
    """Return the public name (16 bytes) of the offer; it tells nothing about the secret."""
    return _derive(secret, b"", b"loopsy/1 offer", OFFER_ID)


def _derive(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length=length, salt=salt, info=purpose).derive(secret)


@attrs.frozen
class PairLink:
    """The link behind a pairing QR; all of it after `#` stays in the browser."""

    relay: str
    """The relay's address, without a slash at the end."""
    token: str = attrs.field(repr=False)
    node: str
    """The node's id."""
    secret: bytes = attrs.field(repr=False)

    def __str__(self) -> str:
        """Write the link; `parse` reads it."""
        secret = urlsafe_b64encode(self.secret).rstrip(b"=").decode()
        return f"{self.relay}/app#1,{self.token},{self.node},{secret}"

    @staticmethod
    def parse(text: str) -> PairLink:
        """Read a link, or raise `BadRequest`."""
        match = _LINK.fullmatch(text.strip())
        if match is None:
            raise BadRequest("that is no pairing link; `loopsy mobile pair` prints one")
        secret = urlsafe_b64decode(match["secret"] + "==")
        return PairLink(match["relay"], match["token"], match["node"], secret)
