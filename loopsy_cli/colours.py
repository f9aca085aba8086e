"""The colours of the user's terminal: what a session's output changes, and what they were before.

Whoever has chosen colours by escape sequences would lose them if all were reset in the end, so
only those that were changed are given back, and as they were: right before output that changes
a colour the terminal is asked for it. It answers in order, so what it tells is the old value.
Sans-io.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Colours"]

LONGEST: Final = 8192
"""Bytes of one sequence about colours; one that is longer is not looked at."""
MAX_ASKED: Final = 64
"""Questions under way; more, and what changes is reset in the end instead."""
_PALETTE: Final = 256
_TEXT, _CURSOR = b"10", b"12"

# OSC 4 sets colours of the palette, 10, 11 and 12 the text's, the background's and the cursor's;
# with 100 more they are reset.
_CHANGE: Final = re.compile(
    rb"\x1b\](4|10|11|12|104|110|111|112)(?:;([^\x07\x1b]*))?(?:\x07|\x1b\\)"
)
_BEGUN: Final = re.compile(
    rb"\x1b(?:\](?:[14]|1[0-2]|10[0-4]|11[0-2])?(?:;[^\x07\x1b]{0,%d}\x1b?)?)?\Z" % LONGEST
)
_ANSWER: Final = re.compile(
    rb"\x1b\]((?:4;\d+)|1[0-2]);([^\x07\x1b]*)(?:\x07|\x1b\\)|(\x1b\[\?[\d;]*c)"
)
_ANSWER_BEGUN: Final = re.compile(rb"\x1b(?:\](?:4|1[0-2])[^\x07\x1b]{0,64}\x1b?|\[\?[\d;]*)\Z")
# Every terminal answers this, so whatever it has not answered by then it does not know.
_FENCE: Final = b"\x1b[c"


class Colours:
    """What became of a terminal's colours. They are named as in OSC: `11`, or `4;7`."""

    def __init__(self) -> None:
        """Begin with colours as the user has them."""
        self._changed: dict[bytes, bytes | None] = {}  # and what they were, where that is known
        self._asked: deque[list[bytes]] = deque()
        self._text: bytes | None = None  # the text's colour, as told last
        self._output = b""
        self._input = b""

    @property
    def waiting(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._asked)

    def shown(self, data: bytes) -> bytes:
        """Return what to write for the output `data`: with our questions, where there are any."""
        if not self._output and b"\x1b]" not in data and not data.endswith(b"\x1b"):
            return data
        data = self._output + data
        self._output = b""
        # Half a sequence does nothing, so nobody misses it until its other half comes.
        if begun := _BEGUN.search(data, max(0, len(data) - LONGEST)):
            self._output, data = data[begun.start() :], data[: begun.start()]
        return _CHANGE.sub(lambda match: self._ask(match) + match.group(), data)

    def typed(self, data: bytes) -> bytes:
        """Return what of the input `data` is not an answer to a question of ours."""
        if not self._asked and not self._input:
            return data
        data = self._input + data
        self._input = b""
        if begun := _ANSWER_BEGUN.search(data):
            self._input, data = data[begun.start() :], data[: begun.start()]
        return _ANSWER.sub(self._answered, data)

    def restore(self) -> bytes:
        """Return what gives the user's colours back."""
        return b"".join(
            b"\x1b]" + name + b";" + value + b"\x1b\\" if value else _reset(name)
            for name, value in self._changed.items()
        )

    def _ask(self, match: re.Match[bytes]) -> bytes:
        names = [name for name in _names(match) if name not in self._changed]
        self._changed.update(dict.fromkeys(names))
        if _CURSOR in names and _TEXT not in names:
            names.insert(0, _TEXT)
        if not names or len(self._asked) >= MAX_ASKED:
            return b""
        self._asked.append(names)
        return b"".join(b"\x1b]" + name + b";?\x1b\\" for name in names) + _FENCE

    def _answered(self, match: re.Match[bytes]) -> bytes:
        name, value, fence = match.groups()
        if not self._asked:
            return match.group()
        if fence:
            self._asked.popleft()
        elif name in self._asked[0]:
            self._asked[0].remove(name)
            self._learn(name, value)
        else:
            return match.group()
        return b""

    def _learn(self, name: bytes, value: bytes) -> None:
        if name == _TEXT:
            self._text = value
        # A cursor without a colour of its own is told to have the text's.
        if name in self._changed and not (name == _CURSOR and value == self._text):
            self._changed[name] = self._changed[name] or value


def _names(match: re.Match[bytes]) -> Iterator[bytes]:
    """Return which colours a sequence changes; one that only asks changes none."""
    kind = int(match[1])
    values = [] if match[2] is None else match[2].split(b";")
    if kind == 4:
        pairs = zip(values[::2], values[1::2], strict=False)
        yield from _palette(number for number, value in pairs if value != b"?")
    elif kind == 104:
        yield from _palette(
            [b"%d" % n for n in range(_PALETTE)] if values in ([], [b""]) else values
        )
    elif kind > 104:
        yield b"%d" % (kind - 100)
    else:
        # Further values are for the colours that follow.
        for number, value in enumerate(values, kind):
            if value not in (b"", b"?") and number <= 12:
                yield b"%d" % number


def _palette(numbers: Iterable[bytes]) -> Iterator[bytes]:
    return (b"4;%d" % int(n) for n in numbers if n.isdigit() and int(n) < _PALETTE)


def _reset(name: bytes) -> bytes:
    kind, _, number = name.partition(b";")
    return b"\x1b]%d%s\x1b\\" % (int(kind) + 100, b";" + number if number else b"")
