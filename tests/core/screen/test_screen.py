"""A screen: what it tells of itself, and that no output breaks it."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.screen import Screen
from tests.core.screen.looking import inner
from tests.core.screen.printing import anything
from tests.play import bounded

if TYPE_CHECKING:
    from collections.abc import Sequence


def fresh(cols: int = 12, rows: int = 5) -> Screen:
    return Screen(cols, rows, lambda _: None)


def shown(output: bytes, cols: int = 12, rows: int = 5) -> Screen:
    screen = fresh(cols, rows)
    screen.feed(output)
    return screen


@bounded(150)
@given(
    st.lists(st.binary(max_size=60) | anything, max_size=6), st.integers(1, 40), st.integers(1, 30)
)
def test_nothing_that_a_program_prints_breaks_the_screen(
    pieces: Sequence[bytes], cols: int, rows: int
) -> None:
    screen = fresh()
    for piece in pieces:
        screen.feed(piece)
        copy = shown(screen.picture(), *screen.size)
        copy.feed(piece)
        assert len(screen.title) <= 256
        assert len(screen.lines) == screen.size[1]
        assert all(b"\n" not in line for line in screen.history(ansi=True))
        screen.resize(cols, rows)


def test_a_screen_takes_in_noise_at_length() -> None:
    dice = random.Random(7)
    screen = fresh(80, 24)
    for _ in range(60):
        screen.feed(dice.randbytes(20_000))
        screen.resize(dice.randint(1, 200), dice.randint(1, 60))
        shown(screen.picture(), *inner(screen).size)


def test_lines_are_the_visible_rows() -> None:
    screen = shown(b"\r\n".join(b"line %d" % number for number in range(30)) + b"\r\nab  ")
    assert screen.lines == ["line 26", "line 27", "line 28", "line 29", "ab"]
    assert screen.cursor == (4, 4)
    assert fresh().lines == [""] * 5


def test_titles_are_cleaned_and_cut() -> None:
    screen = shown(b"\x1b]2;a\xc2\x9bb\xe2\x80\xaec" + b"x" * 400 + b"\x07")
    assert screen.title.startswith("ab")
    assert "\u202e" not in screen.title
    assert len(screen.title) == 256
    assert shown(screen.picture()).title == screen.title


def test_what_a_program_asks_is_answered_through_the_callback() -> None:
    replies: list[bytes] = []
    screen = Screen(80, 24, replies.append)
    screen.feed(b"ab\x1b[6n\x1b[c")
    assert replies[0] == b"\x1b[1;3R"
    assert replies[1].startswith(b"\x1b[?62")


@pytest.mark.parametrize("colour", [10, 11, 12])
def test_colours_that_nobody_has_set_are_told_and_are_in_no_picture(colour: int) -> None:
    replies: list[bytes] = []
    screen = Screen(80, 24, replies.append)
    before = screen.picture()
    screen.feed(b"\x1b]%d;?\x1b\\" % colour)
    assert re.fullmatch(rb"\x1b\]%d;rgb:\w{4}/\w{4}/\w{4}\x1b\\" % colour, b"".join(replies))
    screen.feed(b"\x1b]%d;#102030\x07" % colour)
    assert b"\x1b]%d;rgb:10/20/30" % colour in screen.picture()
    screen.feed(b"\x1b]%d\x07" % (colour + 100))
    assert screen.picture() == before


def test_no_question_makes_the_screen_repeat_what_a_stranger_wrote() -> None:
    replies: list[bytes] = []
    screen = Screen(80, 24, replies.append)
    screen.feed(b"\x1b]2;rm -rf ~\r\x07\x1b[21t\x1b]52;c;?\x07\x1bP$qrm\x1b\\\x05")
    assert not [reply for reply in replies if b"rm" in reply]


@bounded(100)
@given(anything)
def test_a_picture_asks_nothing(whole: bytes) -> None:
    """A viewer's terminal would answer, as if its user had typed."""
    replies: list[bytes] = []
    Screen(12, 5, replies.append).feed(shown(whole + b"\x18").picture())
    assert replies == []


def test_images_are_not_kept_for_pictures_have_none() -> None:
    replies: list[bytes] = []
    screen = Screen(80, 24, replies.append)
    screen.feed(b"\x1b_Gi=1,s=1,v=1,a=T,f=24;AAAA\x1b\\")
    assert inner(screen).get("kitty_image_storage_limit", "uint64_t") == 0
    assert not [reply for reply in replies if b"OK" in reply]
