"""A list of sessions that fits one value of a call's stream, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.wire import WINDOW, SessionInfo, SessionList, cost, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fitting_list"]

MOST: Final = WINDOW - cost(b"")
"""Bytes of an Item, at most."""
LARGEST_INFO: Final = 4096
"""Bytes of one session in it, at most; so few that no sum of them is too large need no look."""
TEXTS: Final = (64, 16, 0)
"""Characters that are left of each command, directory and title, tried in turn."""
SHORT_NAME: Final = 12
"""Characters that are left of each name in the end; ids are whole."""


def fitting_list(infos: Sequence[SessionInfo]) -> SessionList:
    """Return a list of `infos`, whose texts are cut if they are too much together.

    If that is not enough, the ended sessions that stand first are left out, then names are cut.
    """
    listed = list(infos)
    for longest in TEXTS:
        if _fits(listed):
            return SessionList(listed)
        listed = [_cut(info, longest) for info in infos]
    while not _fits(listed):
        ended = next((info for info in listed if not info.alive), None)
        if ended is None:
            return SessionList([_short_named(info) for info in listed])
        listed.remove(ended)
    return SessionList(listed)


def _fits(infos: Sequence[SessionInfo]) -> bool:
    return len(infos) * LARGEST_INFO <= MOST or len(encode(SessionList([*infos]))) <= MOST


def _cut(info: SessionInfo, longest: int) -> SessionInfo:
    command = [part[:longest] for part in info.argv[:1]]
    return msgspec.structs.replace(
        info, argv=command, cwd=info.cwd[:longest], title=info.title[:longest]
    )


def _short_named(info: SessionInfo) -> SessionInfo:
    return msgspec.structs.replace(info, name=info.name[:SHORT_NAME])
