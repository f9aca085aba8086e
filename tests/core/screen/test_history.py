"""What a terminal has shown, as lines of text: compared with its cells, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from loopsy_core.screen import Screen
from tests.core.screen.looking import GAP, Cell, view
from tests.core.screen.printing import anything
from tests.core.screen.test_pictures import many_lines
from tests.play import bounded

if TYPE_CHECKING:
    from tests.core.screen.looking import Row

COLS, ROWS = 20, 6


def shown(output: bytes, cols: int = COLS, rows: int = ROWS) -> Screen:
    screen = Screen(cols, rows, lambda _: None)
    screen.feed(output)
    return screen


def joined(rows: list[Row]) -> list[list[Cell]]:
    """Return the cells of each line, its rows joined, as they look; without half letters."""
    found: list[list[Cell]] = []
    begun: list[Cell] = []
    for wraps, cells in rows:
        begun += [cell for cell in cells if cell.width > 0]
        if wraps:
            begun += [GAP] * (COLS - len(cells))
            continue
        found.append(begun)
        begun = []
    return [*found, begun] if begun else found


def text_of(cells: list[Cell]) -> bytes:
    while cells and not cells[-1].letters:
        cells = cells[:-1]
    return "".join(cell.letters or " " for cell in cells).encode()


def texts_of(rows: list[Row]) -> list[bytes]:
    """Return the text of each line, without empty ones at the end."""
    lines = [text_of(cells) for cells in joined(rows)]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def letters_of(cells: list[Cell]) -> list[tuple[str, bytes]]:
    """Return each letter and its style, blanks in gaps; selectors come and go with clusters."""
    return [
        (letter, cell.style if cell.letters else (bytes(4) + cell.style).rstrip(b"\0"))
        for cell in cells
        for letter in cell.letters or " "
        if letter not in "\ufe0e\ufe0f"
    ]


@bounded(150)
@given(many_lines, anything)
def test_history_is_the_text_of_all_lines(first: bytes, more: bytes) -> None:
    screen = shown(first + more + b"\x18")
    seen = view(screen)
    if seen.cursor.waits:
        return  # what is under such a cursor is not told
    expected = texts_of(seen.here)
    if screen.alternate:
        expected = texts_of(seen.other) + expected
    assert screen.history() == expected
    assert screen.history(lines=3) == expected[-3:]


@bounded(150)
@given(many_lines, anything)
def test_each_line_of_styled_history_looks_the_same_alone(first: bytes, more: bytes) -> None:
    screen = shown(first + more + b"\x18")
    seen = view(screen)
    if seen.cursor.waits or screen.alternate:
        return
    expected = joined(seen.here)
    lines = screen.history(ansi=True)
    assert not any(cell.letters for cells in expected[len(lines) :] for cell in cells)
    for line, cells in zip(lines, expected, strict=False):
        alone = view(shown(line + b"P", 900, 2)).here[0][1]
        assert alone[-1] == Cell("P"), "what follows is plain"
        assert letters_of([c for c in alone[:-1] if c.width > 0]) == letters_of(cells)


def test_lines_that_were_wrapped_are_whole() -> None:
    screen = shown(b"one\r\n\x1b[31mred\r\nstill red\x1b[0m\r\n" + b"x" * 30 + b"\r\n\r\nlast\r\n")
    assert screen.history() == [b"one", b"red", b"still red", b"x" * 30, b"", b"last"]
    assert screen.history(lines=2) == [b"", b"last"]
    assert screen.history(lines=0) == []
    assert screen.history(ansi=True)[3] == b"x" * 30


def test_blanks_of_a_line_that_is_gone_are_not_put_before_the_next() -> None:
    """The row of the next line still says that it goes on from another."""
    screen = shown(b"\r\n\r\n" + b"x" * 20 + b"yz\x1b[1;3r\x1b[3;1H\r\na\r\nb\r\nc")
    assert screen.history()[-3:] == [b"b", b"c", b"yz"]
    assert screen.history(ansi=True)[-3:] == [b"b", b"c", b"yz"]


def test_history_of_a_full_screen_program_has_the_shell_behind_it_too() -> None:
    screen = shown(b"shell\r\n" * 12 + b"\x1b[?1049h\x1b[H\x1b[31mvim")
    assert screen.history() == [b"shell"] * 12 + [b"vim"]
    assert screen.history(lines=2) == [b"shell", b"vim"]
    assert screen.history(ansi=True) == [b"shell"] * 12 + [b"\x1b[0;31mvim\x1b[m"]
