"""Addresses for unix sockets, also where the path is longer than such an address may be."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["socket_address"]

# Bytes in `sockaddr_un.sun_path`, without the zero at its end: unix(7); 104 on the BSDs and macOS.
_MOST_BYTES: Final = 107 if sys.platform == "linux" else 103


@contextmanager
def socket_address(path: Path) -> Generator[str]:
    """Give an address to bind or connect to the unix socket at `path`, within the block only.

    On Linux any path will do: a long one is reached through a descriptor of its folder, which
    the block keeps open. Elsewhere a path that is too long raises `Misconfigured`. A folder that
    does not exist raises `FileNotFoundError`, sooner or later, as for any other path.
    """
    text = str(path)
    if len(os.fsencode(text)) <= _MOST_BYTES:
        yield text
    elif sys.platform == "linux":
        # O_PATH needs no permission to list the folder, just as walking through it needs none.
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{path.name}"
        finally:
            os.close(folder)
    else:
        raise Misconfigured(
            f"{path} is too long for a socket ({_MOST_BYTES} bytes at most on this system):"
            " choose a home with a shorter path with --home"
        )
