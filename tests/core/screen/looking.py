"""What is to be known of a screen, cell by cell, through the emulator's raw interface.

Both screens with their scrollback are walked on a copy that the emulator itself made, so that
nothing of the code under test stands between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from pyghostty import ffi, lib
from pyghostty._ffi import union_fn
from pyghostty.core import init_sized

from loopsy_core.screen.copy import Copy, read_copy

if TYPE_CHECKING:
    from loopsy_core.screen import Screen

__all__ = ["View", "emulator_copy", "view"]

_STYLE: Final = (
    *("bold", "italic", "faint", "blink", "inverse", "invisible", "strikethrough", "overline"),
    "underline",
)


@attrs.frozen
class View:
    """What is seen of a screen, and how the next output will fall on it."""

    text: tuple[str, ...]
    """Rows of the active screen with its scrollback, to be read when a test fails."""
    cursor: tuple[object, ...]
    active: tuple[object, ...]
    other: tuple[object, ...]
    state: tuple[tuple[str, object], ...]


def emulator_copy(screen: Screen) -> bytes:
    """Return the emulator's own copy of itself."""
    return screen._emulator.copy(history=True)  # noqa: SLF001


def _clone(data: bytes) -> object:
    decoder, terminal = ffi.new("GhosttySnapshotDecoder*"), ffi.new("GhosttyTerminal*")
    source = ffi.from_buffer(data)
    assert lib.ghostty_snapshot_decoder_new_buf(ffi.NULL, decoder, source, len(data)) == 0
    most = ffi.new("size_t*", 1 << 21)
    option = lib.GHOSTTY_SNAPSHOT_DECODER_OPT_MAX_CONTINUATION_BYTES
    assert lib.ghostty_snapshot_decoder_set(decoder[0], option, most) == 0
    assert lib.ghostty_snapshot_decoder_decode(decoder[0], terminal) == 0
    lib.ghostty_snapshot_decoder_free(decoder[0])
    return terminal[0]


def _get(terminal: object, name: str, kind: str) -> int:
    out = ffi.new(kind + "*")
    assert lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{name}"), out) == 0
    value: int = out[0]
    return value


def _ask(function: object, subject: object, key: int, kind: str) -> int:
    out = ffi.new(kind + "*")
    assert function(subject, key, out) == 0  # type: ignore[operator]
    value: int = out[0]
    return value


def _colour(colour: object) -> tuple[int, ...]:
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:  # type: ignore[attr-defined]
        return (colour.value.palette,)  # type: ignore[attr-defined]
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_RGB:  # type: ignore[attr-defined]
        rgb = colour.value.rgb  # type: ignore[attr-defined]
        return (rgb.r, rgb.g, rgb.b)
    return ()


def _grid(terminal: object) -> tuple[object, ...]:
    """Return every row of the active screen, oldest first, with all that its cells hold."""
    cols, rows = _get(terminal, "COLS", "uint16_t"), _get(terminal, "TOTAL_ROWS", "size_t")
    find = union_fn("ghostty_terminal_grid_ref", "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)")
    point, ref = ffi.new("GhosttyPointS*"), init_sized("GhosttyGridRef")
    point.tag = lib.GHOSTTY_POINT_TAG_SCREEN
    cell, row, count = ffi.new("GhosttyCell*"), ffi.new("GhosttyRow*"), ffi.new("size_t*")
    letters, target = ffi.new("uint32_t[]", 4096), ffi.new("uint8_t[]", 70_000)
    style = init_sized("GhosttyStyle")
    found: list[object] = []
    for y in range(rows):
        cells: list[object] = []
        for x in range(cols):
            point.value.x, point.value.y = x, y
            assert find(terminal, point[0], ref) == 0
            assert lib.ghostty_grid_ref_cell(ref, cell) == 0
            tag = _ask(lib.ghostty_cell_get, cell[0], lib.GHOSTTY_CELL_DATA_CONTENT_TAG, "int")
            wide = _ask(lib.ghostty_cell_get, cell[0], lib.GHOSTTY_CELL_DATA_WIDE, "int")
            guarded = _ask(lib.ghostty_cell_get, cell[0], lib.GHOSTTY_CELL_DATA_PROTECTED, "bool")
            if cell[0] == 0:
                cells.append(None)
                continue
            shown: object
            if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
                shown = _ask(lib.ghostty_cell_get, cell[0], lib.GHOSTTY_CELL_DATA_COLOR_PALETTE, "uint8_t")
            elif tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
                rgb = ffi.new("GhosttyColorRgb*")
                lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_COLOR_RGB, rgb)
                shown = (rgb.r, rgb.g, rgb.b)
            else:
                assert lib.ghostty_grid_ref_graphemes(ref, letters, 4096, count) == 0
                shown = "".join(chr(letters[n]) for n in range(count[0]))
            assert lib.ghostty_grid_ref_style(ref, style) == 0
            assert lib.ghostty_grid_ref_hyperlink_uri(ref, target, 70_000, count) == 0
            look = tuple(int(getattr(style, name)) for name in _STYLE) + tuple(
                _colour(getattr(style, name)) for name in ("fg_color", "bg_color", "underline_color")
            )
            if wide == lib.GHOSTTY_CELL_WIDE_SPACER_HEAD:
                look, guarded, count[0] = (), False, 0  # not seen; as what was in force then
            if shown == "" and wide == lib.GHOSTTY_CELL_WIDE_NARROW:
                cells.append(None)  # what is left of half a letter keeps a style, nobody sees it
                continue
            cells.append((shown, wide, guarded, look, bytes(ffi.buffer(target, count[0]))))
        assert lib.ghostty_grid_ref_row(ref, row) == 0
        # A row also says that it continues another; where that other one is gone, it need not.
        found.append((_ask(lib.ghostty_row_get, row[0], 1, "bool"), tuple(cells)))
    return tuple(found)


