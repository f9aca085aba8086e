"""A copy of an emulator's state, read: the format is libghostty's snapshot, version 1.

Records follow each other: the terminal, then each screen with its visible pages, what the parser
is in the middle of, a mark, then each screen's history with its pages, newest first.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import attrs

from loopsy_core.errors import LoopsyError

from .looks import Link, Look, read_style

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CopiedScreen", "Copy", "Cursor", "Page", "read_copy"]

_RECORD = struct.Struct("<HII")
_MAGIC: Final = b"GHOSTSNP\x01\x00"
_TERMINAL, _SCREEN, _PAGE, _HISTORY, _READY, _FINISH, _CONTINUATION = range(1, 8)

# size, pixels, region (top, bottom, left, right), status line, active, screens, last letter,
# cursor (default?, its style and blink), redraw, other keys, mouse (event, format, shift, shape),
# password; modes now, saved, default; background, foreground, cursor colour; limits.
_HEADER = struct.Struct("<HHIIHHHHBHHIBBBBBBBBBBQQQ8s8s8sQQ")
# key, pages, rows of history, x, y, style, flags, pen, link's number, charset, protection,
# keyboard's place and flags, clicks, saved cursor?
_SCREEN_HEADER = struct.Struct("<HHQHHBB16sIHBB8sBBB")
_SAVED = struct.Struct("<HH16sBH")
_PAGE_HEADER = struct.Struct("<HHHHHHII")
_ROW = struct.Struct("<BH")
_GRAPHEME = struct.Struct("<HHH")
_U4 = struct.Struct("<I")
_STYLE_SIZE: Final = 18


@attrs.frozen
class Cursor:
    """Where letters go and what they look like; also as it was saved (DECSC)."""

    x: int
    y: int
    look: Look
    charset: int
    wraps: bool
    """The line is full to the edge: the next letter goes to the next line."""
    origin: bool = False


@attrs.frozen
class Page:
    """Some rows: for each its flags and its cells as they were packed."""

    styles: dict[int, tuple[bytes, bytes]]
    links: dict[int, Link]
    rows: list[tuple[int, bytes]]
    clusters: dict[int, dict[int, str]]
    """Row and column of what is added to a cell's first letter."""
    coloured: bool
    """Whether any style has a background."""


@attrs.frozen
class CopiedScreen:
    """The primary screen or the alternate one."""

    alternate: bool
    cursor: Cursor
    shape: int
    saved: Cursor | None
    protection: int
    keyboard: tuple[int, ...]
    """The stack's flags up to the topmost; more than eight when it was pushed around."""
    pages: list[Page]
    """All that is visible, at their end; what stands before it is scrollback, too."""
    history: list[Page]
    """Oldest first; empty in a copy without scrollback."""

    def last_rows(self, count: int) -> list[tuple[Page, int]]:
        """Return the last rows: each as its page and its number there."""
        rows = [(page, y) for page in self.pages for y in range(len(page.rows))]
        return rows[-count:]


@attrs.frozen
class Copy:
    """Everything that an emulator knows."""

    cols: int
    rows: int
    region: tuple[int, int, int, int]
    """Top, bottom, left, right: the first and last row and column."""
    status_line: bool
    alternate: bool
    repeatable: str
    """The letter that REP repeats, if any."""
    cursor_set: bool
    other_keys: bool
    mouse: int
    mouse_format: int
    shift_capture: int
    modes: int
    saved_modes: int
    default_modes: int
    colours: dict[str, tuple[int, int, int]]
    """What the program changed, by the number of its command: 4;n, 10, 11, 12."""
    tabs: list[int]
    pwd: bytes
    title: bytes
    screens: dict[bool, CopiedScreen]
    """The alternate one under True, if there ever was one."""
    unfinished: bytes

    @property
    def visible(self) -> list[tuple[Page, int]]:
        """The rows that show, as many as there are."""
        return self.active.last_rows(self.rows)

    @property
    def active(self) -> CopiedScreen:
        """The screen that shows."""
        return self.screens[self.alternate]


def read_copy(data: bytes) -> Copy:
    """Read a copy, complete or only with what is visible."""
    try:
        return _read(data)
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise LoopsyError("the terminal emulator copied its state in a form not known") from error


def _records(data: bytes) -> Iterator[tuple[int, int, int]]:
    if not data.startswith(_MAGIC):
        raise ValueError("no copy of a terminal")
    at = len(_MAGIC)
    while at < len(data):
        tag, size, _ = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        yield tag, at, at + size
        if tag == _FINISH:
            return
        at += size


def _read(data: bytes) -> Copy:
    screens: dict[bool, CopiedScreen] = {}
    terminal: tuple[int, int] = (0, 0)
    unfinished = b""
    pages: list[Page] = []
    for tag, start, end in _records(data):
        if tag == _TERMINAL:
            terminal = start, end
        elif tag == _SCREEN:
            screen = _read_screen(data, start)
            screens[screen.alternate] = screen
            pages = screen.pages
        elif tag == _HISTORY:
            pages = screens[bool(data[start])].history
        elif tag == _PAGE:
            pages.append(_read_page(data, start))
        elif tag == _CONTINUATION:
            unfinished = data[start:end]
        elif tag == _READY and end + _RECORD.size > len(data):
            break
    for screen in screens.values():
        screen.history.reverse()
    return _read_terminal(data, terminal[0], screens, unfinished)


