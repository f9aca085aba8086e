"""Which keys of context were used lately: what stands under them is likely to lie in memory."""

from __future__ import annotations

from typing import Final

__all__ = ["Lately"]

MOST: Final = 4096
"""Keys that are remembered."""
LARGEST: Final = 16_384
"""Bytes of a value; larger ones lie on many pages."""


class Lately:
    """The keys that were used last."""

    def __init__(self) -> None:
        """Begin without any."""
        self._keys: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        """Whether a value that is not large was set or read under `key` not long ago."""
        return key in self._keys

    def note(self, key: str, size: int) -> None:
        """Note that a value of `size` bytes was set or read."""
        self._keys.pop(key, None)
        if size > LARGEST:
            return
        self._keys[key] = None
        if len(self._keys) > MOST:
            del self._keys[next(iter(self._keys))]
