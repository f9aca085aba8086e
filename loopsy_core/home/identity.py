"""Who this node is: its key pair and its name.

A node's id *is* its public key, so whoever knows the id can tell the node from an impostor, and
no directory need be asked. The name is for people, and may change.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import TYPE_CHECKING, Final, NewType

import attrs

from loopsy_core.errors import BadRequest, Misconfigured, Refused

from .private_files import create_private

if TYPE_CHECKING:
    from .paths import Home

__all__ = [
    "Identity",
    "PeerId",
    "create_identity",
    "default_name",
    "is_name",
    "load_identity",
    "parse_peer_id",
    "peer_id",
]

PeerId = NewType("PeerId", str)
"""A public key as text: 52 characters of lowercase base32 (RFC 4648), without padding."""

# Bytes of an X25519 key, public or private (RFC 7748).
_KEY_SIZE: Final = 32
_PEER_ID: Final = re.compile(r"[a-z2-7]{52}")
_PADDING: Final = "===="  # 52 characters to the next multiple of 8

# What can be typed without quotes, is no option, and leaves `:` and `/` to separate: PEER:SESSION.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9_-]+")

# Bytes of a key file that are read; a whole one has 45.
_MOST_FILE: Final = 1024


@attrs.frozen
class Identity:
    """A node's key pair (32 raw bytes each) and name."""

    private: bytes = attrs.field(repr=False)
    public: bytes
    name: str

    @property
    def id(self) -> PeerId:
        """The public key as text."""
        return peer_id(self.public)


def peer_id(public: bytes) -> PeerId:
    """Return the id of the X25519 public key `public`; `ValueError` unless it has 32 bytes."""
    if len(public) != _KEY_SIZE:
        raise ValueError(f"a public key has {_KEY_SIZE} bytes, not {len(public)}")
    return PeerId(base64.b32encode(public).decode("ascii").rstrip("=").lower())


def parse_peer_id(text: str) -> bytes:
    """Return the public key of an id, 32 bytes; `BadRequest` for anything else.

    Strict: one key has one spelling, or ids could not be compared as text.
    """
    if _PEER_ID.fullmatch(text):
        public = base64.b32decode(text.upper() + _PADDING)
        # 52 characters hold 260 bits. The last four must be zero, which decoding does not ask.
        if peer_id(public) == text:
            return public
    raise BadRequest("this is not the id of a peer: those have 52 characters, a to z and 2 to 7")


def is_name(text: str) -> bool:
    """Return whether `text` may name a node: 1 to 63 letters, digits and `.` `_` `-`."""
    return _NAME.fullmatch(text) is not None


def default_name(hostname: str | None = None) -> str:
    """Return a name for this machine: the first label of `hostname` (by default its own)."""
    if hostname is None:
        hostname = os.uname().nodename
    label = _NOT_IN_NAMES.sub("-", hostname.split(".")[0].lower()).strip("-_")
    return label[:63].rstrip("-_") or "node"


def load_identity(home: Home, name: str | None = None) -> Identity:
    """Read the key of `home`; without a `name` it gets the machine's (`default_name`).

    Raises `Misconfigured` when there is none, or it cannot be read, or it is no key.
    """
    path = home.identity
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_FILE)
    except FileNotFoundError:
        raise Misconfigured(f"this node has no key at {path}: run `loopsy init`") from None
    except OSError as error:
        raise Misconfigured(f"cannot read the key {path}: {error.strerror}") from error
    try:
        private = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        private = b""
    if len(private) != _KEY_SIZE:
        # Never with the content: it may be a key, only badly copied.
        raise Misconfigured(
            f"{path} is not a key: restore it from a backup; or move it away, run `loopsy init`"
            " and pair again"
        )
    return Identity(private, _public_of(private), name or default_name())


def create_identity(home: Home) -> PeerId:
    """Make the key of `home` (mode 0600, base64), and return its id.

    Never overwrites: raises `Refused` when there is one already, `Misconfigured` when it cannot
    be written.
    """
    private = os.urandom(_KEY_SIZE)
    try:
        create_private(home.identity, base64.b64encode(private) + b"\n")
    except FileExistsError:
        raise Refused(
            f"there is a key at {home.identity} already; with a new one every paired device"
            " would have to pair again. Move it away if that is what you want"
        ) from None
    return peer_id(_public_of(private))


def _public_of(private: bytes) -> bytes:
    # Here, because loading OpenSSL takes longer than all else that most commands do.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
