"""How thoroughly to test: `nox -s deep` does more often what the default run does a few times."""

from __future__ import annotations

import os
from typing import Final, TypeVar

__all__ = ["DEEP", "deep"]

T = TypeVar("T")

DEEP: Final = os.environ.get("LOOPSY_DEEP") == "1"


def deep(usual: T, thorough: T) -> T:
    """Return `thorough` in `nox -s deep`, and `usual` in every other run."""
    return thorough if DEEP else usual
