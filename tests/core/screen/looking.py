"""What is to be known of a terminal, cell by cell, to compare two of them.

It is read from the emulator's own snapshot, plainly and without any of the code under test. What
the emulator's interface for cells tells (`grid`) must be the same: a test sees to it.
"""

from __future__ import annotations

import struct
from itertools import chain, pairwise, zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import attrs
from pyghostty import ffi, lib

if TYPE_CHECKING:
    from pyghostty.core import Terminal

    from loopsy_core.screen import Screen

__all__ = ["Cell", "View", "differences", "grid", "inner", "view"]

TERMINAL: Final = struct.Struct("<HHIIHHHHBHHIBBBBBBBBBBQQQ8s8s8sQQ")
SCREEN: Final = struct.Struct("<HHQHHBB16sIHBB8sBBB")
SAVED: Final = struct.Struct("<HH16sBH")
PAGE: Final = struct.Struct("<HHHHHHII")
NAMES: Final = (
    *("cols", "rows", "", "", "top", "bottom", "left", "right", "status line", "shows"),
    *("", "letter", "shape is default", "", "", "", "other keys", "mouse", "mouse format"),
    *("shift capture", "pointer", "password", "modes", "saved modes", "default modes"),
    *("background", "foreground", "cursor colour", "most bytes", "most lines"),
)
"""What a terminal's record begins with; without a name what is no state, or a shell's."""
PLAIN: Final = bytes(16)
USUAL_CHARSETS: Final = 2 << 10
NO_LETTER: Final = 0xFFFFFFFF


class Cell(NamedTuple):
    """One cell of the grid."""

    letters: str
    """Nothing in a gap."""
    width: int = 1
    """1, 2, or 0 for the second half of a letter, or -1 where there was no place for one."""
    style: bytes = b""
    """As it is packed; of a gap only its background is seen, and half a letter looks as it does."""
    protected: bool = False
    link: tuple[bytes, bytes] = b"", b""
    same_link: bool = False
    """Whether it is the very link of the cell before it, not only the same address."""


GAP: Final = Cell("")

Row: TypeAlias = "tuple[bool, tuple[Cell, ...]]"
"""Whether its line goes on in the next; and the cells, without gaps at the end."""


class Cursor(NamedTuple):
    """Where the next letter goes, and what it will be like."""

    x: int
    y: int
    waits: bool
    """The line is full: the next letter goes to the next one."""
    protected: bool
    style: bytes
    charsets: int
    link: tuple[bytes, bytes]
    origin: bool = False
    """As far as it was saved."""


HOME: Final = Cursor(0, 0, False, False, PLAIN, USUAL_CHARSETS, (b"", b""))


@attrs.frozen
class View:
    """What is seen of a terminal, and how the next output will fall on it."""

    cursor: Cursor
    here: list[Row]
    """The rows of the screen that shows, with its scrollback."""
    other: list[Row]
    """Those of the screen behind it; none if nothing is in it."""
    state: dict[str, object]
    letter: int | None
    """What REP repeats; None if that cannot be known of a picture, see `differences`."""

    waits_over_nothing: bool = False
    """The cursor waits to wrap, and the letter is gone from there, scrolled away perhaps."""


def differences(original: View, copy: View) -> list[str]:
    """Return what differs between a terminal and one that has shown a picture of it, in words.

    A letter that is printed to be the last cannot be taken away where there is no free place,
    nor when nothing had been printed at all.
    """
    found = []
    if original.cursor != copy.cursor:
        found.append(f"cursor: {original.cursor} / {copy.cursor}")
    found += _row_differences("", original.here, copy.here)
    found += _row_differences("behind, ", original.other, copy.other)
    for name in original.state | copy.state:
        one, other = original.state.get(name), copy.state.get(name)
        if one != other:
            found.append(f"{name}: {one!r} / {other!r}")
    if original.letter not in (None, copy.letter):
        found.append(f"letter to repeat: {original.letter} / {copy.letter}")
    return found


