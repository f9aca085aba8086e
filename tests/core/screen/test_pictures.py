"""Pictures of a screen: written to a fresh one they make it the same, and what follows fits.

Properties over generated output of several sorts of programs, cut at any byte and fed in pieces of
any size; both terminals are compared cell by cell. Then one case each of what was wrong once, or is
easily got wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.screen import Screen
from loopsy_core.screen.content import draw_content
from loopsy_core.screen.easy import ENOUGH, blocks
from loopsy_core.screen.emulator import SCROLLBACK_LINES
from loopsy_core.screen.snapshot import read_snapshot
from tests.core.screen.looking import Cell, differences, grid, inner, view
from tests.core.screen.printing import (
    anything,
    log,
    programs,
    resized,
    screens,
    shell,
    sizes,
    steps,
    words,
)
from tests.play import bounded, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COLS: Final = 12
ROWS: Final = 5
MODES: Final = 6000
"""Numbers of modes that are asked for: the highest that anybody uses is 5522."""
SET, RESET = b"1", b"2"
cuts = st.integers(0, 10_000)
_REPEATED: Final = re.compile(rb"(?:^|\x1b\[)[0-9]*b")


def fresh(cols: int = COLS, rows: int = ROWS) -> Screen:
    return Screen(cols, rows, lambda _: None)


def shown(data: bytes, cols: int = COLS, rows: int = ROWS) -> Screen:
    screen = fresh(cols, rows)
    screen.feed(data)
    return screen


def feed(screen: Screen, data: bytes, sizes: Sequence[int]) -> None:
    for piece in pieces(data, sizes):
        screen.feed(piece)


def check(
    before: bytes,
    after: bytes = b"",
    size: tuple[int, int] = (COLS, ROWS),
    then: tuple[int, int] | None = None,
    steps: Sequence[int] = (1 << 20,),
) -> None:
    """Draw `before`, resized to `then`, on a fresh screen: the same, also once `after` followed."""
    original = fresh(*size)
    feed(original, before, steps)
    if then is not None:
        original.resize(*then)
    copy = fresh(*(then or size))
    feed(copy, original.picture(), steps)
    at = view(original)
    assert differences(at, view(copy)) == []
    # Where it waits to wrap over nothing a picture may put a blank, which stays there.
    if not at.waits_over_nothing:
        if at.letter is None:
            after = _REPEATED.sub(b"", after)
        feed(original, after, steps)
        feed(copy, after, steps)
        found = differences(view(original), view(copy))
        if at.letter is None:
            found = [line for line in found if not line.startswith("letter")]
        assert found == []
    for screen in (original, copy):
        screen.close()


def cut_in_two(whole: bytes, seed: int) -> tuple[bytes, bytes]:
    at = seed % (len(whole) + 1)
    return whole[:at], whole[at:]


# Properties.


@pytest.mark.parametrize("program", programs)
def test_a_picture_and_what_follows_equal_the_whole(program: str) -> None:
    @bounded(200)
    @given(programs[program], cuts, steps, sizes)
    def holds(whole: bytes, cut: int, steps: Sequence[int], size: tuple[int, int]) -> None:
        check(*cut_in_two(whole, cut), size, steps=steps)

    holds()


@bounded(100)
@given(
    st.lists(st.tuples(shell, screens), min_size=1, max_size=3),
    st.sampled_from([b"47", b"1047", b"1049"]),
    cuts,
)
def test_both_screens_are_drawn_again(
    visits: list[tuple[bytes, bytes]], mode: bytes, cut: int
) -> None:
    enter, leave = b"\x1b[?" + mode + b"h", b"\x1b[?" + mode + b"l"
    whole = b"".join(out + enter + within + leave for out, within in visits)
    check(*cut_in_two(whole, cut))


@bounded(150)
@given(anything, screens, st.integers(3, 30), st.integers(3, 12))
def test_a_resized_terminal_is_drawn_in_its_new_size(
    before: bytes, after: bytes, cols: int, rows: int
) -> None:
    check(before, after, then=(cols, rows))


@bounded(200)
@given(resized, anything, sizes)
def test_a_terminal_that_is_resized_again_and_again_is_drawn_as_it_is(
    before: list[tuple[bytes, tuple[int, int]]], after: bytes, size: tuple[int, int]
) -> None:
    original = fresh(*size)
    for output, size in before:
        original.feed(output)
        original.resize(*size)
    copy = shown(original.picture(), *size)
    at = view(original)
    # Where the cursor is behind a screen that saved it, its place is taken from what was saved.
    found = [line for line in differences(at, view(copy)) if not line.startswith("place behind")]
    assert found == []
    if not at.waits_over_nothing and at.letter is not None:
        for screen in (original, copy):
            screen.feed(after)
        found = differences(view(original), view(copy))
    assert [line for line in found if not line.startswith("place behind")] == []


line = st.lists(words, max_size=8).map(b"".join)
many_lines = st.lists(
    st.tuples(
        st.sampled_from([b"", b"\x1b[31m", b"\x1b[1;44m", b"\x1b[38;2;1;2;3m"]),
        line,
        st.sampled_from([b"\r\n", b"\x1b[m\r\n", b"\x1b[m\x1b[K\r\n"]),
        st.integers(1, 12),
    ),
    max_size=12,
).map(lambda found: b"".join((style + text + end) * count for style, text, end, count in found))


@bounded(120)
@given(many_lines, anything, many_lines, cuts, st.sampled_from([(20, 6), (9, 40)]))
def test_a_long_scrollback_is_drawn_again(
    first: bytes, between: bytes, last: bytes, cut: int, size: tuple[int, int]
) -> None:
    check(*cut_in_two(first + between + last, cut), size=size)


@bounded(100)
@given(many_lines, anything)
def test_rows_are_the_same_whoever_draws_them(lines: bytes, more: bytes) -> None:
    screen = shown(lines + more + b"\x18\r", 20, 6)
    emulator = screen._emulator  # noqa: SLF001
    data = emulator.snapshot()
    assert data
    side, _ = read_snapshot(data).sides
    by_hand = shown(draw_content(side.pages, 6).encode(), 20, 6)
    formatted = shown(draw_content(side.pages, 6, emulator.formatted_rows).encode(), 20, 6)
    assert view(by_hand).here == view(formatted).here == view(screen).here


@bounded(120)
@given(anything, steps)
def test_it_does_not_matter_how_output_is_cut(whole: bytes, sizes: Sequence[int]) -> None:
    in_pieces = fresh()
    feed(in_pieces, whole, sizes)
    assert view(in_pieces) == view(shown(whole))


@bounded(60)
@given(anything)
def test_making_a_picture_changes_nothing(whole: bytes) -> None:
    screen = shown(whole)
    before = view(screen)
    assert screen.picture() == screen.picture()
    assert view(screen) == before


@bounded(60)
@given(log)
def test_the_cells_that_are_compared_are_the_emulators_own(whole: bytes) -> None:
    screen = shown(whole + b"\x18")
    seen = [
        [(cell.letters, cell.width, cell.protected, cell.link[1]) for cell in cells]
        for _, cells in view(screen).here[-ROWS:]
    ]
    told = [
        [
            (text, width, guarded, link if text or not width else b"")
            for text, width, guarded, link in row
        ]
        for row in grid(screen)
    ]
    if not view(screen).cursor.waits:
        assert [row + [("", 1, False, b"")] * (COLS - len(row)) for row in seen] == told


# One case each.


def lines(count: int, of: bytes = b"line") -> bytes:
    return b"\r\n".join(of + b" %d" % number for number in range(count))


FULL: Final = b"x" * COLS

CASES: Final[dict[str, tuple[str | bytes, str | bytes]]] = {
    "a cleared screen below scrollback": (lines(30) + b"\x1b[H\x1b[2J", b"$ "),
    "a prompt on a cleared screen": (lines(30) + b"\x1b[H\x1b[2J$ ", b"ls\r\n"),
    "a screen erased from its middle": (lines(30) + b"\x1b[2;1H\x1b[J", b"x"),
    "empty lines at the end": (b"\r\n" * 30 + b"a" + b"\r\n" * 3, b"x"),
    "a line wrapped before wrapping was turned off": (b"x" * 20 + b"\x1b[?7l", b"y"),
    "a full line": (FULL, b"y"),
    "a full line in a colour": (b"\x1b[31m" + FULL, b"y"),
    "a full line of wide letters": ("漢".encode() * (COLS // 2), b"y"),
    "a wide letter that finds no place": (b"x" * (COLS - 1) + "漢".encode(), b"y"),
    "a line with half a wide letter alone at its end": (b"a\x1b[2;12H" + "漢".encode(), b""),
    "a full line whose letter was scrolled away": (FULL + b"\x1b[S", b""),
    "a line after a wrapped one whose rest is gone": (FULL + b"x\x1b[2K\r\nz", b""),
    "that a line was wrapped when its rest is gone": (FULL + b"x\x1b[1K", b"y"),
    "a wrapped line whose end is gone": (FULL + b"yz\x1b[A\x1b[12G\x1b[X", b"w"),
    "a wrapped line, coloured on": (b"\x1b[41m" + FULL + b"yz\x1b[m", b"w"),
    "wrapped lines of colours at the bottom": (b"\r\n" * 8 + b"\x1b[42m" + FULL * 2 + b"y", b"z"),
    "a line below the margins that wraps onto itself": (b"\x1b[1;3r\x1b[5;9Habcdef", b"g"),
    "the rest of a line whose beginning is gone, below one in colours": (
        b"\r\n\r\n" + FULL + b"xyz\x1b[1;3r\x1b[3;1H" + b"\r\n\x1b[31mab\x1b[m" * 9,
        b"",
    ),
    "wrapped lines in colours whose rest is gone": (
        b"\x1b[31m" + (FULL + b"y\x1b[1K\r\n") * 9,
        b"",
    ),
    "lines where a wide letter found no place, and is gone": (
        b"\x1b[31m" + (FULL[1:] + "漢\r\x1b[2G\x1b[1K\rab\r\n".encode()) * 9,
        b"",
    ),
    "protected lines in colours": (b'\x1b[1"q' + b"\x1b[31mab\r\n" * 9, b"\x1b[?2J"),
    "links in colours": (b"\x1b]8;;http://a\x07" + b"\x1b[31mab\r\n" * 9, b""),
    "wrapped lines in colours": (b"\x1b[31m" + (FULL + b"\x1b[34mxyz\r\n") * 9, b""),
    "wide letters in colours": ("\x1b[31m漢字".encode() * 40, b""),
    "wide letters under line drawing, in colours": (
        "\x1b[31m\x1b(0漢漢a\x1b(B漢字\r\n".encode() * 9,
        b"",
    ),
    "colours of a line without text": (b"\x1b[41m\x1b[K\x1b[0m", b"x"),
    "colours of lines scrolled in without text": (b"\x1b[41m" + b"\r\n" * 8, b"x"),
    "gaps between words": (b"a\tb\r\n\x1b[7ma\x1b[3Cb\x1b[m" + b"\r\n" * 8, b"x"),
    "a wide letter that the cursor stands on": ("x漢\x1b[2G".encode(), b"y"),
    "a wide letter whose second half the cursor stands on": ("x漢\b".encode(), b"y"),
    "a wide letter that the cursor stands behind": ("漢\x1b[3;3H漢".encode(), "\u0301y".encode()),
    "a full line that ends with a wide letter": ("x" * 10 + "漢", "\u0301y"),
    "a full line that ends with a wide letter, gone back into": ("x" * 10 + "漢\b", "y"),
    "a full line that ends with a letter and a mark": ("x" * 11 + "e\u0301", "\u0301y"),
    "the place that was too small for a wide letter": ("x" * 11 + "漢\x1b[A\x1b[12G", "y"),
    "letters inserted before a wide letter at the end": ("x" * 10 + "漢\x1b[H\x1b[@", "y\x1b[P"),
    "letters taken away before a wide letter at the end": ("x" * 10 + "漢\x1b[H\x1b[P", "y\x1b[@"),
    "a letter over half of a wide one": ("漢字\x1b[2Gx\x1b[3Gy", "z"),
    "waiting to wrap, gone back to a tab stop": (FULL + b"\x1b[Z", b"y"),
    "waiting to wrap, gone back to the first column": (FULL + b"\x1b[9Z", b"y"),
    "waiting to wrap where a tab stop was": (
        b"\x1b[5G\x1bH\r" + FULL + b"\x1b[2Z\x1b[0g",
        b"y",
    ),
    "waiting to wrap within margins, gone back to a tab stop": (
        b"\x1b[?69h\x1b[2;11s" + FULL + b"\x1b[Z",
        b"y",
    ),
    "waiting to wrap over a link": (b"\x1b]8;;http://a\x07" + FULL + b"\x1b]8;;\x07", b"y"),
    "waiting to wrap, saved within margins": (
        b"\x1b[?69h\x1b[1;4s" + b"x" * 4 + b"\x1b7\x1b[H\x1b[2J\x1b[?69l",
        b"\x1b8y",
    ),
    "the repeated letter at the end of a full line": (FULL, b"\x1b[3b"),
    "the repeated letter": (b"abc", b"\x1b[3b"),
    "the repeated letter, elsewhere": (b"abc\x1b[3;3H", b"\x1b[3b"),
    "a repeated line": (b"\x1b(0qq", b"\x1b[3b"),
    "a mark that comes later": (b"e", "\u0301 and on".encode()),
    "a letter cut within its bytes": ("e漢".encode()[:-1], "漢".encode()[-1:] + b"x"),
    "a sequence cut within": (b"a\x1b[3", b"1mb"),
    "a command cut within": (b"a\x1b]0;ti", b"tle\x07b"),
    "a saved cursor": (b"\x1b[3;4H\x1b[31m\x1b7\x1b[1;1H\x1b[m", b"\x1b8x"),
    "a saved cursor that waits to wrap": (FULL + b"\x1b7\x1b[H\x1b[2J", b"\x1b8x"),
    "a saved cursor with its origin, character set and style": (
        b"\x1b[2;4r\x1b[?6h\x1b(0\x1b[31m\x1b[2;3H\x1b7\x1b[m\x1b(B\x1b[?6l\x1b[H",
        b"\x1b8qq",
    ),
    "cursors saved on both screens": (
        b"\x1b[31m\x1b[2;3H\x1b7\x1b[?47h\x1b[32m\x1b[4;5H\x1b7\x1b[H\x1b[m",
        b"\x1b8a\x1b[?47l\x1b8b",
    ),
    "a saved cursor behind the other screen": (b"a\x1b7\r\nb\x1b[?1049h\x1b[?1049l", b"\x1b8x"),
    "the cursor in margins that are its origin": (b"\x1b[2;4r\x1b[?6h", b"x"),
    "the cursor beyond margins that are its origin": (b"\x1b[?6h\x1b7\x1b[3r\x1b8", b"x"),
    "margins at the sides": (b"abcdefghijkl\x1b[?69h\x1b[3;6s\x1b[2;4H", b"uvwxyz"),
    "a single shift (SS2)": (b"\x1b*0\x1bN", b"qq"),
    "a single shift (SS3)": (b"\x1b+0\x1bO", b"qq"),
    "a shape of the cursor": (b"\x1b[5 q", b"\x1b[?12l"),
    "a shape of the cursor from before the usual one behind it": (
        b"\x1b[5 q\x1b[?1049h\x1b[0 q\x1b[?1049l",
        b"\x1b[?1047h",
    ),
    "keyboard flags of both screens": (
        b"\x1b[>1u\x1b[>3u\x1b[?1049h\x1b[>5u\x1b[=2;2u",
        b"\x1b[<u\x1b[?1049l\x1b[<u",
    ),
    "keyboard flags below the topmost": (b"\x1b[>1u\x1b[>5u", b"\x1b[<u"),
    "a stack of keyboard flags that went round": (
        b"".join(b"\x1b[>%du" % n for n in range(12)),
        b"",
    ),
    "protected cells": (b'\x1b[1"qabc\x1b[0"q', b"\x1b[?2J"),
    "cells protected in the older way": (b"\x1bVab\x1bWc", b"\x1b[H\x1b[J"),
    "a link": (b"\x1b]8;;http://a/%20\x07link\x1b]8;;\x07 text", b"x"),
    "a link that goes on": (b"a \x1b]8;;http://a\x07link", b" of it\x1b]8;;\x07x"),
    "letters that share a cell": ("\x1b[?2027h👩\u200d👧1\ufe0f\u20e3e\u0301".encode(), b"x"),
    "letters that share no cell": ("👩\u200d👧1\ufe0f\u20e3e\u0301".encode(), b"x"),
    "a wide letter under line drawing": ("\x1b(0漢q\x1b(B漢".encode(), b"x"),
    "a width that the program chose (DECCOLM)": (b"\x1b[?40h\x1b[?3h", b"x"),
    "saved modes": (
        b"\x1b[?25l\x1b[?25s\x1b[?25h\x1b[?2004h\x1b[?2004s\x1b[?2004l",
        b"\x1b[?25;2004r",
    ),
    "the saved mode that a width may be chosen": (b"\x1b[?40h\x1b[?40s", b"\x1b[?40r"),
    "colours of the palette and the usual ones": (
        b"\x1b]4;1;#123456;200;rgb:01/02/03\x07\x1b]10;#111111\x07\x1b]11;#222222\x07"
        b"\x1b]12;#333333\x07",
        b"\x1b]104;1\x07\x1b]111\x07",
    ),
    "modes that changed behind the other screen": (
        b"\x1b[?1h\x1b[?25l\x1b[?2004h\x1b[2;4r$ \x1b[?1049h\x1b[?1l\x1b[?25h\x1b[?2004l\x1b[r",
        b"x\x1b[?1049ly",
    ),
    "a coloured prompt behind the other screen": (
        b"\x1b[41m$ \x1b[?1049h\x1b[0m\x1b[3;3Hx",
        b"\x1b[?1049ly",
    ),
    "scrollback behind the other screen": (lines(30) + b"\x1b[?1049hx", b"\x1b[?1049ly"),
    "rows inserted below a wrapped one": (FULL * 2 + b"\x1b[2H\x1b[L", b"x"),
    "a prompt at the bottom, which clearing scrolls away": (
        b"\r\n" * 4 + b"\x1b]133;A\x07$ \x1b]133;B\x07ls",
        b"\x1b[H\x1b[2J",
    ),
    "a prompt of two rows": (b"\x1b]133;A\x07$ \x1b]133;B\x07a\r\nb", b"\r\n" * 3 + b"\x1b[2J"),
    "what is typed to the end of the line": (b"\x1b]133;I\x07ls", b"\r\n" * 4 + b"out\x1b[2J"),
    "a prompt behind the other screen": (
        b"\r\n" * 4 + b"\x1b]133;A\x07$ \x1b]133;B\x07vi\x1b[?1049h~\r\n~",
        b"\x1b[?1049l\x1b[H\x1b[2J",
    ),
    "the other screen, while it is left (47)": (b"a\x1b[?47hb\x1b[?47l", b"\x1b[?47hc"),
    "a way onto the other screen with a zero before it": (b"a\x1b[?01049hb", b"\x1b[?1049lc"),
    "a way onto the other screen by restoring modes": (
        b"\x1b[?1049sa\x1b[?1049h\x1b[?1049l\x1b[?1049r",
        b"b\x1b[?1049lc",
    ),
    "out of the other screen and back in at once": (
        b"a\x1b[?1049hb\x1b[?1049lc\r\nd\x1b[?1049he",
        b"\x1b[?1049lf",
    ),
    "line drawing in force when the other screen opens": (
        b"\x1b(0\x1b[?1049h\x1b(Bq",
        b"\x1b[?1049lq",
    ),
    "a background that the other screen is cleared with": (
        b"\x1b[?1049h\x1b[44mx\x1b[?1049l",
        b"\x1b[?1049hy",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_picture_has(name: str) -> None:
    before, after = (text.encode() if isinstance(text, str) else text for text in CASES[name])
    check(before, after)


def modes(screen: Screen, replies: list[bytes], asked: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return which of the modes that are asked for are set and which are not, as it answers."""
    replies.clear()
    for mode in asked:
        screen.feed(b"\x1b[%s$p" % mode)
    told = re.findall(rb"\x1b\[(\??\d+);(\d)\$y", b"".join(replies))
    return {mode: value for mode, value in told if value in (SET, RESET)}


