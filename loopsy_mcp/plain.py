"""What programs write, as text that a model can read: no escapes, no binary, not too long."""

from __future__ import annotations

import codecs
import re
from typing import Final

__all__ = ["PlainText", "cut", "cut_off", "left_over", "plain", "readable"]

# One escape sequence each: CSI, then OSC and the other strings, then the short ones. No part can
# match in two ways, so that hostile output costs no more than friendly.
_ESCAPE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
)
_BEGUN: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?\Z")
_LONGEST_ESCAPE: Final = 4096
"""Characters after which a sequence that does not end is taken for text."""
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BINARY_SHARE: Final = 0.1
"""Of the characters that no text has, from which on it is no text."""
_SHOWN: Final = 32


class PlainText:
    """Turns a terminal's output into text, piece by piece; what is cut in two is held back."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def copy(self) -> PlainText:
        """Return another that stands where this one does."""
        other = PlainText()
        other._decoder.setstate(self._decoder.getstate())
        other._begun = self._begun
        return other

    def add(self, data: bytes) -> str:
        """Return the text that `data` adds, with a newline for each end of a line."""
        text = self._begun + self._decoder.decode(data)
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST_ESCAPE))
        end = len(text) if begun is None else begun.start()
        if text[:end].endswith("\r"):
            end -= 1  # a newline may follow, and then it is one end of a line and not two
        text, self._begun = text[:end], text[end:]
        text = _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
        return _INVISIBLE.sub("", text)


def plain(data: bytes) -> str:
    """Return a terminal's output as text; of a line that was written over, what it became."""
    text = _ESCAPE.sub("", data.decode("utf-8", "replace"))
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return _INVISIBLE.sub("", "\n".join(lines))


def cut_off(data: bytes) -> int:
    """Return how many bytes at the end of `data` begin a character that does not end there."""
    for size in range(1, min(4, len(data) + 1)):
        byte = data[-size]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return size if size < length else 0
        if byte < 0x80:
            break
    return 0


def left_over(data: bytes) -> int:
    """Return how many bytes at the beginning of `data` end a character that began before it."""
    found = (at for at, byte in enumerate(data[:4]) if not 0x80 <= byte < 0xC0)
    return next(found, len(data) if len(data) < 4 else 0)


def readable(data: bytes) -> str:
    """Return a command's output as text, or a word about it where it is none."""
    text = data.decode("utf-8", "replace")
    odd = text.count("\ufffd") + text.count("\0")
    if b"\0" in data[:4096] or odd > len(text) * _BINARY_SHARE:
        return f"[{len(data)} bytes that are no text, beginning with {data[:_SHOWN].hex()}]"
    return plain(data)


def cut(text: str, most: int, hint: str) -> str:
    """Return `text` in at most `most` characters and a line that says what its middle lacks."""
    if len(text) <= most:
        return text
    head = most // 3
    tail = most - head
    left_out = len(text) - most
    return f"{text[:head]}\n[... {left_out} characters left out; {hint} ...]\n{text[-tail:]}"