def _row_differences(where: str, original: list[Row], copy: list[Row]) -> list[str]:
    if len(original) != len(copy):
        return [f"{where}{len(original)} / {len(copy)} rows"]
    found: list[str] = []
    for y, ((wraps, cells), (wraps_too, others)) in enumerate(zip(original, copy, strict=True)):
        if wraps != wraps_too:
            found.append(f"{where}row {y} wraps: {wraps} / {wraps_too}")
        for x, (one, other) in enumerate(zip_longest(cells, others, fillvalue=GAP)):
            if one != other:
                found.append(f"{where}row {y}, column {x}: {one} / {other}")
    return found


def inner(screen: Screen) -> Terminal:
    """Return the emulator, which knows more of itself than a screen tells."""
    return screen._emulator._terminal  # noqa: SLF001


def view(screen: Screen) -> View:
    """Look at everything."""
    data = _snapshot(inner(screen))
    state: dict[str, object] = {}
    shows, letter = 0, NO_LETTER
    cursors: dict[int, Cursor] = {}
    pages: dict[int, list[list[Row]]] = {}
    history: dict[int, list[list[Row]]] = {}
    old_flags: dict[int, list[list[int]]] = {}
    into: list[list[Row]] = []
    flags: dict[int, list[list[int]]] = {}
    flags_into: list[list[int]] = []
    at = 10
    while at < len(data):
        tag, size, _ = struct.unpack_from("<HII", data, at)
        part = data[at + 10 : at + 10 + size]
        at += 10 + size
        if tag == 1:
            state |= _terminal(part)
            shows, (letter,) = part[21], struct.unpack_from("<I", part, 25)
        elif tag == 2:
            cursors[part[0]], more = _screen(part)
            state |= {f"{name} of screen {part[0]}": value for name, value in more.items()}
            into, flags_into = pages.setdefault(part[0], []), flags.setdefault(part[0], [])
        elif tag == 4:
            into, flags_into = history.setdefault(part[0], []), old_flags.setdefault(part[0], [])
        elif tag == 3:
            found, found_flags = _page(part)
            into.append(found)
            flags_into.append(found_flags)
        elif tag == 7:
            state["unfinished"] = part
    rows = {key: list(chain(*history[key][::-1], *pages[key])) for key in pages}
    visible = state["rows"]
    assert isinstance(visible, int)
    for key in pages:
        each = list(chain(*old_flags[key][::-1], *flags[key]))
        state |= {
            f"{name} of screen {key}": value for name, value in _of_rows(each, visible).items()
        }
    other = rows.get(1 - shows, [])
    state.pop("prompts of screen 1", None)  # there they make no difference
    if not shows:
        # It takes the cursor over from the primary screen whenever it shows.
        for name in ("shape", "next letters"):
            state.pop(f"{name} of screen 1", None)
        if not any(cells for _, cells in other):
            other = []
    if other:
        state["place behind"] = cursors[1 - shows][:2]
    return _as_a_picture_has_it(
        cursors[shows], rows[shows], other, {k: v for k, v in state.items() if v}, letter
    )


def _as_a_picture_has_it(
    cursor: Cursor, here: list[Row], other: list[Row], state: dict[str, object], letter: int
) -> View:
    """Put a blank where a cursor waits to wrap and there is no letter: nothing else makes it wait.

    Where tabs led away from there, it is put behind the edge. Letters are printed for that, so that
    it cannot be chosen which one REP repeats.
    """
    cols, rows = state["cols"], state["rows"]
    assert isinstance(cols, int)
    assert isinstance(rows, int)
    known = letter if letter != NO_LETTER and _has_free_place(here[-rows:], cols) else None
    if not cursor.waits:
        return View(cursor, here, other, state, known)
    y = len(here) - rows + cursor.y
    wraps, cells = here[y]
    padded = [*cells, *[GAP] * (cols - len(cells))]
    right = state["right"]
    assert isinstance(right, int)
    nothing = False
    for x in {cursor.x} if cursor.x in (right, cols - 1) else {cursor.x, right, cols - 1}:
        under = padded[x]
        empty = under.letters == "" and under.width != 0
        nothing |= empty
        if empty or under.letters == " ":
            style = under.style if under.letters else bytes(4) * bool(under.style) + under.style
            padded[x] = Cell(" ", 1, style, link=under.link)
        # Printed once more, its link may have become another.
        first = x - (under.width == 0)
        padded[first] = padded[first]._replace(same_link=False)
    here = [*here[:y], (wraps, tuple(padded)), *here[y + 1 :]]
    return View(cursor, here, other, state, None, nothing)


