"""What is typed into an attached terminal: passed on as it is, but for the keys behind Ctrl-A.

Sans-io, like everything in `wire`: bytes in, bytes and commands out, split wherever they like.
Programs may switch a terminal to richer reports, where Ctrl-A is no longer one byte: the
kitty keyboard protocol sends `CSI 97;5u`, xterm's modifyOtherKeys `CSI 27;5;97~`. Both count.
What the terminal answers to the program's queries comes the same way; it may be left out.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple, TypeAlias

from loopsy_core.wire import ANSWER, ANSWER_BEGUN, may_be_a_key

from .questions import Questions

__all__ = ["HELP", "KEYS_HELP", "Keys", "Pressed", "Typing"]

KEYS_HELP: Final = "Ctrl-A D detaches, Ctrl-A ? shows all keys"
HELP: Final = (
    "Ctrl-A D       detach; the session lives on",
    "Ctrl-A S       have the session take this size",
    "Ctrl-A arrows  look around in a larger session",
    "Ctrl-A Ctrl-A  send one Ctrl-A",
    "Ctrl-A ?       show this; any key closes it",
)

_PASTE: Final = b"\x1b[200~"
_PASTE_END: Final = b"\x1b[201~"

_UNIT: Final = re.compile(
    rb"\x1b\[M[\s\S]{3}"  # a mouse report of the oldest kind (X10), with raw bytes in it
    rb"|\x1b\[[0-?]*[ -/]*[@-~]"  # a control sequence (ECMA-48, section 5.4)
    rb"|\x1bO[A-Za-z]"  # an arrow or a function key, in their older form
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # a terminal's answer to a query
    rb"|[\xc2-\xf4][\x80-\xbf]{1,3}"  # a letter in UTF-8
    rb"|[\s\S]"
)
_PLAIN: Final = re.compile(rb"[^\x01\x1b]+")
# The end of what was read may be the first half of a sequence. An Esc alone is passed on at once,
# for that is a key of its own, and remembered: what follows within a moment may belong to it.
_UNFINISHED: Final = re.compile(rb"\x1b(?:\[[0-?]{0,32}\$?|O)")
_KITTY: Final = re.compile(rb"\x1b\[(\d+)(?::(\d*))?[\d:]*(?:;(\d*)(?::(\d+))?)?(?:;[\d:]*)?u")
_OTHER_KEYS: Final = re.compile(rb"\x1b\[27;(\d+);(\d+)~")
_A_KEY: Final = re.compile(rb"\x1b(?:O|\[(?:\d*(?:;\d*(?::(\d+))?)?[\d;:]*)?)([A-HP-SZ~u])")

_ESC: Final = 27
_ESC_ALONE: Final = b"\x1b"
_SHIFT, _CTRL, _LOCKS = 1, 4, 64 | 128
_RELEASE: Final = 3
_MODIFIER_KEYS: Final = range(57441, 57455)  # kitty's codes for Shift, Ctrl and the like alone


class Pressed(enum.Enum):
    """A key that is meant for us."""

    DETACH = enum.auto()
    SIZE = enum.auto()
    HELP = enum.auto()
    CLOSE = enum.auto()
    """Any key at all, while the help is there."""
    UP = enum.auto()
    DOWN = enum.auto()
    RIGHT = enum.auto()
    LEFT = enum.auto()


_ARROWS: Final = {
    b"A": Pressed.UP,
    b"B": Pressed.DOWN,
    b"C": Pressed.RIGHT,
    b"D": Pressed.LEFT,
}

Typing: TypeAlias = bytes | Pressed


class _Key(NamedTuple):
    code: int
    modifiers: int
    released: bool

    @property
    def is_prefix(self) -> bool:
        return self.code == ord("a") and self.modifiers == _CTRL

    def is_letter(self, letter: str) -> bool:
        letters = ord(letter), ord(letter.upper())
        return self.code in letters and self.modifiers in (0, _SHIFT, _CTRL)

    @property
    def is_help(self) -> bool:
        return self.code == ord("?") or (self.code == ord("/") and self.modifiers == _SHIFT)


class Keys:
    """Takes what a terminal sends; gives what to pass on and what was asked of us, in order."""

    def __init__(self) -> None:
        """Begin without a Ctrl-A under way."""
        self.any_key = False
        """Whether the next key is ours, whichever it is: it becomes `CLOSE` and goes no further.

        So it is behind `HELP`.
        """
        self.arrows = False
        """Whether the arrows behind Ctrl-A are ours, too."""
        self.answering = True
        """Whether it is for this terminal to answer the program; else its answers are left out."""
        self.questions = Questions()
        """What the terminal was asked; whoever shows it output tells."""
        self._held = b""
        self._done = 0
        self._closed = False
        self._prefix = b""
        self._pasting = False
        self._paste_tail = b""

    @property
    def waiting(self) -> bool:
        """Whether this may be half of a sequence; `flush` says that no more came soon."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Typing]:
        """Return what `data` means."""
        data = self._held + data
        done = self._done  # bytes of the first unit that came before, and were passed on
        self._held, self._done = b"", 0
        out: list[Typing] = []
        at = 0
        while at < len(data):
            if self._pasting:
                at = self._paste(data, at, out)
            elif not self._prefix and not self.any_key and (plain := _PLAIN.match(data, at)):
                out.append(plain.group())
                at = plain.end()
            elif _UNFINISHED.fullmatch(data, at) or (
                not self.answering and ANSWER_BEGUN.match(data, at)
            ):
                self._held, self._done = data[at:], done
                break
            elif (answer := ANSWER.match(data, at)) is not None and self._leaves_out(answer):
                at, done = answer.end(), 0
            else:
                unit = _UNIT.match(data, at)
                assert unit is not None  # its last branch takes anything
                at = unit.end()
                if done:
                    self._take_rest(unit.group(), out)
                    done = 0
                else:
                    before = len(out)
                    self._take(unit.group(), out)
                    if at == len(data) and unit.group() == _ESC_ALONE:
                        self._held, self._done = _ESC_ALONE, len(_ESC_ALONE)
                        self._closed = out[before:] == [Pressed.CLOSE]
        return _joined(out)

    def flush(self) -> list[Typing]:
        """Return what was held back: it was no sequence after all."""
        held = self._held[self._done :]
        self._held, self._done = b"", 0
        if held and self._prefix:
            held, self._prefix = self._prefix + held, b""
        return [held] if held else []

    def _leaves_out(self, answer: re.Match[bytes]) -> bool:
        """Whether this is an answer, and another one's to give."""
        asked = answer.group().endswith(b"R") and self.questions.answered()
        return not self.answering and (asked or not may_be_a_key(answer.group()))

    def _paste(self, data: bytes, at: int, out: list[Typing]) -> int:
        """Pass on pasted text: a Ctrl-A in it is text too."""
        end = (self._paste_tail + data[at:]).find(_PASTE_END)
        stop = len(data)
        if end >= 0:
            stop = at + end + len(_PASTE_END) - len(self._paste_tail)
            self._pasting = False
            self._paste_tail = b""
        else:
            self._paste_tail = (self._paste_tail + data[at:])[-len(_PASTE_END) + 1 :]
        out.append(data[at:stop])
        return stop

    def _take(self, unit: bytes, out: list[Typing]) -> None:
        if unit == _PASTE:
            self._pasting = True
        key = _read_key(unit)
        if not self._prefix:
            if key is not None and key.is_prefix and not key.released:
                self._prefix = unit
            elif not self.any_key or not _is_pressed(unit, key):
                out.append(unit)
            else:
                self._close(out)
                if self._pasting:
                    out.append(unit)
        elif key is not None and key.released and key.code == ord("a"):
            pass  # of the Ctrl-A that we kept
        elif not _is_pressed(unit, key):
            out.append(unit)
        else:
            prefix, self._prefix = self._prefix, b""
            closes = self.any_key
            if closes:
                self._close(out)
            if (ours := self._find(unit, key)) is not None:
                out.append(ours)
                self.any_key = ours is Pressed.HELP
            elif closes:
                pass
            elif key is not None and key.is_prefix:
                out.append(prefix)
            else:
                # Nothing of ours: as if there were no prefix, so that nothing typed is lost.
                out.append(prefix + unit)

    def _take_rest(self, unit: bytes, out: list[Typing]) -> None:
        """Take a unit whose Esc came alone, and was taken for a key."""
        if unit == _ESC_ALONE:
            return  # and a key it was
        if self._closed:
            # That key closed the help. A paste is not lost by it, and no other key comes of it.
            if unit == _PASTE:
                self._take(unit, out)
            return
        rest: list[Typing] = []
        self._take(unit, rest)
        self._prefix = self._prefix.removeprefix(_ESC_ALONE)
        out += [x.removeprefix(_ESC_ALONE) if isinstance(x, bytes) else x for x in rest]

    def _close(self, out: list[Typing]) -> None:
        self.any_key = False
        out.append(Pressed.CLOSE)

    def _find(self, unit: bytes, key: _Key | None) -> Pressed | None:
        """Return what the key behind Ctrl-A asks of us."""
        if key is None:
            arrow = _ARROWS.get(unit[-1:]) if _A_KEY.fullmatch(unit) else None
            return arrow if self.arrows else None
        if key.is_letter("d"):
            return Pressed.DETACH
        if key.is_letter("s"):
            return Pressed.SIZE
        return Pressed.HELP if key.is_help else None


