"""What a terminal shows: an emulator, and pictures of it; knows nothing of Loopsy."""

from __future__ import annotations

from .guard import feed_sparingly
from .screen import Screen

__all__ = ["Screen", "feed_sparingly"]
