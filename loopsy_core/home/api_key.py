"""The key of the HTTP door: whoever can read it is this machine's user, and may do all that he may.

In a file of its own, so that scripts can hand it to curl without its being an argument.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import Misconfigured

from .private_files import create_private, write_private

if TYPE_CHECKING:
    from .paths import Home

__all__ = ["load_api_key", "make_api_key", "rotate_api_key"]

_BYTES: Final = 32
_DIGITS: Final = frozenset("0123456789abcdef")
_MOST_FILE: Final = 1024
"""Bytes of a key file that are read; a whole one has 65."""


def make_api_key(home: Home) -> bool:
    """Make the key of `home` (mode 0600, 64 hex digits) if there is none; return whether it was.

    Raises `Misconfigured` when it cannot be written.
    """
    with suppress(FileExistsError):
        create_private(home.api_key, _new())
        return True
    return False


def load_api_key(home: Home) -> str:
    """Return the key of `home`, made now if there is none.

    Raises `Misconfigured` when it cannot be read or written, or is no key.
    """
    make_api_key(home)
    try:
        with home.api_key.open("rb") as file:
            key = file.read(_MOST_FILE).decode("ascii", "replace").strip()
    except OSError as error:
        raise Misconfigured(f"cannot read {home.api_key}: {error.strerror}") from error
    if len(key) != 2 * _BYTES or not _DIGITS.issuperset(key):
        # Never with the content: it may be a key, only badly copied.
        raise Misconfigured(f"{home.api_key} is not a key: `loopsy key generate` makes a new one")
    return key


def rotate_api_key(home: Home) -> None:
    """Replace the key of `home`, whatever it was. Raises `Misconfigured` when it cannot be."""
    write_private(home.api_key, _new())


def _new() -> bytes:
    return secrets.token_hex(_BYTES).encode("ascii") + b"\n"
