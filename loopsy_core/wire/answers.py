"""What a terminal says by itself when a program asks it something, told from what is typed.

Of several terminals that see one question only one may answer, and an answer is no typing
(PROTOCOL.md section 5).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ANSWER", "ANSWER_BEGUN", "is_answers", "may_be_a_key"]

LONGEST: Final = 1 << 20
"""Bytes of one answer; one that tells the clipboard may be long."""

_STRING: Final = (
    rb"\](?:4|5|1[0-9]|52);"  # colours and the clipboard, by OSC
    rb"|P[>!]\|"  # the version (XTVERSION) and the unit's id (DA3), by DCS
    rb"|P[01][$+]r"  # settings (DECRQSS) and capabilities (XTGETTCAP)
    rb"|_G"  # what became of a picture, by APC (kitty)
)
_CONTROL: Final = (
    rb"[?>=][0-?]*[ -/]*[@-~]"  # attributes, modes, flags: no key is reported with these marks
    rb"|[0-9;]+(?:\$y|[ntx])"  # ANSI modes, status, sizes of the window, DECREPTPARM
    rb"|[0-9]+;[0-9]+R"  # where the cursor is
)
ANSWER: Final = re.compile(
    rb"\x1b(?:\[(?:%b)|(?:%b)[^\x07\x1b]*(?:\x07|\x1b\\))" % (_CONTROL, _STRING)
)
ANSWER_BEGUN: Final = re.compile(
    # Whatever might still become one of `_STRING`, but for what is a key by itself: Alt with a
    # letter. Half a control sequence is nothing special: it may as well become a key.
    rb"\x1b(?:\](?:[145]|1[0-9]|52)|P[>!]|P[01][$+]?|(?:%b)[^\x07\x1b]{0,%d}\x1b?)\Z"
    % (_STRING, LONGEST)
)
# F3 with Shift, Alt, Ctrl or Meta is reported just like a cursor in the first line.
_F3: Final = re.compile(rb"\x1b\[1;(?:[2-9]|1[0-6])R")
_ANSWERS: Final = re.compile(rb"(?:(?!%b)%b)+" % (_F3.pattern, ANSWER.pattern))


def is_answers(data: bytes) -> bool:
    """Whether `data` is nothing but answers of a terminal: whole ones, and no key for sure."""
    return _ANSWERS.fullmatch(data) is not None


def may_be_a_key(answer: bytes) -> bool:
    """Whether a sequence that looks like an answer may be a key as well: F3 can."""
    return _F3.fullmatch(answer) is not None
