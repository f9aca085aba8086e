"""Work that waits for the disk, done in threads of its own, never more than a few at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    P = ParamSpec("P")

__all__ = ["Disk"]

THREADS: Final = 16
"""A slow disk takes its time for each sync, and does many of them in the same time."""

T = TypeVar("T")


class Disk:
    """Threads for reading and writing files; one for a node, or for a client."""

    def __init__(self) -> None:
        """Begin with none."""
        self._limiter = trio.CapacityLimiter(THREADS)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and return what it returns. It is not interrupted."""
        return await trio.to_thread.run_sync(lambda: work(*args, **kwargs), limiter=self._limiter)
