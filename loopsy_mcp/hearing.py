"""What an agent says, and an answer to what is no message: whoever asks gets one.

The SDK passes over a line that it cannot read, and its asker waits for ever. One kind comes from
models that mean well: a text cut in the middle of an emoji, half of which no UTF-8 can hold.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, Self

import anyio
import mcp_types as types
import trio
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

if TYPE_CHECKING:
    import contextvars
    from types import TracebackType

    from mcp.shared._stream_protocols import ReadStream, WriteStream

__all__ = ["Heard"]

_HALF: Final = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair."""
NO_JSON: Final = -32700
NO_REQUEST: Final = -32600
"""Codes of JSON-RPC 2.0, section 5.1."""


class Heard:
    """The messages of a stream, with halves of characters mended; what is none gets an answer."""

    def __init__(
        self,
        reading: ReadStream[SessionMessage | Exception],
        writing: WriteStream[SessionMessage],
    ) -> None:
        """Read from one, and answer by the other."""
        self._reading = reading
        self._writing = writing
        self._listening = trio.CancelScope()
        self.hung_up = False

    @property
    def last_context(self) -> contextvars.Context | None:
        """The context in which the last message was put there."""
        context: contextvars.Context | None = getattr(self._reading, "last_context", None)
        return context

    def hang_up(self) -> None:
        """Hear nothing more: it is as if the agent had left."""
        self.hung_up = True
        self._listening.cancel()

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message; raises `EndOfStream` when there are no more."""
        if not self.hung_up:
            with trio.CancelScope() as self._listening:
                return await self._receive()
        raise anyio.EndOfStream

    async def _receive(self) -> SessionMessage | Exception:
        while True:
            heard = await self._reading.receive()
            if isinstance(heard, SessionMessage):
                if not _is_asked_by_nobody(heard):
                    return heard
                needed = "a request needs an id, a whole number or a text"
                await self._writing.send(SessionMessage(_error(None, NO_REQUEST, needed)))
                continue
            if not isinstance(heard, ValidationError):
                return heard
            said = _said(heard)
            if isinstance(said, str) and not said.strip():
                continue  # an empty line asks nothing
            try:
                return SessionMessage(types.jsonrpc_message_adapter.validate_python(said))
            except ValidationError as error:
                await self._writing.send(SessionMessage(_complaint(said, error)))

    async def aclose(self) -> None:
        """Close what is read."""
        await self._reading.aclose()

    def __aiter__(self) -> Heard:
        """Return itself."""
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        """Return the next message, until there are no more."""
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close what is read."""
        return await self._reading.__aexit__(kind, error, traceback)


def _is_asked_by_nobody(heard: SessionMessage) -> bool:
    """Whether it is a request whose id is none that can be answered to.

    The SDK takes it for a notification, and passes over it: but those have names of their own.
    """
    message = heard.message
    return isinstance(message, types.JSONRPCNotification) and not message.method.startswith(
        "notifications/"
    )


def _said(error: ValidationError) -> object:
    """Return what was said, as a value without halves of characters; a text that is no JSON."""
    # Each way to understand it has an error, which holds what it is about: all of it, or a part.
    inputs = [each["input"] for each in error.errors(include_url=False)]
    said = next(
        (each for each in inputs if isinstance(each, dict) and "jsonrpc" in each), inputs[0]
    )
    try:
        text = said if isinstance(said, str) else json.dumps(said)
        plain = json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return said
    return json.loads(_HALF.sub("\N{REPLACEMENT CHARACTER}", plain))


def _complaint(said: object, error: ValidationError) -> types.JSONRPCError:
    found = said.get("id") if isinstance(said, dict) and "method" in said else None
    asker = found if isinstance(found, (int, str)) and not isinstance(found, bool) else None
    if isinstance(said, str):
        code, message = NO_JSON, "this is no JSON"
    else:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"][1:])) or "message"
        code, message = NO_REQUEST, f"this is no request: {what['msg']} ({where})"
    return _error(asker, code, message)


def _error(asker: int | str | None, code: int, message: str) -> types.JSONRPCError:
    problem = types.ErrorData(code=code, message=message)
    return types.JSONRPCError(jsonrpc="2.0", id=asker, error=problem)
