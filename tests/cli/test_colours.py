"""The user's colours come back as they were, asked for right before output changes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pyghostty import ffi, lib
from pyghostty.core import Terminal

from loopsy_cli.colours import Colours

PIECES = st.lists(
    st.sampled_from(
        [
            b"text", b"\x1b]11;#102030\x1b\\", b"\x1b]4;1;#ff0000;7;#00ff00\x07", b"\x1b]112\x07",
            b"\x1b]104\x07", b"\x1b]104;1;3\x1b\\", b"\x1b]10;#010101;#020202\x07", b"\x1b[1;31m",
            b"\x1b]0;a title\x07", b"\x1b]11;?\x07",
            b"\x1b]12;#abcdef\x1b\\", b"\x1b", b"]", b"\x07",
        ]
    ),
    max_size=12,
)  # fmt: skip


class Outer:
    """A terminal whose user has chosen colours, and what it answers."""

    def __init__(self) -> None:
        self.answers = b""
        self.terminal = Terminal(80, 24, 0)
        self.terminal.feed(b"\x1b]11;#445566\x1b\\\x1b]4;1;#112233\x1b\\\x1b]4;3;#332211\x1b\\")
        self.terminal.feed(b"\x1b]10;#998877\x1b\\\x1b]12;#123123\x1b\\")
        self.terminal.on_reply(self._answer)

    def _answer(self, data: bytes) -> None:
        self.answers += data

    @property
    def colours(self) -> object:
        palette = ffi.new("GhosttyColorRgb[256]")
        handle = self.terminal._t[0]  # noqa: SLF001 - there is no other way to it
        lib.ghostty_terminal_get(handle, lib.GHOSTTY_TERMINAL_DATA_COLOR_PALETTE, palette)
        single = []
        for name in ("FOREGROUND", "BACKGROUND", "CURSOR"):
            rgb = ffi.new("GhosttyColorRgb*")
            what = getattr(lib, f"GHOSTTY_TERMINAL_DATA_COLOR_{name}")
            unset = lib.ghostty_terminal_get(handle, what, rgb)
            single.append(None if unset else (rgb.r, rgb.g, rgb.b))
        return single, ffi.buffer(palette)[:]


@given(PIECES, st.data())
def test_whatever_is_changed_comes_back_and_the_rest_is_not_touched(
    pieces: list[bytes], data: st.DataObject
) -> None:
    outer, colours = Outer(), Colours()
    before = outer.colours
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=4)))
    kept = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        outer.terminal.feed(colours.shown(stream[begin:end]))
        kept += colours.typed(outer.answers)
        outer.answers = b""
    assert not colours.waiting
    outer.terminal.feed(colours.shown(b"\x18") + colours.restore())
    assert outer.colours == before
    # What the program has asked is answered to the program.
    asked = b"\x1b]11;?\x07" in stream.replace(b"\x1b\x1b", b"\x1b")
    assert (b"\x1b]11;" in kept) <= asked
    assert b"\x1b[?" not in kept


def test_output_that_changes_no_colour_passes_as_it_is_and_nothing_is_asked() -> None:
    colours = Colours()
    for data in (
        b"text",
        b"\x1b[1;31mred",
        b"\x1b]0;title\x07",
        b"\x1b]11;?\x07",
        b"\x1b]8;;x\x07",
    ):
        assert colours.shown(data) == data
    assert not colours.waiting
    assert colours.restore() == b""


def test_half_a_sequence_is_held_back_until_its_other_half_comes() -> None:
    colours = Colours()
    assert colours.shown(b"a\x1b]11;#10") == b"a"
    assert colours.shown(b"2030\x07b") == b"\x1b]11;?\x1b\\\x1b[c\x1b]11;#102030\x07b"
    assert colours.shown(b"\x1b]12;?\x07") == b"\x1b]12;?\x07"


def test_a_terminal_that_tells_no_colours_has_them_reset() -> None:
    colours = Colours()
    colours.shown(b"\x1b]11;#102030\x07\x1b]4;200;#102030\x07")
    assert colours.typed(b"x\x1b[?62;22cy\x1b[?62cz") == b"xyz"
    assert not colours.waiting
    assert colours.restore() == b"\x1b]111\x1b\\\x1b]104;200\x1b\\"


def test_a_cursor_without_a_colour_of_its_own_has_none_again() -> None:
    terminal, colours = Terminal(80, 24, 0), Colours()
    terminal.feed(b"\x1b]10;#998877\x1b\\")
    terminal.on_reply(lambda data: answers.append(data))
    answers: list[bytes] = []
    terminal.feed(colours.shown(b"\x1b]12;#102030\x07"))
    assert colours.typed(b"".join(answers)) == b""
    assert colours.restore() == b"\x1b]112\x1b\\"


def test_answers_are_found_however_they_are_split_and_what_follows_is_the_users() -> None:
    colours = Colours()
    colours.shown(b"\x1b]11;#102030\x07")
    answers = b"\x1b]11;rgb:4444/5555/6666\x1b\\\x1b[?62;22c"
    typed = b""
    # An Esc alone is a key, so nobody waits for what might come behind it.
    for piece in (answers[:5], answers[5:12], answers[12:27], answers[27:], b"\x1b[?62;22c\x1b"):
        typed += colours.typed(piece)
    assert typed == b"\x1b[?62;22c\x1b"
    assert colours.restore() == b"\x1b]11;rgb:4444/5555/6666\x1b\\"