def test_a_picture_has_every_mode_that_the_emulator_knows() -> None:
    replies: list[bytes] = []
    every = (b"%s%d" % (private, number) for private in (b"", b"?") for number in range(MODES))
    known = modes(Screen(COLS, ROWS, replies.append), replies, every)
    assert len(known) > 40
    del known[b"?2027"]  # which is never on
    for mode, value in known.items():
        original = Screen(COLS, ROWS, replies.append)
        original.feed(b"\x1b[?40h\x1b[%s%c" % (mode, b"hl"[value == SET]))
        now = modes(original, replies, known)
        assert now[mode] != value
        copy = Screen(*original.size, replies.append)
        copy.feed(original.picture())
        assert modes(copy, replies, known) == now, mode
        assert differences(view(original), view(copy)) == [], mode


@pytest.mark.parametrize("screen", [b"", b"\x1b[?1049h"])
def test_a_picture_has_all_flags_of_the_keyboard(screen: bytes) -> None:
    for flags in range(32):
        original, replies = shown(screen + b"\x1b[>%du" % flags), list[bytes]()
        copy = Screen(COLS, ROWS, replies.append)
        copy.feed(original.picture() + b"\x1b[?u")
        assert replies == [b"\x1b[?%du" % flags]


@pytest.mark.parametrize("then", [b"", b"\x1b[Z", b"\x1b[5C"])
def test_a_cursor_waits_to_wrap_over_nothing_as_it_did(then: bytes) -> None:
    """No blank is left where there is none, for the other screen is free to print to."""
    original = shown(FULL + b"\x1b[S" + then)
    copy = shown(original.picture())
    assert grid(copy) == grid(original) == [[("", 1, False, b"")] * COLS] * ROWS
    for screen in (original, copy):
        screen.feed(b"y")
    assert copy.lines == original.lines
    assert copy.cursor == original.cursor
    assert differences(view(original), view(copy)) == []


