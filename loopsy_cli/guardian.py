"""A process beside ours that gives the terminal back clean when ours dies without doing so.

The emulator is not written in Python: there is output that ends its process, with no `finally`.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import Any, Final

__all__ = ["Guardian"]

GOODBYE: Final = 1.0
"""Seconds that it may take to go when it is told to."""

# Reads a line of hexadecimal digits after the other, the last of which holds once we are gone: what
# is to be written then. Nothing on it says that all is well. By that time our shell may have taken
# the terminal back, and whoever writes there from the background would be stopped.
_GUARD: Final = """
import ast, os, signal, sys, termios
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTTOU):
    signal.signal(number, signal.SIG_IGN)
last = b""
for line in sys.stdin.buffer:
    last = line.strip()
if last:
    termios.tcsetattr(1, termios.TCSANOW, ast.literal_eval(sys.argv[1]))
    os.write(1, bytes.fromhex(last.decode()))
"""


class Guardian:
    """The process; whoever has it says what is to be written to the terminal, and dismisses it."""

    def __init__(self, terminal: int, settings: list[Any]) -> None:
        """Guard a `terminal`, whose `settings` are those to go back to, as termios has them."""
        self._told = b""
        self._process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _GUARD, repr(settings)],
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=subprocess.DEVNULL,
        )

    def tell(self, last_words: bytes) -> None:
        """Have this written if we die from now on."""
        if last_words != self._told:
            self._told = last_words
            self._say(last_words)

    def dismiss(self) -> None:
        """Have it leave the terminal alone, and go."""
        self._say(b"")
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=GOODBYE)

    def _say(self, last_words: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # somebody has ended it: then nobody guards
            self._process.stdin.write(last_words.hex().encode() + b"\n")
            self._process.stdin.flush()
