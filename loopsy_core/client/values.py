"""The Items of a call, each read as a value, as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.links import Call
    from loopsy_core.wire import Item

__all__ = ["Values"]

T = TypeVar("T")


class Values(Generic[T]):
    """Iterates over the Items of a call, each read as a value."""

    def __init__(self, call: Call, read: Callable[[Item], T]) -> None:
        """Read each Item of `call` by `read`; Data is passed over."""
        self._call = call
        self._read = read

    def __aiter__(self) -> Values[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the next value."""
        while True:
            piece = await self._call.receive()
            if piece is None:
                raise StopAsyncIteration
            if not isinstance(piece, bytes):
                return self._read(piece)