def test_the_lower_of_two_rows_wraps_onto_itself() -> None:
    check(b"\x1b[?69h\x1b[1;2s\x1b[2;12Hab", b"c", (COLS, 2))


@pytest.mark.parametrize("before", [b"\x1b[2H\x1b[L", b"\x1b[2H\x1b[M", b"\x1b[2;4r\x1b[T", b""])
def test_lines_reflow_after_a_picture_as_they_would_have(before: bytes) -> None:
    original = shown(FULL + b"xyz\r\nnext" + before)
    copy = shown(original.picture())
    for size in ((7, 5), (20, 5), (COLS, 3)):
        for screen in (original, copy):
            screen.resize(*size)
        assert differences(view(original), view(copy)) == []


def test_a_cursor_saved_by_a_mode_on_one_screen_is_not_saved_on_the_other() -> None:
    original = shown(FULL + b"x\x1b[?47h\x1b[?1048h")
    copy = shown(original.picture())
    for screen in (original, copy):
        screen.resize(30, ROWS)
    assert differences(view(original), view(copy)) == []


@pytest.mark.parametrize("mode", [b"47", b"1047", b"1049"])
def test_rows_are_taken_from_both_screens_as_they_would_have_been(mode: bytes) -> None:
    enter, leave = b"\x1b[?" + mode + b"h", b"\x1b[?" + mode + b"l"
    for out in (
        b"shell\r\n$ " + enter + b"\x1b[2;3Hvim",
        b"$ " + enter + b"vi" + leave + b"a\r\nb",
    ):
        original = shown(out)
        copy = shown(original.picture())
        for screen in (original, copy):
            screen.resize(9, 2)
        assert differences(view(original), view(copy)) == []
        for screen in (original, copy):
            screen.feed(leave + b"x" + enter + b"y")
        assert differences(view(original), view(copy)) == []


