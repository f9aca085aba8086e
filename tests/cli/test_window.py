"""A window on a session's screen: what a terminal of another size shows of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyghostty import ffi, lib
from pyghostty.core import Terminal

from loopsy_cli.window import Window

SIZES = st.tuples(st.integers(2, 30), st.integers(2, 12))
OUTPUT = st.lists(
    st.sampled_from(
        [
            "plain text", "\r\n", "\n", "\b", "\t", "こんにちは", "e\u0301", "\u2764\ufe0f", "é",
            "\x1b[1;31m", "\x1b[m", "\x1b[4:3;58:5:9m", "\x1b[7m", "\x1b[48;2;1;2;3m",
            "\x1b[38;5;200m", "\x1b[44m\x1b[K\x1b[m", "\x1b[2J", "\x1b[H", "\x1b[5;9H", "\x1b[2;4r",
            "\x1b[95;104m", "\x1b[L", "\x1b[3P", "\x1b[M", "\x1b[?25l", "\x1b[?25h",
            "\x1b[4 q", "\x1b[?1049h", "\x1b[?1049l", "\x1b[?7l", "\x1b[?7h",
            "\x1b(0qqx\x1b(B", "\x1b[S", "\x1bM",
            "\x1b]8;;http://loopsy.test\x1b\\link\x1b]8;;\x1b\\", "\x1b[3;5H\x1b[@wide",
        ]
    ),
    max_size=40,
).map(lambda pieces: "".join(pieces).encode())  # fmt: skip


class Seat:
    """A terminal that a window is drawn on, beside one that has the session's own size."""

    def __init__(self, screen: tuple[int, int], size: tuple[int, int]) -> None:
        self.session = Terminal(*screen, 1000)
        self.outer = Terminal(*size, 1000)
        self.outer.feed(b"something else\r\n" * 20)
        self.window = Window(screen, size)
        self.drawn = b""

    def feed(self, data: bytes) -> None:
        self.session.feed(data)
        self.window.feed(data)
        self.draw()

    def draw(self) -> bytes:
        self.drawn = self.window.draw()
        self.outer.feed(self.drawn)
        return self.drawn

    @property
    def lines(self) -> list[str]:
        text: str = self.outer.text()
        return text.split("\n")


def cells(terminal: Terminal, left: int, top: int, width: int, height: int) -> list[list[object]]:
    """What a part of a screen shows: each cell's text and how it looks."""
    return [
        [look(terminal, x, y) for x in range(left, left + width)] for y in range(top, top + height)
    ]


def look(terminal: Terminal, x: int, y: int) -> object:
    ref = terminal.ref(x, y)
    codes, length = ffi.new("uint32_t[16]"), ffi.new("size_t*")
    lib.ghostty_grid_ref_graphemes(ref, codes, 16, length)
    cell, what = ffi.new("GhosttyCell*"), ffi.new("uint32_t*")
    lib.ghostty_grid_ref_cell(ref, cell)
    lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_CONTENT_TAG, what)
    style = terminal.style(x, y)
    if what[0] == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
        lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_COLOR_PALETTE, what)
        style["bg"] = ("palette", what[0] & 255)
    elif what[0] == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
        rgb = ffi.new("GhosttyColorRgb*")
        lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_COLOR_RGB, rgb)
        style["bg"] = ("rgb", (rgb.r, rgb.g, rgb.b))
    link, size = ffi.new("uint8_t[64]"), ffi.new("size_t*")
    lib.ghostty_grid_ref_hyperlink_uri(ref, link, 64, size)
    text = "".join(map(chr, codes[0 : length[0]])).strip("\0") or " "
    return text, style, ffi.buffer(link)[: size[0]]


@settings(deadline=None)
@given(SIZES, st.lists(OUTPUT, max_size=5), st.booleans())
def test_a_terminal_with_room_shows_just_what_the_session_does(
    size: tuple[int, int], pieces: list[bytes], same: bool
) -> None:
    cols, rows = size
    seat = Seat(size, size if same else (cols + 5, rows + 3))
    seat.draw()
    for piece in pieces:
        seat.feed(piece)
        assert cells(seat.outer, 0, 0, cols, rows) == cells(seat.session, 0, 0, cols, rows)
        visible = seat.session.mode(25)
        assert seat.outer.mode(25) == visible
        if visible:
            assert seat.outer.cursor == seat.session.cursor
    assert seat.window.draw() == b""


