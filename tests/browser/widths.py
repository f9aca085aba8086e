"""How wide the host's emulator takes each character to be, and the page's table of it.

`python -m tests.browser.widths` writes the table that the page uses: after a new release of the
emulator, when the test that compares the two says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from loopsy_core.screen import Screen

__all__ = ["FIRST", "host_widths"]

TABLE: Final = (
    Path(__file__).parents[2] / "loopsy_relay" / "web" / "src" / "session" / "width_table.ts"
)
FIRST: Final = 0xA0
"""Everything before is ASCII, or a control character."""
LAST: Final = 0x10FFFF
LINE: Final = 96
DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
HEAD: Final = """\
// How many columns each character takes on the host, written by tests/browser/widths.py.
//
// Runs of characters of one width, from U+00A0 on: a capital for the width (N 0, S 1, D 2), then
// how many characters have it, in base 36. After the last run all have width 1.

export const WIDTHS =
"""


def host_widths(last: int = LAST) -> list[int]:
    """Return the width of each character from U+00A0 to `last`; surrogates count as 1."""
    screen = Screen(8, 1, lambda _: None)
    widths = []
    for code in range(FIRST, last + 1):
        if 0xD800 <= code <= 0xDFFF:
            widths.append(1)
            continue
        screen.feed(b"\r" + f"a{chr(code)}b".encode())
        widths.append(screen.cursor[0] - 2)
    screen.close()
    return widths


def table_of(widths: list[int]) -> str:
    """Return the page's table as TypeScript."""
    runs: list[tuple[int, int]] = []
    for width in widths:
        if runs and runs[-1][0] == width:
            runs[-1] = (width, runs[-1][1] + 1)
        else:
            runs.append((width, 1))
    if runs[-1][0] == 1:
        runs.pop()
    text = "".join("NSD"[width] + _base_36(count) for width, count in runs)
    lines = [text[at : at + LINE] for at in range(0, len(text), LINE)]
    return HEAD + " +\n".join(f'  "{line}"' for line in lines) + ";\n"


def _base_36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text


if __name__ == "__main__":
    TABLE.write_text(table_of(host_widths()))
    sys.stdout.write(f"{TABLE.name}: {TABLE.stat().st_size} bytes\n")