def _has_free_place(rows: list[Row], cols: int) -> bool:
    """Whether a wide letter could be printed somewhere and erased again without a trace."""
    for wraps, cells in rows:
        padded = [*cells, *[GAP] * (cols - len(cells))]
        for x in range(2, cols - 2):
            one = padded[x]
            if not wraps and not one.letters and one.width == 1 and padded[x + 1] == one:
                return True
    return False


def _snapshot(terminal: Terminal) -> bytes:
    data, size = ffi.new("uint8_t**"), ffi.new("size_t*")
    assert lib.ghostty_snapshot_encode_alloc(terminal._t[0], ffi.NULL, data, size) == 0  # noqa: SLF001
    try:
        return bytes(ffi.buffer(data[0], size[0]))
    finally:
        lib.ghostty_free(ffi.NULL, data[0], size[0])


def _terminal(part: bytes) -> dict[str, object]:
    state: dict[str, object] = dict(zip(NAMES, TERMINAL.unpack_from(part), strict=True))
    del state[""], state["letter"]
    cols = int.from_bytes(part[:2], "little")
    at = TERMINAL.size + (cols + 7) // 8
    state["tabs"] = part[TERMINAL.size : at]
    state["palette, directory and title"] = part[at:]
    return state


def _screen(part: bytes) -> tuple[Cursor, dict[str, object]]:
    _, _, history, x, y, shape, flags, pen, _, charsets, *rest = SCREEN.unpack_from(part)
    protection, top, keyboard, _, _, is_saved = rest
    at = SCREEN.size
    saved = HOME
    if is_saved:
        old_x, old_y, old_pen, old, old_charsets = SAVED.unpack_from(part, at)
        at += SAVED.size
        saved = Cursor(
            *(old_x, old_y, bool(old & 2), bool(old & 1), old_pen, _charsets(old_charsets)),
            *((b"", b""), bool(old & 4)),
        )
    link = _link(part, at)[0][:2] if part[at] else (b"", b"")
    cursor = Cursor(x, y, bool(flags & 1), bool(flags & 2), pen, _charsets(charsets), link)
    return cursor, {
        "scrollback": history,
        "shape": shape,
        # Of the two ways to protect only the older (1, SPA) is heeded by plain erasing.
        "protection": protection == 1,
        # From the top of the stack down; it goes round.
        "keyboard": bytes(keyboard[(top - below) % 8] for below in range(8)).rstrip(b"\0"),
        # Whether they belong to a prompt or to what is typed behind it makes no difference.
        "next letters": (bool(flags >> 2 & 3), flags >> 4 & 1) if flags >> 2 & 3 else None,
        "saved cursor": None if saved == HOME else saved,
    }


def _charsets(packed: int) -> int:
    """ASCII and UTF-8 take all letters as they are."""
    return packed & ~sum(1 << 2 * slot for slot in range(4) if packed >> 2 * slot & 3 == 1)


def _link(part: bytes, at: int) -> tuple[tuple[bytes, bytes, int], int]:
    kind = part[at]
    at += 1
    name, number = b"", 0
    if kind == 1:
        number = int.from_bytes(part[at : at + 4], "little")
        at += 4
    else:
        name, at = _text(part, at)
    uri, at = _text(part, at)
    return (name, uri, number), at


