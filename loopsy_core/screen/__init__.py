"""What a terminal shows: an emulator, and pictures of it; knows nothing of Loopsy."""

from __future__ import annotations

from .screen import Screen

__all__ = ["Screen"]
