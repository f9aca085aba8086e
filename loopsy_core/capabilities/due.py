"""Things that fall due at some time: looking after them, however the clock is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import trio

from loopsy_core.kit import contained

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

    from loopsy_core.kit import Bell

__all__ = ["keep_due"]

LONGEST_SLEEP: Final = 60.0
"""Seconds between two looks, for the clock may be set meanwhile."""
SHORTEST_SLEEP: Final = 0.05
AFTER_FAILURE: Final = 10.0
"""Seconds until the next try when the disk is full, say."""


async def keep_due(
    step: Callable[[], Awaitable[float | None]], sooner: Bell, log: logging.Logger, what: str
) -> NoReturn:
    """Call `step` for ever, which does what is due and returns the seconds until there is more.

    None stands for nothing at all. `sooner` is rung when that may have changed. What goes wrong
    is written to `log` as `what`, and tried again.
    """
    while True:
        rung = sooner.listen()
        pause: float | None = None
        done = False
        with contained(log, what):
            pause = await step()
            done = True
        if not done:
            await trio.sleep(AFTER_FAILURE)
            continue
        pause = LONGEST_SLEEP if pause is None else min(pause, LONGEST_SLEEP)
        with trio.move_on_after(max(pause, SHORTEST_SLEEP)):
            await rung.wait()
