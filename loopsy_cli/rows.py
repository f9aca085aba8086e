"""The rows of an emulated screen (libghostty), read as cells and kept until they change."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pyghostty import ffi, lib
from pyghostty.core import init_sized

from loopsy_core.errors import LoopsyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyghostty.core import Terminal

__all__ = ["BLANK", "Cell", "Cursor", "Rows"]

MAX_GLYPHS: Final = 1 << 16
"""Different cells whose reading is remembered."""
LONGEST_LINK: Final = 2048

_ATTRIBUTES: Final = (
    ("bold", b";1"),
    ("faint", b";2"),
    ("italic", b";3"),
    ("blink", b";5"),
    ("inverse", b";7"),
    ("invisible", b";8"),
    ("strikethrough", b";9"),
    ("overline", b";53"),
)
_BELOW: Final = 58
"""What SGR calls the colour of an underline; it takes colons only."""
_SHAPES: Final = {
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BLOCK: 2,
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_UNDERLINE: 4,
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BAR: 6,
}
_USERS_OWN_SHAPE: Final = 2
"""A steady block is what the emulator has if nothing else was asked for."""


class Cell(NamedTuple):
    """One cell of a screen."""

    text: str
    """What stands there; nothing in the second half of a wide letter."""
    wide: bool
    pen: bytes
    """The parameters of the SGR sequence that gives its style from a plain one, `;1;31` say."""
    link: bytes


BLANK: Final = Cell(" ", False, b"", b"")
_TAIL: Final = Cell("", False, b"", b"")


class Cursor(NamedTuple):
    """Where the cursor is, counted from 0, and how it looks."""

    x: int
    y: int
    visible: bool
    shape: int
    """The parameter of DECSCUSR; 0 is the user's own."""


class _Pointer(Protocol):
    def __getitem__(self, index: int, /) -> object: ...


class _Rgb(Protocol):
    r: int
    g: int
    b: int


class _ColourValue(Protocol):
    palette: int
    rgb: _Rgb


class _StyleColour(Protocol):
    tag: int
    value: _ColourValue


class _Glyph(NamedTuple):
    """What a raw cell says by itself, without its page."""

    text: str
    wide: int
    style: int
    colour: bytes
    grapheme: bool
    linked: bool


