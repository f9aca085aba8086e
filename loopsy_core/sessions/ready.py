"""The word by which a session host tells whoever started it that it answers.

In a file of its own, so that a node can wait for it without loading the emulator.
"""

from __future__ import annotations

from typing import Final

__all__ = ["READY"]

READY: Final = b"ready\n"
