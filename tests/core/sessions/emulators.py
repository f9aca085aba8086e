"""Emulator processes for tests: one in this process, and such as end on a certain text.

Run as a program, this file is an emulator process whose screens are `Fragile`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.screen import Screen
from loopsy_core.sessions.emulator import Mark, open_emulator_process
from loopsy_core.sessions.emulator.serve import main, serve_emulator
from tests.world import memory_channels

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.links import Channel

__all__ = ["Fragile", "emulators_of", "fragile_process", "near_emulator"]

CRASH: Final = b"\x1b]7777;crash\x07"
"""Output that a `Fragile` screen ends its process on, as a fault in the emulator would."""
CRASH_LATER: Final = b"\x1b]7777;later\x07"
"""Output that has it end when it is drawn next."""
HANG: Final = b"\x1b]7777;hang\x07"
"""Output that it never comes to an end with."""


class Fragile(Screen):
    """A screen with the faults of an emulator that is not written in Python."""

    _poisoned = False

    def feed(self, data: bytes) -> None:
        """Take in output, unless it is of those above."""
        if CRASH in data:
            os.kill(os.getpid(), signal.SIGSEGV)
        while HANG in data:
            time.sleep(1)
        self._poisoned = self._poisoned or CRASH_LATER in data
        super().feed(data)

    def picture(self) -> bytes:
        """Draw, unless it must not be."""
        if self._poisoned:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().picture()


@asynccontextmanager
async def near_emulator() -> AsyncGenerator[tuple[Channel, Mark]]:
    """Be the emulator process in this one: what the host says and hears is the same."""
    near, far = memory_channels()
    shared = Mark.make()
    mark, theirs = Mark(shared), Mark(shared)
    os.close(shared)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_emulator, far, theirs)
        try:
            yield near, mark
        finally:
            nursery.cancel_scope.cancel()
            theirs.close()


def emulators_of(pid: int) -> list[int]:
    """Return the emulator processes of a host."""
    children = ["pgrep", "-P", str(pid), "-f", r"sessions\.emulator"]
    found = subprocess.run(children, capture_output=True, check=False)
    return [int(line) for line in found.stdout.split()]


fragile_process = partial(open_emulator_process, ("-m", "tests.core.sessions.emulators"))

if __name__ == "__main__":
    main(sys.argv[1:], Fragile)
