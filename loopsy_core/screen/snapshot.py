"""A snapshot of an emulator, read: everything it knows, in libghostty's own form (version 1).

Records follow each other: the terminal, then each screen with the pages that hold its visible rows,
then what the parser is in the middle of, a mark, and each screen's older pages, newest first.
(libghostty: snapshot/snapshot.ksy)
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from .looks import Link, Look, read_look
from .modes import mode_bit
from .page import Page, read_link, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNREADABLE", "Cursor", "Fixed", "Side", "Snapshot", "read_snapshot"]

UNREADABLE: Final = (struct.error, IndexError, KeyError, ValueError)
"""What reading a snapshot raises that has another form than this file knows; also later, when its
pages are unpacked."""

_MAGIC: Final = b"GHOSTSNP\x01\x00"
_RECORD = struct.Struct("<HII")
_FIXED = struct.Struct("<HHIIHHHHBHHIBBBBBBBBBBQQQ8s8s8sQQ")
_SCREEN = struct.Struct("<HHQHHBB16sIHBB8sBBB")
_SAVED = struct.Struct("<HH16sBH")


class _Tag(IntEnum):
    TERMINAL = 1
    SCREEN = 2
    PAGE = 3
    HISTORY = 4
    READY = 5
    FINISH = 6
    CONTINUATION = 7


class _Record(NamedTuple):
    tag: int
    start: int
    end: int
    check: int


class Fixed(NamedTuple):
    """The part of the terminal's record that always has the same length."""

    cols: int
    rows: int
    width: int
    height: int
    top: int
    bottom: int
    left: int
    right: int
    status_line: int
    active: int
    screens: int
    letter: int
    shape_is_default: int
    default_shape: int
    default_blinking: int
    redraw: int
    other_keys: int
    mouse: int
    mouse_format: int
    shift_capture: int
    pointer: int
    password: int
    modes: int
    saved_modes: int
    default_modes: int
    background: bytes
    foreground: bytes
    cursor_colour: bytes
    most_bytes: int
    most_lines: int

    def reaches(self, x: int, y: int) -> bool:
        """Whether the cursor can be moved to a column and row: within margins, if those count."""
        within = self.left <= x <= self.right and self.top <= y <= self.bottom
        return within or not self.modes & mode_bit("?6")

    @property
    def edge(self) -> int:
        """The last column that the cursor can be moved to."""
        return self.right if self.modes & mode_bit("?6") else self.cols - 1

    def wraps_behind(self, x: int) -> bool:
        """Whether a letter whose last column is `x` makes the next one wrap."""
        return x in (self.right, self.cols - 1)


class _Screen(NamedTuple):
    """The part of a screen's record that always has the same length."""

    key: int
    pages: int
    history: int
    x: int
    y: int
    shape: int
    flags: int
    pen: bytes
    links: int
    charsets: int
    protection: int
    keyboard_at: int
    keyboard: bytes
    clicks: int
    click: int
    saved: int


@attrs.frozen
class Cursor:
    """Where the next letter goes, and what it will look like; or what was saved of that (DECSC)."""

    x: int
    y: int
    look: Look
    link: Link | None
    protected: bool
    charsets: int
    """Four sets (2 bits each), which is on the left, which on the right, and a single shift."""
    wraps: bool
    """The line is full to the edge: the next letter goes to the next one."""
    origin: bool = False
    """Saved with it: positions count from the margins."""


@attrs.frozen
class Side:
    """One of a terminal's two screens, the primary or the alternate."""

    cursor: Cursor
    saved: Cursor | None
    shape: int
    protection: int
    """The way in which letters were protected last: none, ISO, DEC."""
    next_is: int
    """What the shell says of the letters that come next: output, input, prompt (2 bits), and
    whether input ends with the line."""
    keyboard: tuple[int, ...]
    """Kitty's flags from the bottom of their stack to its top; more than eight where it went round
    and what stands above the top still counts."""
    key: tuple[tuple[int, int], ...]
    """The sizes and checksums of the pages: the same for the same rows."""
    spans: tuple[tuple[int, int], ...]
    """Where the pages begin and end in the snapshot."""
    _data: bytes
    _pages: dict[int, Page] = attrs.field(factory=dict, init=False)

    @property
    def pages(self) -> list[Page]:
        """All rows, oldest first; the last of them are visible. Raises one of UNREADABLE."""
        return [self.page(number) for number in range(len(self.spans))]

    def page(self, number: int) -> Page:
        """Return one page; it is read when it is asked for. Raises one of UNREADABLE."""
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = Page(self._data, *self.spans[number])
        return page

    def visible(self, rows: int) -> list[tuple[Page, int]]:
        """Return the last `rows` rows, each as its page and its number there."""
        found: list[tuple[Page, int]] = []
        for number in reversed(range(len(self.spans))):
            page = self.page(number)
            found[:0] = [(page, y) for y in range(len(page.rows))]
            if len(found) >= rows:
                break
        return found[-rows:]