@settings(deadline=None)
@given(SIZES, SIZES, OUTPUT, SIZES, OUTPUT)
def test_any_size_and_any_change_of_sizes_shows_a_part_with_the_cursor_in_it(
    size: tuple[int, int],
    ours: tuple[int, int],
    before: bytes,
    then: tuple[int, int],
    after: bytes,
) -> None:
    seat = Seat(size, ours)
    seat.feed(before)
    seat.session.resize(*then)
    seat.window.resize(*then)
    seat.feed(after)
    seat.feed(b"\x1b[?25h")
    width, height = min(then[0], ours[0]), min(then[1], ours[1])
    (x, y), (ox, oy) = seat.session.cursor, seat.outer.cursor
    left, top = x - ox, y - oy
    assert 0 <= left <= then[0] - width
    assert 0 <= top <= then[1] - height
    shown = cells(seat.outer, 0, 0, width, height)
    expected = cells(seat.session, left, top, width, height)
    for row, wanted in zip(shown, expected, strict=True):
        # At the edges letters may be cut in half.
        assert row[1:-1] == wanted[1:-1]


def test_a_smaller_session_lies_in_a_border() -> None:
    seat = Seat((5, 2), (8, 4))
    seat.feed(b"hello\r\nyou")
    assert [line.rstrip() for line in seat.lines] == ["hello│", "you  │", "─────┘"]
    seat.outer.resize(6, 4)
    seat.window.fit(6, 4)
    seat.draw()
    assert seat.lines[:3] == ["hello│", "you  │", "─────┘"]
    seat.outer.resize(4, 4)
    seat.window.fit(4, 4)
    seat.draw()
    assert seat.lines[2] == "────"


def test_only_rows_that_have_changed_are_drawn() -> None:
    seat = Seat((80, 24), (100, 30))
    seat.feed(b"\r\n".join(b"row %d" % row for row in range(20)))
    seat.feed(b"\x1b[5;1Hchanged")
    assert b"changed" in seat.drawn
    assert b"row" not in seat.drawn
    assert seat.drawn.startswith(b"\x1b[?2026h")
    assert seat.drawn.endswith(b"\x1b[?2026l")
    seat.feed(b"\x1b[5;1Hchanged")
    assert b"changed" not in seat.drawn


def test_panning_stays_until_a_key_is_typed() -> None:
    seat = Seat((100, 40), (50, 10))
    seat.feed(b"top left\x1b[40;90Hbottom")
    assert not any("top left" in line for line in seat.lines)
    assert any("bottom" in line for line in seat.lines)
    for _ in range(20):
        seat.window.pan(-1, -1)
        seat.draw()
    assert seat.lines[0].startswith("top left")
    seat.feed(b"\x1b[40;90Hstill there")
    assert seat.lines[0].startswith("top left")
    assert not seat.outer.mode(25)  # where it is cannot be seen
    seat.window.follow()
    seat.draw()
    assert any("still" in line for line in seat.lines)
    for _ in range(20):
        seat.window.pan(1, 1)
        seat.draw()
    assert any("still" in line for line in seat.lines)


def test_without_a_cursor_the_view_stays_on_a_full_screen_and_else_sees_the_end() -> None:
    seat = Seat((40, 20), (40, 5))
    seat.feed(b"\x1b[?25l" + b"\r\n".join(b"line %d" % row for row in range(20)))
    assert seat.lines[-1].startswith("line 19") or "line 19" in seat.outer.text()
    seat.feed(b"\x1b[?1049h\x1b[H\x1b[2Jhead")
    seat.window.pan(0, -9)
    seat.draw()
    seat.window.follow()
    seat.feed(b"\x1b[20;1Hfoot")
    assert seat.lines[0].startswith("head")


def test_lines_of_ours_lie_over_the_bottom_and_go_away_without_a_trace() -> None:
    seat = Seat((20, 5), (20, 5))
    seat.feed(b"\r\n".join(b"row %d" % row for row in range(5)))
    before = cells(seat.outer, 0, 0, 20, 5)
    seat.window.cover(["first of two lines that is long", "second"])
    seat.draw()
    assert [line.rstrip() for line in seat.lines] == [
        "row 0", "row 1", "row 2", " first of two lines…", " second",
    ]  # fmt: skip
    assert not seat.outer.mode(25)
    seat.feed(b"\x1b[5;1Hchanged\x1b[5;1Hrow 4  ")
    seat.window.cover([])
    seat.draw()
    assert cells(seat.outer, 0, 0, 20, 5) == before
    assert seat.outer.mode(25)


MODES_IN_STEP = (1, 66, 2004, 5)


