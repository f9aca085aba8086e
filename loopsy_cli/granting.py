"""How grants are written on the command line: `+exec`, `-exec` or `no-exec`; and their end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast, get_args

from loopsy_core.errors import BadRequest
from loopsy_core.home import parse_duration
from loopsy_core.wire import Grant

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["parse_changes", "parse_end"]

NEVER: Final = "never"


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


def parse_end(text: str | None) -> tuple[float | None, bool]:
    """Return when a pairing shall end, in seconds since 1970, and whether never.

    Raises `BadRequest` for what is neither a duration nor `never`.
    """
    if text is None or text == NEVER:
        return None, text == NEVER
    return time.time() + parse_duration(text), False