def test_lines_that_wrap_into_another_background_are_drawn_where_nothing_scrolls() -> None:
    check((b"\x1b[31m" + b"x" * COLS + b"\x1b[44myz\x1b[m\r\n") * 9, size=(COLS, 30))


def test_the_other_screen_is_found_wherever_its_sequence_is_cut() -> None:
    whole = b"shell\x1b[?25;1049hx"
    for at in range(len(whole)):
        check(whole[:at], whole[at:] + b"y\x1b[?1049lz")


def test_the_scrollback_behind_the_other_screen_is_drawn_anew_when_it_has_changed() -> None:
    screen = shown(lines(20) + b"\x1b[?1049hvim")
    first = screen.picture()
    assert screen.picture() == first
    # Out and in again in one piece, so that nobody sees the primary screen in between.
    screen.feed(b"\x1b[?1049lmore\r\n" * 3 + b"\x1b[?1049hvim")
    copy = shown(screen.picture())
    assert differences(view(screen), view(copy)) == []
    screen.resize(20, 7)
    assert differences(view(screen), view(shown(screen.picture(), 20, 7))) == []


def test_a_wide_letter_on_a_new_edge_of_the_other_screen_is_taken_out_as_a_whole() -> None:
    """Its first half alone would stay, and the emulator could tell its state no more."""
    screen = shown("a\r\nb\x1b[?1049h\x1b[Hxy漢z\x1b]0;title\x07\x1b[31m".encode())
    screen.resize(3, ROWS)
    assert differences(view(screen), view(shown(screen.picture(), 3, ROWS))) == []
    assert view(screen).here[0] == (False, (Cell("x"), Cell("y")))
    screen.feed(b"\x1b[?1049lc")
    assert screen.lines[:2] == ["a", "bc"]


