"""Durations and sizes as people write them: `90s`, `5m`, `500M`."""

from __future__ import annotations

import re
from typing import Final

from loopsy_core.errors import BadRequest

__all__ = ["parse_duration", "parse_size"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhd])")

# Ten years. Whoever writes more means "for ever", and should say so where that is possible.
_MOST_SECONDS: Final = 3650 * 86400.0

_BYTES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"([0-9]{1,15})(?:([KMGT])(?:i?B)?)?", re.IGNORECASE)


def parse_duration(text: str, most: float = _MOST_SECONDS) -> float:
    """Return the seconds of `30s`, `5m`, `2h`, `7d` or `1.5h`.

    Raises `BadRequest` for anything else (a number without its unit too), for none at all
    (`0s`) and for more than `most` seconds, which is whole days: ten years if nothing is said.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise BadRequest(f"{_shown(text)} is not a duration: write 30s, 5m, 2h or 7d")
    if seconds > most:
        raise BadRequest(f"{_shown(text)} is too long: it may be {most / 86_400:.0f}d at most")
    return seconds


def parse_size(text: str) -> int:
    """Return the bytes of `4096`, `64K`, `500M`, `2GB` or `1TiB`; a K is 1024.

    Raises `BadRequest` for anything else, and for none at all.
    """
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _BYTES[(match[2] or "").upper()] if match else 0
    if size <= 0:
        raise BadRequest(f"{_shown(text)} is not a size: write 4096, 64K, 500M or 2G")
    return size


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
