"""Running what waits for several things at once: trio, with one error at its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

__all__ = ["log_to", "run", "stop_on_signals"]

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` and return what it returns; `main.py` tells its error, grouped or not.

    What the rooms below log is not for whoever sits at the terminal: their errors arrive as
    errors. `log_to` keeps it in a file.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    return trio.run(main)


def log_to(path: Path) -> None:
    """Have everything that is logged from now on appended to the file `path`."""
    logging.basicConfig(
        filename=path,
        level=logging.INFO,
        format="%(asctime)s node[%(process)d] %(levelname)s %(message)s",
        force=True,
    )


async def stop_on_signals(stop: Callable[[], None], signals: AsyncIterator[int]) -> None:
    """Call `stop` for each signal."""
    async for _ in signals:
        stop()
