"""What `loopsy doctor` has found, one thing at a time."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["Finding", "Verdict"]


class Verdict(Enum):
    """How a thing is."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    said: str
    mend: str | None = None