@attrs.frozen
class Snapshot:
    """Everything that an emulator knows."""

    fixed: Fixed
    tabs: list[int]
    """The columns of the tab stops, from 0."""
    colours: dict[str, tuple[int, int, int]]
    """What the program changed, by the OSC command that does so: `4;n`, `10`, `11`, `12`."""
    pwd: bytes
    title: bytes
    primary: Side
    alternate: Side | None
    """None as long as no program has used it."""
    unfinished: bytes
    """Bytes that bring a parser into the middle of the same sequence."""

    @property
    def sides(self) -> tuple[Side, Side | None]:
        """The screen that shows and the one behind it."""
        if self.fixed.active and self.alternate:
            return self.alternate, self.primary
        return self.primary, self.alternate


def read_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot that is complete. Raises one of UNREADABLE."""
    if not data.startswith(_MAGIC):
        raise ValueError("a snapshot has another version")
    terminal = 0
    unfinished = b""
    screens: dict[int, int] = {}
    pages: dict[int, list[_Record]] = {}
    history: dict[int, list[_Record]] = {}
    into: list[_Record] = []
    for record in _records(data):
        match record.tag:
            case _Tag.TERMINAL:
                terminal = record.start
            case _Tag.SCREEN:
                screens[data[record.start]] = record.start
                into = pages.setdefault(data[record.start], [])
            case _Tag.HISTORY:
                into = history.setdefault(data[record.start], [])
            case _Tag.PAGE:
                into.append(record)
            case _Tag.CONTINUATION:
                unfinished = data[record.start : record.end]
    sides = {
        key: _read_side(data, start, [*reversed(history[key]), *pages[key]])
        for key, start in screens.items()
    }
    fixed, tabs, colours, pwd, title = _read_terminal(data, terminal)
    width = data[terminal : terminal + 2]
    if any(data[start : start + 2] != width for side in sides.values() for start, _ in side.spans):
        raise ValueError("a snapshot has rows of another width")
    return Snapshot(fixed, tabs, colours, pwd, title, sides[0], sides.get(1), unfinished)


def _records(data: bytes) -> Iterator[_Record]:
    at = len(_MAGIC)
    tag = 0
    while tag != _Tag.FINISH:
        tag, size, check = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        yield _Record(tag, at, at + size, check)
        at += size


def _read_terminal(
    data: bytes, at: int
) -> tuple[Fixed, list[int], dict[str, tuple[int, int, int]], bytes, bytes]:
    fixed = Fixed(*_FIXED.unpack_from(data, at))
    at += _FIXED.size
    size = (fixed.cols + 7) // 8
    stops = int.from_bytes(data[at : at + size], "little")
    at += size + 256 * 3
    mask = int.from_bytes(data[at : at + 32], "little")
    at += 32
    colours: dict[str, tuple[int, int, int]] = {}
    for index in range(256):
        if mask >> index & 1:
            colours[f"4;{index}"] = data[at], data[at + 1], data[at + 2]
            at += 3
    for number, raw in zip(
        ("10", "11", "12"), (fixed.foreground, fixed.background, fixed.cursor_colour), strict=True
    ):
        if raw[4]:
            colours[number] = raw[5], raw[6], raw[7]
    pwd, at = read_text(data, at)
    title, at = read_text(data, at)
    tabs = [column for column in range(fixed.cols) if stops >> column & 1]
    return fixed, tabs, colours, pwd, title


def _read_side(data: bytes, at: int, pages: list[_Record]) -> Side:
    screen = _Screen(*_SCREEN.unpack_from(data, at))
    at += _SCREEN.size
    saved: Cursor | None = None
    if screen.saved:
        x, y, pen, flags, charsets = _SAVED.unpack_from(data, at)
        at += _SAVED.size
        saved = Cursor(
            x, y, read_look(pen), None, bool(flags & 1), charsets, bool(flags & 2), bool(flags & 4)
        )
    link = read_link(data, at)[0] if data[at] else None
    top = screen.keyboard_at
    # After more than eight of them the stack goes round: what stands above its top would come
    # again, once as many are taken away as there are.
    above = screen.keyboard if any(screen.keyboard[top + 1 :]) else b""
    return Side(
        cursor=Cursor(
            screen.x,
            screen.y,
            read_look(screen.pen),
            link,
            bool(screen.flags & 2),
            screen.charsets,
            bool(screen.flags & 1),
        ),
        saved=saved,
        shape=screen.shape,
        protection=screen.protection,
        next_is=screen.flags >> 2 & 7,
        keyboard=(*above, *screen.keyboard[: top + 1]),
        key=tuple((page.end - page.start, page.check) for page in pages),
        data=data,
        spans=tuple((page.start, page.end) for page in pages),
    )
