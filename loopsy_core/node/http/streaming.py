"""Answers that go on: server-sent events (HTML Living Standard, section 9.2)."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec
import trio

from loopsy_core.errors import LoopsyError

from .problems import code_of
from .route import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from .problems import Family

__all__ = ["EVENTS", "Shown", "StreamFailed", "event_stream", "json_list", "stream"]

T = TypeVar("T")

EVENTS: Final = "text/event-stream"
QUIET: Final = 15.0
"""Seconds without an event after which a comment is sent: some clients give up on a silence."""

_COMMENT: Final = b":\n\n"


class StreamFailed(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The last event of a stream that did not end well."""

    data: str
    """What happened."""
    code: int


class Shown(Generic[T]):
    """What an iterator says, as this API shows it. No generator, for cancelling would end that."""

    def __init__(self, said: AsyncIterator[T], show: Callable[[T], object]) -> None:
        """Have `show` make of each what is to be shown."""
        self._said = said
        self._show = show

    def __aiter__(self) -> Shown[T]:
        return self

    async def __anext__(self) -> object:
        return self._show(await anext(self._said))


async def event_stream(
    opening: AbstractAsyncContextManager[AsyncIterator[object]], family: Family
) -> Stream:
    """Return a stream of what the iterator inside of `opening` says, each as JSON.

    Raises what `opening` raises: then nothing has been said yet. An iterator that is cancelled
    must lose nothing.
    """
    stack = AsyncExitStack()
    events = await stack.enter_async_context(opening)
    return await stream(EVENTS, _say(stack, events, family))


async def stream(
    media_type: str, pieces: AsyncGenerator[bytes], headers: dict[str, str] | None = None
) -> Stream:
    """Return a stream of `pieces`, the first of which is not sent; it only begins them."""
    await anext(pieces)
    return Stream(media_type, pieces, headers or {})


async def json_list(name: str, items: AsyncGenerator[object]) -> AsyncGenerator[bytes]:
    """Make the JSON `{name: [items]}` as they come, for `stream`."""
    async with aclosing(items):
        before = b'{"%s":[' % name.encode()
        item = await anext(items, None)
        yield b""
        while item is not None:
            yield before + msgspec.json.encode(item)
            before = b","
            item = await anext(items, None)
        yield b"]}" if before == b"," else before + b"]}"


async def _say(
    stack: AsyncExitStack, events: AsyncIterator[object], family: Family
) -> AsyncGenerator[bytes]:
    async with stack:
        yield b""
        try:
            while True:
                event: object = None
                with trio.move_on_after(QUIET):
                    event = await anext(events)
                yield _COMMENT if event is None else _event(event)
        except StopAsyncIteration:
            pass
        except LoopsyError as error:
            yield _event(StreamFailed(error.message, code_of(error, family)))


def _event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