@pytest.mark.parametrize("mode", MODES_IN_STEP)
def test_modes_that_change_what_keys_send_are_in_step(mode: int) -> None:
    seat = Seat((20, 5), (30, 8))
    seat.feed(b"\x1b[?%dh" % mode)
    assert seat.outer.mode(mode)
    seat.feed(b"\x1b[?%dl" % mode)
    assert not seat.outer.mode(mode)


def test_the_keyboards_protocols_are_in_step_also_on_the_other_screen() -> None:
    seat = Seat((20, 5), (30, 8))
    flags = lambda: seat.outer.get("kitty_keyboard_flags", "uint8_t")  # noqa: E731
    seat.feed(b"\x1b[>5u")
    assert flags() == 5
    seat.feed(b"\x1b[?1049h")
    assert flags() == 0
    seat.feed(b"\x1b[>1u")
    assert flags() == 1
    seat.feed(b"\x1b[?1049l")
    assert flags() == 5
    seat.feed(b"\x1b[>4;2m")
    assert seat.drawn.count(b"\x1b[>4;2m") == 1
    seat.feed(b"\x1b[>4m")
    assert b"\x1b[>4m" in seat.drawn


def test_title_bell_and_colours_are_passed_on() -> None:
    seat = Seat((20, 5), (30, 8))
    seat.draw()
    seat.feed(b"\x1b]0;new title\x07")
    assert seat.drawn == b"\x1b[?2026h\x1b]0;new title\x1b\\\x1b[?2026l"
    seat.feed(b"\x07")
    assert seat.drawn.count(b"\x07") == 1
    seat.feed(b"\x1b]11;#102030\x1b\\\x1b]4;5;#010203\x1b\\")
    assert b"\x1b]11;#102030\x1b\\" in seat.drawn
    assert b"\x1b]4;5;#010203\x1b\\" in seat.drawn
    seat.feed(b"\x1b]111\x1b\\\x1b]104\x1b\\")
    assert b"\x1b]111\x1b\\" in seat.drawn
    assert b"\x1b]104;5\x1b\\" in seat.drawn


@pytest.mark.parametrize(
    ("modes", "pressed"),
    [
        (b"\x1b[?1000;1006h", b"\x1b[<0;93;38M"),
        (b"\x1b[?1002;1015h", b"\x1b[32;93;38M"),
        (b"\x1b[?1003h", b"\x1b[M \x7d\x46"),
        (b"\x1b[?1003;1016h", b"\x1b[<0;740;600M"),
        (b"", b"\x1b[<0;93;38M"),
    ],
)
def test_the_mouse_points_at_what_is_under_it(modes: bytes, pressed: bytes) -> None:
    seat = Seat((100, 40), (50, 10))
    seat.feed(modes + b"\x1b[40;99H")
    x, y = seat.outer.cursor
    left, top = 98 - x, 39 - y
    if modes:
        assert seat.outer.mode(1006)
        assert not seat.outer.mode(1003)
    else:
        seat.feed(b"\x1b[?1006h")
    assert seat.window.typed(b"a\x1b[<0;%d;%dMb" % (93 - left, 38 - top)) == b"a" + pressed + b"b"


def test_what_the_mouse_does_beside_the_session_stays_here() -> None:
    seat = Seat((20, 5), (30, 8))
    seat.feed(b"\x1b[?1000;1006h")
    typed = seat.window.typed
    assert typed(b"\x1b[<0;25;2M\x1b[<64;2;7M") == b""
    assert typed(b"\x1b[<0;20;5M") == b"\x1b[<0;20;5M"
    assert typed(b"\x1b[<32;28;8M\x1b[<0;28;8m") == b"\x1b[<32;20;5M\x1b[<0;20;5m"
    assert typed(b"\x1b[Ix\x1b[O") == b"x"


def test_leaving_takes_the_border_along_and_keeps_the_text() -> None:
    seat = Seat((10, 3), (20, 6))
    seat.feed(b"text\x1b[2;3H")
    seat.window.cover(["message"])
    seat.draw()
    seat.outer.feed(seat.window.leave())
    assert [line.rstrip() for line in seat.lines] == ["text"]
    assert seat.outer.cursor == (2, 1)


def test_another_picture_replaces_everything_and_what_is_equal_stays() -> None:
    seat = Seat((20, 5), (30, 8))
    seat.feed(b"same\r\nold\x1b[?2004h")
    seat.window.begin(20, 5)
    seat.window.feed(b"same\r\nnew")
    drawn = seat.draw()
    assert b"new" in drawn
    assert b"same" not in drawn
    assert not seat.outer.mode(2004)
