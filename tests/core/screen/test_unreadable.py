"""A state that cannot be read: there are pictures all the same, drawn by the emulator itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from loopsy_core.screen import Screen
from loopsy_core.screen.emulator import Emulator
from tests.core.screen.looking import inner, view

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUT = (
    b"\r\n".join(b"line %d" % number for number in range(30))
    + b"\r\n\x1b[31mred\x1b[m \x1b[?2004h\x1b[?25l\x1b[2;4r\x1b]0;title\x07\x1b[2;3H\x1b[4m\x1b[3"
)


def shown(output: bytes, cols: int = 12, rows: int = 5) -> Screen:
    screen = Screen(cols, rows, lambda _: None)
    screen.feed(output)
    return screen


def unknown(data: bytes) -> bytes | None:
    """The form of another version."""
    return data[:8] + b"\x02\x00" + data[10:]


def cut(data: bytes) -> bytes | None:
    return data[:-20]


def other_pages(data: bytes) -> bytes | None:
    """Rows that say they have more cells than there are."""
    at = data.index(b"\x04\x00line") if b"\x04\x00line" in data else data.index(b"line") - 2
    return data[:at] + b"\x40\x03" + data[at + 2 :]


def none(_: bytes) -> bytes | None:
    return None


@pytest.mark.parametrize("spoil", [unknown, cut, other_pages, none])
def test_a_picture_is_drawn_all_the_same(
    spoil: Callable[[bytes], bytes | None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = shown(OUTPUT)
    expected = view(original)
    real = Emulator.snapshot

    def spoilt(emulator: Emulator) -> bytes | None:
        data = real(emulator)
        assert data
        return spoil(data)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Emulator, "snapshot", spoilt)
        picture = original.picture()
        assert original.picture() == picture
        assert original.history()[:2] == [b"line 0", b"line 1"]
        assert original.history(ansi=True)[-1] == b"\x1b[0m\x1b[38;5;1mred\x1b[0m "
        assert original.history(lines=1) == [b"red "]
    assert len(caplog.records) == 1, "this is said once"
    copy = shown(picture)
    seen = view(copy)
    assert (seen.here, seen.cursor) == (expected.here, expected.cursor)
    for name in ("modes", "top", "bottom", "unfinished"):
        assert seen.state.get(name) == expected.state.get(name)
    assert copy.title == "title"


def test_a_program_that_halves_a_wide_letter_by_its_own_hand_is_drawn_by_the_emulator() -> None:
    """From 132 columns to 80 (DECCOLM): of the letter on the edge only the first half is left."""
    screen = shown("\x1b[?40h\x1b[?3h\x1b[?1049h\x1b[1;80H漢\x1b[2;1Htext\x1b[?3l".encode(), 80)
    screen.feed("\x1b[?3h\x1b[?1049h\x1b[1;80H漢\x1b[?1049l\x1b[?3l$ ".encode())
    assert inner(screen).size[0] == 80
    assert shown(screen.picture(), 80).lines[0] == "$"