def _text(part: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(part[at : at + 4], "little")
    return part[at + 4 : at + 4 + size], at + 4 + size


def _page(part: bytes) -> tuple[list[Row], list[int]]:
    """Return the rows, and their flags."""
    _, count, style_count, link_count, *_ = PAGE.unpack_from(part)
    at = PAGE.size
    styles = {0: PLAIN}
    for _ in range(style_count):
        styles[int.from_bytes(part[at : at + 2], "little")] = part[at + 2 : at + 18]
        at += 18
    links = {0: (b"", b"", 0)}
    for _ in range(link_count):
        number = int.from_bytes(part[at : at + 2], "little")
        links[number], at = _link(part, at + 2)
    packed: list[tuple[int, list[int]]] = []
    for _ in range(count):
        flags, cells = struct.unpack_from("<BH", part, at)
        at += 3
        size = 1 << (flags >> 4 & 3)
        row = [int.from_bytes(part[at + size * x :][:size], "little") for x in range(cells)]
        packed.append((flags, row if size > 2 else [letter << 2 for letter in row]))
        at += size * cells
    more: dict[tuple[int, int], str] = {}
    (clusters,) = struct.unpack_from("<I", part, at)
    at += 4
    for _ in range(clusters):
        y, x, letters = struct.unpack_from("<HHH", part, at)
        at += 6
        more[y, x] = part[at : at + 4 * letters].decode("utf-32-le")
        at += 4 * letters
    assert at == len(part)
    rows = [
        (
            bool(flags & 1),
            _row([(word, more.get((y, x), "")) for x, word in enumerate(row)], styles, links),
        )
        for y, (flags, row) in enumerate(packed)
    ]
    return rows, [flags for flags, _ in packed]


def _of_rows(flags: list[int], visible: int) -> dict[str, object]:
    """Return what rows have beside cells and wraps, from the flags of all: by number, from below.

    What a shell says of rows is lost when they leave the screen.
    """
    count = len(flags)
    prompts = [(count - y, each >> 2 & 3) for y, each in enumerate(flags) if each >> 2 & 3]
    return {
        "prompts": [(above, kind) for above, kind in prompts if above <= visible],
        "wraps that lead nowhere": [
            count - y for y, (one, two) in enumerate(pairwise(flags)) if one & 1 and not two & 2
        ],
    }


def _row(
    words: list[tuple[int, str]],
    styles: dict[int, bytes],
    links: dict[int, tuple[bytes, bytes, int]],
) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    before = links[0]
    for word, more in words:
        link = links[word >> 48]
        cell = _cell(word, styles[word >> 26 & 0xFFFF], more)
        if cell.letters == "" and cell.width != 0:
            link = links[0]  # nobody sees it there
        cells.append(cell._replace(link=link[:2], same_link=link == before != links[0]))
        before = link
    while cells and cells[-1] == GAP:
        cells.pop()
    return tuple(cells)


def _cell(word: int, style: bytes, more: str) -> Cell:
    kind, content = word & 3, word >> 2 & 0xFFFFFF
    width = (1, 2, 0, -1)[word >> 42 & 3]
    if kind >= 2:
        return Cell("", 1, bytes((kind - 1, *content.to_bytes(3, "little"))).rstrip(b"\0"))
    if not content:
        return Cell("", width, style[4:8].rstrip(b"\0") if width else b"")
    return Cell(chr(content) + more, width, style.rstrip(b"\0"), bool(word >> 44 & 1))


def grid(screen: Screen) -> list[list[tuple[str, int, bool, bytes]]]:
    """Return the visible cells as the emulator's own interface for them tells.

    Of each its letters, its width, whether it is protected, and the address of its link.
    """
    terminal = inner(screen)
    cols, rows = terminal.size
    out = ffi.new("int*")
    cell, count = ffi.new("GhosttyCell*"), ffi.new("size_t*")
    letters, address = ffi.new("uint32_t[]", 64), ffi.new("uint8_t[]", 4096)

    def ask(key: int) -> int:
        out[0] = 0
        assert lib.ghostty_cell_get(cell[0], key, out) == 0
        return int(out[0])

    found: list[list[tuple[str, int, bool, bytes]]] = []
    for y in range(rows):
        row: list[tuple[str, int, bool, bytes]] = []
        for x in range(cols):
            ref = terminal.ref(x, y)
            assert lib.ghostty_grid_ref_cell(ref, cell) == 0
            width = (1, 2, 0, -1)[ask(lib.GHOSTTY_CELL_DATA_WIDE)]
            assert lib.ghostty_grid_ref_graphemes(ref, letters, 64, count) == 0
            text = "".join(chr(letters[number]) for number in range(count[0]))
            assert lib.ghostty_grid_ref_hyperlink_uri(ref, address, 4096, count) == 0
            link = bytes(ffi.buffer(address, count[0]))
            row.append((text.strip("\0"), width, bool(ask(lib.GHOSTTY_CELL_DATA_PROTECTED)), link))
        found.append(row)
    return found
