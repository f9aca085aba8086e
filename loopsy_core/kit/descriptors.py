"""How many descriptors this process may have, and which of them a program started here would get.

A process with many sessions needs more than the usual thousand. What it starts gets the usual
limit back: some programs still walk through all the descriptors that they might have.
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["inheritable", "limit_as_at_first", "raise_limit"]

ENOUGH: Final = 65_536
"""Descriptors that any process of ours might ever want."""

_AT_FIRST: Final = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_limit() -> None:
    """Let this process have as many descriptors as the system allows, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has yet another limit, and does not name it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def limit_as_at_first() -> Generator[None]:
    """Have the limit with which this process began, so that a program started now gets it.

    What is open stays so, but meanwhile nobody else must open anything.
    """
    now = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == _AT_FIRST:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (_AT_FIRST[0], now[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, now)


def inheritable() -> list[int]:
    """Return the descriptors, but for the first three, that a program started now would get.

    Python makes none; our parent may have left us some, and a library may make others.
    """
    found = []
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the one that read the folder is closed by now
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found