def _read_key(unit: bytes) -> _Key | None:
    """Return the key that `unit` reports, None if it is something else or does not matter."""
    if unit[0] != _ESC or len(unit) == 1:
        code = unit[0] if len(unit) == 1 else ord(unit.decode("utf-8", "replace")[0])
        return _Key(code + 0x60, _CTRL, False) if 0 < code < _ESC else _Key(code, 0, False)
    if match := _KITTY.fullmatch(unit):
        shifted = int(match[2] or 0)
        modifiers = (int(match[3] or 1) - 1) & ~_LOCKS
        return _Key(shifted or int(match[1]), modifiers, int(match[4] or 1) == _RELEASE)
    if match := _OTHER_KEYS.fullmatch(unit):
        return _Key(int(match[2]), (int(match[1]) - 1) & ~_LOCKS, False)
    return None


def _is_pressed(unit: bytes, key: _Key | None) -> bool:
    """Whether this is a key going down, and not a mouse that moves meanwhile, say."""
    if key is not None:
        return not key.released and key.code not in _MODIFIER_KEYS
    match = _A_KEY.fullmatch(unit)
    return match is not None and match[1] != b"%d" % _RELEASE


def _joined(out: list[Typing]) -> list[Typing]:
    """Join neighbouring bytes."""
    joined: list[Typing] = []
    for item in out:
        if joined and isinstance(item, bytes) and isinstance(last := joined[-1], bytes):
            joined[-1] = last + item
        elif item:
            joined.append(item)
    return joined
