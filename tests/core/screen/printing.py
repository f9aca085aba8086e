"""What programs print, as hypothesis strategies: pieces of output, and outputs made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "anything",
    "erasures",
    "log",
    "moves",
    "output",
    "programs",
    "protecting",
    "resized",
    "screens",
    "shell",
    "sizes",
    "steps",
    "words",
]

PRIVATE_MODES: Final = (
    *(1, 4, 5, 6, 7, 8, 9, 12, 25, 45, 66, 67, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015),
    *(1016, 1035, 1036, 1039, 1045, 2004, 2026, 2027, 2031, 2033, 2048, 5522),
)
ALTERNATES: Final = (47, 1047, 1049)


def csi(final: str, *numbers: int, prefix: str = "") -> bytes:
    return f"\x1b[{prefix}{';'.join(map(str, numbers))}{final}".encode()


def one_of(*pieces: str | bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([p.encode() if isinstance(p, str) else p for p in pieces])


def output(*pieces: st.SearchStrategy[bytes], most: int = 30) -> st.SearchStrategy[bytes]:
    """Pieces of these kinds, one after the other; a kind that is named more often comes so."""
    return st.lists(st.one_of(pieces), max_size=most).map(b"".join)


few = st.integers(1, 9)

words = one_of("a", "bc ", "0", "~#", "  ", "é", "漢", "字한", "👍", "x" * 13, "l:q", "word ")
edges = one_of(
    "x" * 11 + "漢", "漢" * 6, "a" + "漢" * 6, "x" * 11 + "e\u0301", "x" * 12 + "\u0301", "\uff57"
)
"""What fills a row of twelve columns in odd ways."""
marked = one_of(
    *("e\u0301", "n\u0308\u0323", "👩\u200d👧", "1\ufe0f\u20e3", "❤\ufe0f", "\u0301", "\u200d"),
    *(
        "🇩🇪",
        "🇩",
        "क्ष",
        "กำ",
        "각",
        "漢\u0301",
        "👍🏽",
        "⌚\ufe0e",
        "\ufe0f",
        "\ufe0e",
        "\u1100\u1161",
    ),
)
line_ends = one_of("\r\n", "\r\n", "\r\n\r\n", "\r", "\b")
controls = one_of("\n", "\t", "\x1bD", "\x1bM", "\x1bE", "\x0b")
colours = st.lists(
    st.sampled_from(
        [
            *(
                "0",
                "1",
                "2",
                "3",
                "4",
                "5",
                "7",
                "8",
                "9",
                "21",
                "22",
                "24",
                "27",
                "39",
                "49",
                "53",
            ),
            *("31", "32", "41", "42", "44", "90", "104", "38;5;200", "48;5;33", "38;2;1;2;3"),
            *("48;2;9;8;7", "4:3", "58;5;3", "58:2::1:2:3", "59"),
        ]
    ),
    max_size=3,
).map(lambda chosen: f"\x1b[{';'.join(chosen)}m".encode())
links = one_of(
    *("\x1b]8;;http://a/%s\x07", "\x1b]8;id=z;http://b\x1b\\", "\x1b]8;;\x07", "\x1b]8;;\x1b\\")
)
titles = one_of(
    *("\x1b]0;one\x07", "\x1b]2;twö 漢\x1b\\", "\x1b]2;\x07", "\x1b]7;file://h/tmp\x07"),
    *("\x1b[22t", "\x1b[23t", "\x1b[22;2t", "\x1b[23;0t"),
)
jumps = st.builds(lambda row, column: csi("H", row, column), few, st.integers(1, 14))
moves = jumps | st.builds(csi, st.sampled_from("ABCDEFGd`ae"), few)
erasures = one_of(
    *("\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[J", "\x1b[1J", "\x1b[2J", "\x1b[3J", "\x1b[H\x1b[2J"),
    *("\x1b[?K", "\x1b[?J", "\x1b[?2J"),
) | st.builds(csi, st.sampled_from("XP@"), few)
scrolls = st.builds(csi, st.sampled_from("LMST"), st.integers(1, 6))
margins = st.builds(
    lambda top, more: csi("r", top, top + more), st.integers(1, 4), st.integers(1, 3)
) | st.just(b"\x1b[r")
side_margins = st.builds(
    lambda left, more: b"\x1b[?69h" + csi("s", left, left + more),
    st.integers(1, 8),
    st.integers(1, 4),
) | st.just(b"\x1b[?69l")
tabs = one_of(
    "\x1bH", "\x1b[g", "\x1b[3g", "\x1b[0g", "\x1b[2I", "\t", "\x1b[Z", "\x1b[2Z", "\x1b[?5W"
)
switches = st.builds(
    lambda mode, final: csi(final, mode, prefix="?"),
    st.sampled_from(PRIVATE_MODES),
    st.sampled_from("hl"),
) | st.builds(
    lambda mode, final: csi(final, mode), st.sampled_from([2, 4, 12, 20]), st.sampled_from("hl")
)
kept_modes = st.builds(
    lambda mode, final: csi(final, mode, prefix="?"),
    st.sampled_from((*PRIVATE_MODES, *ALTERNATES)),
    st.sampled_from("sr"),
)
other_screens = st.builds(
    lambda mode, final: csi(final, mode, prefix="?"),
    st.sampled_from((*ALTERNATES, 1049, 1048)),
    st.sampled_from("hl"),
)
saving = one_of("\x1b7", "\x1b8", "\x1b[s", "\x1b[u")
charsets = one_of(
    *("\x1b(0", "\x1b(B", "\x1b)0", "\x1b(A", "\x1b*0", "\x1b+A", "\x0e", "\x0f", "\x1bn", "\x1bo"),
    *("\x1bN", "\x1bO", "\x1b~", "\x1b}", "\x1b|"),
)
keyboards = st.one_of(
    st.builds(lambda flags: csi("u", flags, prefix=">"), st.integers(0, 31)),
    st.builds(lambda count: csi("u", count, prefix="<"), few),
    st.builds(
        lambda flags, how: csi("u", flags, how, prefix="="), st.integers(0, 31), st.integers(1, 3)
    ),
    one_of("\x1b[>4;2m", "\x1b[>4m", "\x1b=", "\x1b>"),
)
palettes = one_of(
    *("\x1b]4;1;rgb:01/02/03\x07", "\x1b]104\x07", "\x1b]10;#123456\x07", "\x1b]11;#abcdef\x07"),
    *("\x1b]12;red\x07", "\x1b]110\x07", "\x1b]111\x07", "\x1b]112\x07", "\x1b]104;1\x07"),
    *("\x1b]4;200;rgb:01/02/03;5;#aabbcc\x07", "\x1b]22;pointer\x07", "\x1b]22;\x07"),
)
rest = one_of(
    *("\x1b[!p", "\x07", "\x1b[3b", "\x1b[>1s", "\x1b[>0s", "\x05", "\x1b[6n", "\x1b]9;hi\x07"),
    *("\x1b]52;c;QUJD\x07", "\x1b[1$}", "\x1b[0$}", "\x1b#8", "\x1bc", "\x1b[1b"),
) | st.builds(lambda shape: csi(" q", shape), st.integers(0, 6))
shells = one_of(
    *(
        "\x1b]133;A\x07$ ",
        "\x1b]133;B\x07",
        "\x1b]133;C\x07",
        "\x1b]133;D\x07",
        "\x1b]133;P;k=c\x07> ",
    ),
    *("\x1b]133;I\x07", "\x1b[H\x1b[2J"),
)
"""What shells say of their prompts, and what clears the screen at one."""
protection = one_of('\x1b[1"q', '\x1b[0"q', '\x1b[2"q', "\x1bV", "\x1bW")

log = output(words, words, edges, marked, line_ends, colours, titles, links, tabs, most=40)
"""Text in all scripts and colours."""
screens = output(
    *(words, words, line_ends, controls, colours, moves, moves, erasures, scrolls, margins, tabs),
    *(switches, titles, charsets, saving, edges, marked),
)
"""A program that draws all over its screen."""
anything = output(
    *(words, words, words, marked, line_ends, controls, colours, moves, erasures, scrolls, margins),
    *(side_margins, tabs, switches, kept_modes, other_screens, saving, charsets, links, keyboards),
    *(palettes, rest, titles, shells, edges),
    most=40,
)
protecting = output(words, edges, marked, line_ends, colours, moves, erasures, protection, saving)
shell = output(words, line_ends, colours, titles, jumps, saving, most=12)
programs: Final = {
    "a log": log,
    "a full-screen program": screens,
    "anything": anything,
    "protected letters": protecting,
    "wide letters and marks": output(
        *(words, edges, edges, marked, line_ends, colours, moves, moves, erasures, scrolls, saving)
    ),
    "margins": output(
        *(words, edges, marked, moves, moves, erasures, scrolls, controls, margins, side_margins),
        *(side_margins, switches, saving, tabs),
    ),
    "two screens": output(
        *(words, words, edges, moves, moves, erasures, colours, other_screens, other_screens),
        *(kept_modes, saving, charsets, keyboards, rest, margins),
    ),
    "modes and the like": output(
        *(words, switches, kept_modes, keyboards, palettes, titles, tabs, charsets, saving),
        *(other_screens, rest, shells),
    ),
}

sizes = st.sampled_from([(12, 5), (12, 5), (12, 2), (7, 3), (20, 6), (4, 4), (3, 2)])
"""Of a terminal: columns and rows."""
resized = st.lists(
    st.tuples(
        anything | output(words, edges, other_screens, saving, moves, erasures),
        st.tuples(st.sampled_from([3, 4, 7, 11, 12, 13, 30]), st.sampled_from([2, 3, 5, 8])),
    ),
    min_size=1,
    max_size=3,
)
"""Outputs, each with the size that the terminal has after it."""
steps: st.SearchStrategy[Sequence[int]] = st.lists(st.integers(1, 7), min_size=1, max_size=5)
"""How many bytes come at a time, over and over."""