def _text(grid: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(
        "".join(str(cell[0]) if cell else "·" for cell in row[1]) + ("+" if row[0] else "")  # type: ignore[index]
        for row in grid
    )


def _state(copy: Copy) -> tuple[tuple[str, object], ...]:
    """Return all that is no cell."""
    state = {
        name: getattr(copy, name)
        for name in (
            *("cols", "rows", "region", "status_line", "alternate", "cursor_set", "other_keys"),
            *("mouse", "mouse_format", "shift_capture", "modes", "saved_modes", "colours", "tabs"),
            *("pwd", "unfinished"),
        )
    }
    # A picture prints letters, which cannot be undone when nothing was printed.
    state["repeatable"] = copy.repeatable or None
    for alternate, screen in copy.screens.items():
        shows = alternate == copy.alternate
        # Of the ways to protect only the older one (SPA, 1) changes what erasing does.
        # No cursor saved, no such screen yet: that is as good as a fresh one.
        saved = screen.saved and _cursor(screen.saved)
        if saved != (0, 0, False, False, b"", False, None, 2048):
            state[f"saved {alternate}"] = saved
        state[f"protection {alternate}"] = screen.protection == 1 or None
        state[f"keyboard {alternate}"] = screen.keyboard if any(screen.keyboard) or len(screen.keyboard) > 1 else None
        if shows:
            state["shape"] = screen.shape
    return tuple(sorted((name, value) for name, value in state.items() if value is not None))


def _cursor(cursor: object) -> tuple[object, ...]:
    link = cursor.look.link and (cursor.look.link.name, cursor.look.link.uri)  # type: ignore[attr-defined]
    # ASCII and UTF-8 take every letter as it is.
    charset = cursor.charset & ~sum(1 << 2 * slot for slot in range(4) if cursor.charset >> 2 * slot & 3 == 1)  # type: ignore[attr-defined]
    return (
        *(cursor.x, cursor.y, cursor.wraps, cursor.origin),  # type: ignore[attr-defined]
        *(cursor.look.sgr, cursor.look.protected, link, charset),  # type: ignore[attr-defined]
    )


def view(screen: Screen) -> View:
    """Look at everything."""
    data = emulator_copy(screen)
    copy = read_copy(data)
    clone = _clone(data)
    grid = _grid(clone)
    other: tuple[object, ...] = ()
    if True in copy.screens:
        lib.ghostty_terminal_vt_write(clone, b"\x18", 1)
        switch = b"\x1b[?47l" if copy.alternate else b"\x1b[?47h"
        lib.ghostty_terminal_vt_write(clone, switch, len(switch))
        other = _grid(clone)
        if not copy.alternate and not any(cell for row in other for cell in row[1]):  # type: ignore[index]
            other = ()
    lib.ghostty_terminal_free(clone)
    return View(_text(grid), _cursor(copy.active.cursor), grid, other, _state(copy))
