"""Pictures drawn by the host, written to the page's own terminal: the same cell by cell.

Recorded output of real programs (recordings/record.py says how) is cut in many places, also in the
middle of escape sequences and characters. A picture of all before the cut and the bytes after it
must leave the page's terminal as all bytes do.
"""

from __future__ import annotations

import base64
import gzip
import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from loopsy_core.screen import Screen
from tests.browser.phone import chromium
from tests.browser.recordings.record import COLS, PLAYS, ROWS
from tests.browser.widths import FIRST, host_widths

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

RECORDINGS: Final = Path(__file__).parent / "recordings"
COMPARE: Final = Path(__file__).with_name("compare.js").read_text()
STATIC: Final = Path(__file__).parents[2] / "loopsy_relay" / "static"
ORIGIN: Final = "http://page.test"
CUTS: Final = 6
LAST_OF_TWO_PLANES: Final = 0x1FFFF
"""Beyond are rare ideographs, all of one width, and nothing."""

REWRITTEN: Final = frozenset({"shell", "tmux", "wide"})
"""Recordings that print over wrapped lines. A line feed onto a row ends its wrap in xterm.js and
not on the host; that matters to copying and to another width, not to what is seen."""

JOINED: Final = (
    *("👨‍👩‍👧", "👩‍💻", "🏳️‍🌈", "👍🏽", "🇩🇪", "1️⃣", "❤️", "⌚︎", "각", "क्ष", "กำ", "e\u0301"),
)
"""What people take for one character, made of several."""


@pytest.fixture(scope="module")
def page() -> Generator[Page]:
    """An empty page that may load the app's built modules."""
    with chromium() as browser:
        page = browser.new_page()
        page.route(f"{ORIGIN}/**", _serve)
        page.goto(f"{ORIGIN}/empty")
        page.add_script_tag(content=COMPARE)
        yield page


def _serve(route: Route) -> None:
    path = route.request.url.removeprefix(f"{ORIGIN}/app/")
    if path.startswith(ORIGIN):
        route.fulfill(body="<!doctype html><title>Pictures</title>", content_type="text/html")
    else:
        route.fulfill(path=STATIC / path)


@pytest.mark.parametrize("name", sorted(PLAYS))
def test_a_picture_and_what_follows_equal_the_whole(page: Page, name: str) -> None:
    recording = gzip.decompress((RECORDINGS / f"{name}.gz").read_bytes())
    found = differences(page, recording, cuts_of(recording), wraps=name not in REWRITTEN)
    assert found == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("\x1b]8;;https://example.com/\x1b\\link\x1b]8;;\x1b\\", "", id="link"),
        pytest.param("1\ufe0f\u20e3 and 👍🏽", "", id="keycap"),
        pytest.param("e", "\u0301 and so on", id="mark right after the picture"),
        pytest.param("\x1b[31mred 漢", "\u0301", id="mark right after a wide letter"),
        pytest.param("x" * COLS, "\u0301y", id="mark right after a full line"),
        pytest.param("a", "\x1b[3b", id="letter that is repeated"),
        pytest.param("\x1b[41m\x1b[K\r\n\x1b[m\tb", "c", id="colour without text, and a gap"),
        pytest.param("x" * COLS + "\x1b[44my\x1b[K\x1b[m\r\n", "", id="line wrapped into a colour"),
        pytest.param("\x1b[3;4H\x1b[31m\x1b7\x1b[H\x1b[m", "\x1b8x", id="saved cursor"),
        pytest.param("\x1b[2;9r\x1b[?6h\x1b[3;3Hx", "y", id="origin within margins"),
        pytest.param(
            "shell\x1b[?1049h\x1b[44mvim", "\x1b[?1049l$ ", id="the screen behind the other"
        ),
        pytest.param(
            "\x1b[?1049h", "\x1b[?1049lnext\r\n\x1b[?1049h", id="out of and into the other screen"
        ),
    ],
)
def test_a_picture_has_what_once_was_lost(page: Page, before: str, after: str) -> None:
    recording = (before + after).encode()
    assert differences(page, recording, [len(before.encode()), len(recording)]) == {}


def test_a_selector_that_the_host_lets_go_of_is_the_pages_alone(page: Page) -> None:
    """xterm.js adds every mark to the letter before it, and cannot be told to leave one out.

    The host's emulator lets go of a selector that is no part of an emoji: no picture can have it.
    """
    screen = Screen(COLS, ROWS, lambda _: None)
    screen.feed("#\ufe0f".encode())
    assert screen.lines[0] == "#"
    screen.close()
    found = differences(page, "#\ufe0f!".encode(), [4, 5])
    assert set(found) == {"at 4", "after 4", "at 5", "after 5"}
    for (difference,) in found.values():
        _, whole, picture = difference.split("\n")
        assert picture != whole
        assert picture == whole.replace("\ufe0f", "")


def test_characters_are_as_wide_in_the_page_as_on_the_host(page: Page) -> None:
    widths = host_widths(LAST_OF_TWO_PLANES)
    said = page.evaluate(
        "(what) => pageWidths(what)",
        {"module": _module(), "first": FIRST, "last": LAST_OF_TWO_PLANES},
    )
    odd = [hex(FIRST + at) for at, width in enumerate(widths) if int(said[at]) != width]
    assert odd == [], "python -m tests.browser.widths writes the page's table anew"


def test_joined_characters_take_the_same_columns_in_the_page_and_on_the_host(page: Page) -> None:
    said = page.evaluate("(what) => columnsAfter(what)", {"module": _module(), "texts": JOINED})
    assert dict(zip(JOINED, said, strict=True)) == {text: _columns(text) for text in JOINED}


def cuts_of(recording: bytes) -> list[int]:
    """Choose places to cut: anywhere, within escape sequences, within characters."""
    rng = random.Random(len(recording))
    cuts = {rng.randrange(len(recording)) for _ in range(CUTS)}
    for at in sorted(cuts):
        escape = recording.find(b"\x1b", at)
        letter = next((i for i in range(at, len(recording)) if recording[i] >= 0xC0), -1)
        cuts.update(found + rng.randrange(1, 3) for found in (escape, letter) if found >= 0)
    return sorted(cut for cut in cuts if cut <= len(recording))


def differences(
    page: Page, recording: bytes, cuts: list[int], *, wraps: bool = True
) -> dict[str, list[str]]:
    """Return what differs at each cut, and at the end of what followed it."""
    screen = Screen(COLS, ROWS, lambda _: None)
    pictures = []
    for before, cut in zip([0, *cuts], cuts, strict=False):
        screen.feed(recording[before:cut])
        pictures.append({"cut": cut, "picture": _encoded(screen.picture())})
    screen.close()
    found: dict[str, list[str]] = page.evaluate(
        "(what) => compare(what)",
        {
            "module": _module(),
            "recording": _encoded(recording),
            "pictures": pictures,
            "size": {"cols": COLS, "rows": ROWS},
            "wraps": wraps,
        },
    )
    return found


def _columns(text: str) -> int:
    screen = Screen(80, 2, lambda _: None)
    screen.feed(text.encode())
    column = screen.cursor[0]
    screen.close()
    return column


def _module() -> str:
    return f"/app/assets/{next((STATIC / 'assets').glob('terminal_view-*.js')).name}"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
