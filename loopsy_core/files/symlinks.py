"""Which symbolic links in a folder that is sent may be made on the other side."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["stays_inside"]


def stays_inside(way: Sequence[bytes], target: bytes) -> bool:
    """Whether a link at `way`, below the folder `way[0]`, points into that folder.

    It does if it is relative and goes up only at its beginning, no further than to that folder.
    `..` behind a name is not trusted, for the name may be a link itself: with one to `.`, called
    `here`, the path `here/here/../../..` would lead out, though it looks as if it did not.
    """
    if target.startswith(b"/") or b"\0" in target:
        return False
    steps = [step for step in target.split(b"/") if step not in (b"", b".")]
    up = 0
    while up < len(steps) and steps[up] == b"..":
        up += 1
    return up <= len(way) - 2 and b".." not in steps[up:]
