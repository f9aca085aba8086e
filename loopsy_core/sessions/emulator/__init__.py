"""The process that knows what terminals show, apart from the host because output can end it.

Here is what the host needs to know of it; whatever loads the emulator is in `serve.py`.
"""

from __future__ import annotations

from .mark import Mark
from .reach import Emulator, StartEmulator, open_emulator_process
from .said import Draw, Drawn, Feed, ReadHistory, ReadScreen, Sized, Told

__all__ = [
    "Draw",
    "Drawn",
    "Emulator",
    "Feed",
    "Mark",
    "ReadHistory",
    "ReadScreen",
    "Sized",
    "StartEmulator",
    "Told",
    "open_emulator_process",
]
