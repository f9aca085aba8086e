"""What the emulator is spared: the inputs that were found to end it, or to keep it for long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.screen import Screen
from loopsy_core.screen.guard import pieces, without_floods

WIDE_CLUSTER = "a\u094d\u0937".encode()
CLUSTERS_ON = [
    b"\x1b[?2027h",
    b"\x1b[?00002027h",
    b"\x1b[?1;2027h",
    b"\x1b[?2027;25h",
    b"\x1b[?20\x0027h",
    b"\x1b[?20\r27h",
]
AT_THE_EDGE = [b"\x1b[1;23r\x1b[24;80H", b"\x1b[?69h\x1b[2;70s\x1b[24;80H"]


def screen(cols: int = 80, rows: int = 24) -> Screen:
    return Screen(cols, rows, lambda _: None)


@pytest.mark.parametrize("place", AT_THE_EDGE)
@pytest.mark.parametrize("on", CLUSTERS_ON)
def test_a_cluster_that_grows_wide_at_the_edge_ends_nothing(on: bytes, place: bytes) -> None:
    whole = on + place + WIDE_CLUSTER
    for cut in range(len(on) + 1):
        shown = screen()
        shown.feed(whole[:cut])
        shown.feed(whole[cut:])
        shown.feed(b"\r\nstill here")
        assert "still here" in shown.text
        shown.close()


def test_a_tiny_terminal_that_grows_ends_nothing() -> None:
    shown = screen(1, 1)
    shown.feed(b"\x1b]8;;a\x1b\\" + b"a" * 1000)
    for size in ((2, 1), (1, 1), (2, 1), (3, 1), (1, 2), (80, 24)):
        shown.resize(*size)
        shown.feed(b"a" * 65535)
    shown.picture()
    shown.close()


@pytest.mark.parametrize("before", [b"\x1b]8;;a\x1b\\", b"\x1b[4h", b"\x1b[?69h\x1b[1;2s"])
def test_four_kilobytes_of_repeats_are_over_soon(before: bytes) -> None:
    shown = screen()
    began = time.perf_counter()
    shown.feed(before + b"a" + b"\x1b[65535b" * 455)
    assert time.perf_counter() - began < 5  # it was half a minute, unloaded
    shown.close()


def test_usual_repeats_are_left_as_they_are() -> None:
    assert without_floods(b"a\x1b[79bx\x1b[1000b") == b"a\x1b[79bx\x1b[1000b"
    assert without_floods(b"a\x1b[1001b\x1b[0079b") == b"a\x1b[1000b\x1b[0079b"
    assert without_floods(b"a\x1b[99999999999999999999b") == b"a\x1b[1000b"


@given(
    data=st.lists(
        st.sampled_from(
            [b"\x1b", b"[", b"?", b"1", b"2027", b";", b"h", b"l", b"b", b"x", b"\x18"]
        ),
        max_size=30,
    ).map(b"".join),
    unfinished=st.booleans(),
)
def test_cut_in_pieces_nothing_is_lost(data: bytes, unfinished: bool) -> None:
    assert b"".join(pieces(data, unfinished=unfinished)) == data
