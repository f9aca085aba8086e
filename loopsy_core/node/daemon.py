"""The node as a process of its own: `python -m loopsy_core.node HOME [--lan | --loopback]`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import LoopsyError
from loopsy_core.home import Home
from loopsy_core.kit import one_error

from .node import open_node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

__all__ = ["main"]

READY: Final = b"ready\n"

_log = logging.getLogger("loopsy.node")


def main(root: Path, *, lan: bool, loopback: bool = False) -> None:
    """Run the node of the home at `root` until SIGTERM, Ctrl-C or `loopsy stop`.

    With `lan` it listens for other machines, with `loopback` for other nodes on this one.

    Standard output gets `ready` once it answers, or one line that says why it does not.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s node[%(process)d] %(levelname)s %(message)s"
    )
    try:
        with one_error():
            trio.run(_run, Home(root), lan, loopback)
    except LoopsyError as error:
        _log.error("%s", error)
        sys.stdout.write(f"{error.code}: {error}\n")
        sys.exit(1)


async def _run(home: Home, lan: bool, loopback: bool) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            open_node(home, lan=lan, loopback=loopback) as node,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_stop_on_signal, node.stop_soon, signals)
            with suppress(BrokenPipeError):  # whoever started us has given up
                os.write(1, READY)
            os.dup2(2, 1)  # whoever started us reads no further
            await node.wait_stopped()
            _log.info("leaving in order")
            nursery.cancel_scope.cancel()


async def _stop_on_signal(stop: Callable[[], None], signals: AsyncIterator[int]) -> None:
    async for _ in signals:
        stop()