class Rows:
    """The rows of one terminal; `update` reads those that have changed."""

    def __init__(self, terminal: Terminal) -> None:
        """Read `terminal`, which must outlive this."""
        self._terminal = terminal
        self._handle = terminal._t[0]  # noqa: SLF001 - pyghostty has no other way to it
        self._state = _made("GhosttyRenderState", lib.ghostty_render_state_new)
        self._iterator = _made(
            "GhosttyRenderStateRowIterator", lib.ghostty_render_state_row_iterator_new
        )
        self._cells = _made("GhosttyRenderStateRowCells", lib.ghostty_render_state_row_cells_new)
        self._rows: list[list[Cell]] = []
        self._glyphs: dict[int, _Glyph] = {}

    def close(self) -> None:
        """Free what reading needs."""
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._iterator[0])
        lib.ghostty_render_state_free(self._state[0])

    def update(self) -> list[int] | None:
        """Read what has changed since the last time; return which rows, None if all may have."""
        lib.ghostty_render_state_update(self._state[0], self._handle)
        cols, rows = self._terminal.size
        dirty = ffi.new("GhosttyRenderStateDirty*")
        self._get(lib.GHOSTTY_RENDER_STATE_DATA_DIRTY, dirty)
        if dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_FALSE:
            return []
        if len(self._rows) != rows or len(self._rows[0]) != cols:
            self._rows = [[BLANK] * cols for _ in range(rows)]
        self._get(lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._iterator)
        changed: list[int] = []
        at = ffi.new("uint16_t*")
        while lib.ghostty_render_state_row_iterator_next_dirty(self._iterator[0], at):
            self._rows[at[0]] = self._read_row(at[0])
            changed.append(at[0])
        lib.ghostty_render_state_clean(self._state[0])
        return None if dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_FULL else changed

    def __getitem__(self, y: int) -> list[Cell]:
        """Return the cells of a row, as they were at the last `update`."""
        return self._rows[y]

    @property
    def cursor(self) -> Cursor:
        """The cursor at the last `update`."""
        found = init_sized("GhosttyRenderStateCursor")
        self._get(lib.GHOSTTY_RENDER_STATE_DATA_CURSOR, found)
        shape = _SHAPES.get(found.visual_style, _USERS_OWN_SHAPE)
        shape = shape - 1 if found.blinking else shape
        return Cursor(
            found.viewport_x,
            found.viewport_y,
            bool(found.visible),
            0 if shape == _USERS_OWN_SHAPE else shape,
        )

    # Rows. Each is read as the raw numbers of its cells, which lie in one piece: to ask for each
    # cell by itself takes ten times as long.

    def _read_row(self, y: int) -> list[Cell]:
        view = ffi.new("GhosttyCellsView*")
        self._row_get(lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, view)
        self._row_get(lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells)
        raw = array("Q", bytes(ffi.buffer(view.ptr, view.len * 8)))
        pens = {0: b""}
        known: dict[int, Cell] = {0: BLANK}
        cells: list[Cell] = []
        for x, value in enumerate(raw):
            cell = known.get(value)
            if cell is None:
                glyph = self._glyphs.get(value) or self._read_glyph(value)
                if glyph.style not in pens:
                    pens[glyph.style] = self._read_pen(x)
                cell = self._cell(x, y, glyph, pens[glyph.style])
                if not glyph.grapheme and not glyph.linked:
                    known[value] = cell
            cells.append(cell)
        return cells

    def _cell(self, x: int, y: int, glyph: _Glyph, pen: bytes) -> Cell:
        if glyph.wide == lib.GHOSTTY_CELL_WIDE_SPACER_TAIL:
            return _TAIL
        return Cell(
            self._grapheme(x) if glyph.grapheme else glyph.text,
            glyph.wide == lib.GHOSTTY_CELL_WIDE_WIDE,
            pen + glyph.colour,
            self._link(x, y) if glyph.linked else b"",
        )

    def _read_glyph(self, raw: int) -> _Glyph:
        number, flag = ffi.new("uint32_t*"), ffi.new("bool*")

        def ask(what: int) -> int:
            number[0] = 0
            lib.ghostty_cell_get(raw, what, number)
            return int(number[0])

        tag = ask(lib.GHOSTTY_CELL_DATA_CONTENT_TAG)
        colour = b""
        code = 0
        if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
            colour = _palette_colour(48, ask(lib.GHOSTTY_CELL_DATA_COLOR_PALETTE))
        elif tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
            rgb = ffi.new("GhosttyColorRgb*")
            lib.ghostty_cell_get(raw, lib.GHOSTTY_CELL_DATA_COLOR_RGB, rgb)
            colour = b";48;2;%d;%d;%d" % (rgb.r, rgb.g, rgb.b)
        else:
            code = ask(lib.GHOSTTY_CELL_DATA_CODEPOINT)
        lib.ghostty_cell_get(raw, lib.GHOSTTY_CELL_DATA_HAS_HYPERLINK, flag)
        text = chr(code) if code else " "
        glyph = _Glyph(
            text if text.isprintable() else " ",
            ask(lib.GHOSTTY_CELL_DATA_WIDE),
            ask(lib.GHOSTTY_CELL_DATA_STYLE_ID),
            colour,
            tag == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME,
            bool(flag[0]),
        )
        if len(self._glyphs) >= MAX_GLYPHS:
            self._glyphs.clear()
        self._glyphs[raw] = glyph
        return glyph

    def _read_pen(self, x: int) -> bytes:
        style = init_sized("GhosttyStyle")
        lib.ghostty_render_state_row_cells_select(self._cells[0], x)
        self._cell_get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE, style)
        pen = b"".join(number for name, number in _ATTRIBUTES if getattr(style, name))
        if style.underline:
            pen += b";4" if style.underline == 1 else b";4:%d" % style.underline
        return (
            pen
            + _style_colour(38, style.fg_color)
            + _style_colour(48, style.bg_color)
            + _style_colour(58, style.underline_color)
        )

    def _grapheme(self, x: int) -> str:
        """Return a letter that is made of several characters."""
        lib.ghostty_render_state_row_cells_select(self._cells[0], x)
        length = ffi.new("uint32_t*")
        self._cell_get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_LEN, length)
        codes = ffi.new("uint32_t[]", max(length[0], 1))
        self._cell_get(lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_BUF, codes)
        return "".join(map(chr, codes[0 : length[0]])) or " "

    def _link(self, x: int, y: int) -> bytes:
        buffer, size = ffi.new(f"uint8_t[{LONGEST_LINK}]"), ffi.new("size_t*")
        ref = self._terminal.ref(x, y)
        if lib.ghostty_grid_ref_hyperlink_uri(ref, buffer, LONGEST_LINK, size):
            return b""
        return bytes(ffi.buffer(buffer, size[0]))

    def _get(self, what: int, out: object) -> None:
        lib.ghostty_render_state_get(self._state[0], what, out)

    def _row_get(self, what: int, out: object) -> None:
        lib.ghostty_render_state_row_get(self._iterator[0], what, out)

    def _cell_get(self, what: int, out: object) -> None:
        lib.ghostty_render_state_row_cells_get(self._cells[0], what, out)


def _made(kind: str, make: Callable[[object, object], int]) -> _Pointer:
    """Return a pointer to what the library has made."""
    pointer: _Pointer = ffi.new(kind + "*")
    if make(ffi.NULL, pointer):
        raise LoopsyError("the terminal emulator cannot be set up")
    return pointer


def _style_colour(kind: int, colour: _StyleColour) -> bytes:
    """Return the parameters of a colour; `kind` is 38 for text, 48 behind it, 58 below it."""
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:
        return _palette_colour(kind, colour.value.palette)
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_RGB:
        rgb = colour.value.rgb
        form = b";58:2::%d:%d:%d" if kind == _BELOW else b";%d;2;%%d;%%d;%%d" % kind
        return form % (rgb.r, rgb.g, rgb.b)
    return b""


def _palette_colour(kind: int, number: int) -> bytes:
    if kind == _BELOW:
        return b";58:5:%d" % number
    if number < 8:
        return b";%d" % (kind - 8 + number)
    if number < 16:
        return b";%d" % (kind + 52 + number - 8)
    return b";%d;5;%d" % (kind, number)