def test_after_that_queries_are_still_answered() -> None:
    replies: list[bytes] = []
    screen = Screen(COLS, ROWS, replies.append)
    screen.feed("\x1b[?1049h\x1b[Hxy漢z".encode())
    screen.resize(3, ROWS)
    screen.feed(b"\x1b[6n")
    assert replies == [b"\x1b[1;3R"]


def test_a_link_over_several_lines_is_one_link() -> None:
    screen = shown(b"\x1b]8;;http://a\x07one\r\ntwo\x1b]8;;\x07 and \x1b]8;;http://a\x07three", 20)
    picture = screen.picture()
    first = picture.index(b"one")
    assert picture[first:].startswith(b"one\r\ntwo\x1b]8;;\x1b\\ and \x1b]8;;http://a\x1b\\three")


def test_the_scrollback_holds_some_ten_thousand_lines_and_all_are_drawn() -> None:
    screen = shown(lines(3 * SCROLLBACK_LINES, b"\x1b[32mok\x1b[m\tand"), 80, 24)
    kept = inner(screen).get("scrollback_rows", "size_t")
    assert 0.9 * SCROLLBACK_LINES < kept <= SCROLLBACK_LINES
    copy = shown(screen.picture(), 80, 24)
    assert inner(copy).contents() == inner(screen).contents()
    assert view(copy) == view(screen)


