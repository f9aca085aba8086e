"""Sans-io tests as plays: a machine of calls hears lines and says lines, and nothing waits.

A play names what comes in and what must go out, in order:

    play = Play(Calls(opener=False))
    play.hears(Ask(1, "greet", NOTHING))
    play.calls.answer(1, encode("hello"))
    play.says(Answer(1, Raw(encode("hello"))))
"""

from __future__ import annotations

import re
from itertools import cycle
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest
from hypothesis import settings

from loopsy_core.errors import ProtocolViolation
from loopsy_core.wire import Ask, Calls, Message, Raw, encode
from loopsy_core.wire.messages import decode_message
from tests.depth import DEEP, deep

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HELLO", "NOTHING", "Line", "Play", "asked", "asker", "bounded", "pieces", "written"]

Line: TypeAlias = "Message | bytes"
"""A message, or any bytes in the place of one."""

NOTHING: Final = Raw(encode({}))
"""Params and results without anything in them."""
HELLO: Final = encode("hello")
"""A result, or a value, as MessagePack."""


def bounded(examples: int) -> settings:
    """Return settings for a property: the same examples in every run, and no clock over them.

    `nox -s deep` tries ten times as many, and others each time.
    """
    return settings(max_examples=deep(1, 10) * examples, deadline=None, derandomize=not DEEP)


def written(line: Line) -> bytes:
    """Return a line as it stands on the wire."""
    return line if isinstance(line, bytes) else encode(line)


def pieces(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut `data` into pieces of these sizes, which are used over and over."""
    cut: list[bytes] = []
    at = 0
    for size in cycle(sizes):
        if at >= len(data):
            break
        cut.append(data[at : at + size])
        at += size
    return cut


class Play:
    """One machine on the stage; the test speaks for everybody else."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def hears(self, *lines: Line) -> list[Message | None]:
        """Let the machine hear `lines`; return which of them somebody must act on."""
        return [self.calls.receive(written(line)) for line in lines]

    def said(self) -> list[Message]:
        """Take everything that the machine has to say."""
        said: list[Message] = []
        while messages := self.calls.take():
            said.extend(decode_message(message) for message in messages)
        assert not self.calls.pending
        return said

    def says(self, *lines: Message) -> None:
        """Check that the machine says exactly `lines` now; none for silence."""
        assert self.said() == list(lines)

    def refuses(self, line: Line, why: str) -> None:
        """Check that `line` breaks the protocol, with `why` in the reason."""
        with pytest.raises(ProtocolViolation, match=re.escape(why)):
            self.calls.receive(written(line))


def asker() -> tuple[Play, int]:
    """Return the side that opened the connection, with a call that it has asked."""
    play = Play(Calls(opener=True))
    call = play.calls.ask("greet", bytes(NOTHING))
    play.says(Ask(1, "greet", NOTHING))
    return play, call


def asked() -> Play:
    """Return the side that was called, with a call that it has been asked."""
    play = Play(Calls(opener=False))
    assert play.hears(Ask(1, "greet", NOTHING)) == [Ask(1, "greet", NOTHING)]
    return play