def _read_terminal(
    data: bytes, at: int, screens: dict[bool, CopiedScreen], unfinished: bytes
) -> Copy:
    header = _HEADER.unpack_from(data, at)
    cols, rows = header[:2]
    at += _HEADER.size
    stops = int.from_bytes(data[at : at + (cols + 7) // 8], "little")
    at += (cols + 7) // 8 + 256 * 3
    mask = int.from_bytes(data[at : at + 32], "little")
    at += 32
    colours: dict[str, tuple[int, int, int]] = {}
    for index in range(256):
        if mask >> index & 1:
            colours[f"4;{index}"] = (data[at], data[at + 1], data[at + 2])
            at += 3
    for number, raw in zip(("11", "10", "12"), header[25:28], strict=True):
        if raw[4]:
            colours[number] = (raw[5], raw[6], raw[7])
    pwd, at = _text(data, at)
    title, at = _text(data, at)
    letter = header[11]
    return Copy(
        cols=cols,
        rows=rows,
        region=header[4:8],
        status_line=header[8] == 1,
        alternate=header[9] == 1,
        repeatable="" if letter > 0x10FFFF else chr(letter),
        cursor_set=not header[12],
        other_keys=header[16] == 1,
        mouse=header[17],
        mouse_format=header[18],
        shift_capture=header[19],
        modes=header[22],
        saved_modes=header[23],
        default_modes=header[24],
        colours=colours,
        tabs=[column for column in range(cols) if stops >> column & 1],
        pwd=pwd,
        title=title,
        screens=screens,
        unfinished=unfinished,
    )


def _read_screen(data: bytes, at: int) -> CopiedScreen:
    (key, _, _, x, y, shape, flags, pen, _, charset, protection, place, stack, _, _, saved) = (
        _SCREEN_HEADER.unpack_from(data, at)
    )
    at += _SCREEN_HEADER.size
    kept: Cursor | None = None
    if saved:
        old_x, old_y, old_pen, old_flags, old_charset = _SAVED.unpack_from(data, at)
        at += _SAVED.size
        look = Look(*read_style(old_pen), None, bool(old_flags & 1))
        kept = Cursor(old_x, old_y, look, old_charset, bool(old_flags & 2), bool(old_flags & 4))
    link = _link(data, at)[0] if data[at] else None
    look = Look(*read_style(pen), link, bool(flags & 2))
    return CopiedScreen(
        alternate=key == 1,
        cursor=Cursor(x, y, look, charset, bool(flags & 1)),
        shape=shape,
        saved=kept,
        protection=protection,
        # What lies above the topmost is left from more than eight pushes, or of none.
        keyboard=tuple(stack if any(stack[place + 1 :]) else b"") + tuple(stack[: place + 1]),
        pages=[],
        history=[],
    )


def _read_page(data: bytes, at: int) -> Page:
    _, rows, styles, links, *_ = _PAGE_HEADER.unpack_from(data, at)
    at += _PAGE_HEADER.size
    table, coloured = _read_styles(data[at : at + styles * _STYLE_SIZE])
    at += styles * _STYLE_SIZE
    targets: dict[int, Link] = {}
    for _ in range(links):
        number = data[at] | data[at + 1] << 8
        targets[number], at = _link(data, at + 2)
    found: list[tuple[int, bytes]] = []
    append = found.append
    for _ in range(rows):
        flags = data[at]
        end = at + 3 + ((data[at + 1] | data[at + 2] << 8) << (flags >> 4))
        append((flags, data[at + 3 : end]))
        at = end
    clusters: dict[int, dict[int, str]] = {}
    (count,) = _U4.unpack_from(data, at)
    at += 4
    for _ in range(count):
        y, x, letters = _GRAPHEME.unpack_from(data, at)
        at += _GRAPHEME.size
        text = data[at : at + 4 * letters].decode("utf-32-le")
        at += 4 * letters
        clusters.setdefault(y, {})[x] = text
    return Page(table, targets, found, clusters, coloured)


@lru_cache(maxsize=64)
def _read_styles(table: bytes) -> tuple[dict[int, tuple[bytes, bytes]], bool]:
    styles = {0: (b"", b"")}
    for at in range(0, len(table), _STYLE_SIZE):
        number = table[at] | table[at + 1] << 8
        styles[number] = read_style(table[at + 2 : at + _STYLE_SIZE])
    return styles, any(background for _, background in styles.values())


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _U4.unpack_from(data, at)
    at += 4
    return data[at : at + size], at + size


def _link(data: bytes, at: int) -> tuple[Link, int]:
    if data[at] == 1:
        (number,) = _U4.unpack_from(data, at + 1)
        uri, at = _text(data, at + 5)
        return Link(b"", uri, number), at
    name, at = _text(data, at + 1)
    uri, at = _text(data, at)
    return Link(name, uri, 0), at