def test_lines_of_one_style_each_are_left_to_the_emulator_to_format() -> None:
    screen = shown(lines(ENOUGH, b"\x1b[31mred\x1b[m") + b"\r\na\tb\r\n" + lines(ENOUGH))
    data = screen._emulator.snapshot()  # noqa: SLF001
    assert data
    found = list(blocks(read_snapshot(data).primary.pages, lambda first, after: f"{first}-{after}"))
    assert [block.output for block in found] == [f"0-{ENOUGH}", None]


def test_a_very_long_sequence_is_carried_or_let_go_but_never_grows_without_end() -> None:
    screen = shown(b"\x1b]52;c;" + b"QUJD" * 100_000)
    copy = shown(screen.picture())
    for each in (screen, copy):
        each.feed(b"\x07after")
    assert copy.text == screen.text == "after"
    for begin, end in ((b"\x1b]52;c;", b"\x07"), (b"\x1bP", b"\x1b\\"), (b"\x1b_", b"\x1b\\")):
        endless = shown(b"a" + begin + b"QUJD" * 1_000_000)
        picture = endless.picture()
        assert len(picture) < 100_000
        copy = shown(picture)
        for each in (endless, copy):
            each.feed(b"QUJD" + end + b"b")
        assert copy.text == endless.text == "ab"
