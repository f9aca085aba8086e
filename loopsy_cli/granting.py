"""How single grants are written on the command line: `+exec`, `-exec` or `no-exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from loopsy_core.errors import BadRequest
from loopsy_core.wire import Grant

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["parse_changes"]


def parse_changes(words: Sequence[str]) -> tuple[list[Grant], list[Grant]]:
    """Return the grants to add and those to take back; raises `BadRequest` for what is neither."""
    added: list[Grant] = []
    removed: list[Grant] = []
    for word in words:
        takes_back = word.startswith(("-", "no-"))
        name = word.removeprefix("no-").lstrip("+-")
        if name not in get_args(Grant):
            raise BadRequest(f"there is no grant {name!r}; there are {', '.join(get_args(Grant))}")
        (removed if takes_back else added).append(cast("Grant", name))
    return added, removed
