"""The emulator behind a screen (libghostty), with its limits; and snapshots of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyghostty import ffi, lib
from pyghostty.core import Terminal, init_sized

from loopsy_core.errors import LoopsyError

from .guard import feed_sparingly, smallest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCROLLBACK_LINES", "Emulator"]

SCROLLBACK_LINES: Final = 10_000
SCROLLBACK_BYTES: Final = 64 << 20
"""The emulator keeps the fewer of both; lines alone kept 903 of 10 000."""
MAX_UNFINISHED: Final = 1 << 20
"""Bytes of an escape sequence under way (a clipboard) that a picture can carry."""
CELL_WIDTH, CELL_HEIGHT = 8, 16
"""Pixels of a cell; only size reports ask."""
_COLOURS: Final = {"FOREGROUND": 0xDDDDDD, "BACKGROUND": 0x000000, "CURSOR": 0xDDDDDD}
"""What programs are told that ask for a colour which they have not set (OSC 10, 11, 12): light on
dark, as most terminals are. Without an answer they wait for one. No picture has these."""

_COMMAND, _STRING = b"\x1b]99999;", b"\x1bX"
"""How sequences begin that mean nothing, in the place of one that was given up."""
_ENDS: Final = {_COMMAND: b"\x07\x18\x1a\x1b", _STRING: b"\x18\x1a\x1b"}
_ESCAPE: Final = 0x1B


class Emulator:
    """One terminal of libghostty."""

    def __init__(
        self,
        cols: int,
        rows: int,
        on_reply: Callable[[bytes], None],
        scrollback: int = SCROLLBACK_LINES,
    ) -> None:
        """Begin with an empty screen; `on_reply` gets what the terminal answers to queries.

        `scrollback` is how many lines above the screen are kept.
        """
        self._terminal = Terminal(*smallest(cols, rows), scrollback)
        self._set("SCROLLBACK_MAX_LINES", "size_t", scrollback)
        self.answer(on_reply)
        self._set("SCROLLBACK_MAX_BYTES", "size_t", SCROLLBACK_BYTES)
        self._set("CONTINUATION_MAX_BYTES", "size_t", MAX_UNFINISHED)
        # Pictures carry no images, so that none are kept.
        self._set("KITTY_IMAGE_STORAGE_LIMIT", "uint64_t", 0)
        for name, colour in _COLOURS.items():
            self._set(f"COLOR_{name}", "GhosttyColorRgb", tuple(colour.to_bytes(3, "big")))
        self._given_up = b""

    def feed(self, data: bytes) -> None:
        """Take in output of the program; never fails on what a program may print."""
        if self._given_up:
            data = self._skip(data)
        feed_sparingly(self._terminal, data)

    def answer(self, on_reply: Callable[[bytes], None]) -> None:
        """Give what the terminal answers to queries to `on_reply` from now on."""
        self._terminal.on_reply(on_reply)

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; the primary screen reflows."""
        self._terminal.resize(*smallest(cols, rows), CELL_WIDTH, CELL_HEIGHT)

    def get(self, name: str, kind: str = "uint16_t") -> int:
        """Return one value of the emulator; `name` is the end of a GHOSTTY_TERMINAL_DATA_ name."""
        value: int = self._terminal.get(name, kind)
        return value

    @property
    def title(self) -> bytes:
        """The title as the program wrote it."""
        text = ffi.new("GhosttyString*")
        if lib.ghostty_terminal_get(self._handle, lib.GHOSTTY_TERMINAL_DATA_TITLE, text):
            return b""
        return bytes(ffi.buffer(text.ptr, text.len)) if text.len else b""

    @property
    def text(self) -> str:
        """The visible rows as plain text."""
        text: str = self._terminal.text()
        return text

    @property
    def unfinished(self) -> bytes:
        """The bytes that bring a fresh parser into the middle of the same sequence."""
        size = ffi.new("size_t*")
        lib.ghostty_terminal_continuation_buf(self._handle, ffi.NULL, 0, size)
        buffer = ffi.new("uint8_t[]", max(size[0], 1))
        if lib.ghostty_terminal_continuation_buf(self._handle, buffer, len(buffer), size):
            return b""
        return bytes(ffi.buffer(buffer, size[0]))

    @property
    def given_up(self) -> bytes:
        """How a sequence begins that was too long to carry and whose rest is yet to come."""
        return self._given_up

    def snapshot(self) -> bytes | None:
        """Return all that the emulator knows, as it writes it; None when it cannot."""
        self._let_go_of_the_endless()
        data, size = ffi.new("uint8_t**"), ffi.new("size_t*")
        if lib.ghostty_snapshot_encode_alloc(self._handle, ffi.NULL, data, size):
            return None
        try:
            return bytes(ffi.buffer(data[0], size[0]))
        finally:
            lib.ghostty_free(ffi.NULL, data[0], size[0])

    def formatted(
        self,
        *extra: str,
        styles: bool = True,
        unwrap: bool = True,
        rows: tuple[int, int] | None = None,
    ) -> bytes:
        """Return the screen that shows, with its scrollback, as the emulator itself writes it.

        Empty rows at the end are left out. `extra` names what comes with it, `styles` chooses
        terminal output instead of plain text, `unwrap` joins the rows of one line. Only from the
        first to before the last of `rows`, counted from the beginning of the scrollback.
        """
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit = (
            lib.GHOSTTY_FORMATTER_FORMAT_VT if styles else lib.GHOSTTY_FORMATTER_FORMAT_PLAIN
        )
        options.unwrap = unwrap
        for name in extra:
            part = options.extra.screen if hasattr(options.extra.screen, name) else options.extra
            setattr(part, name, True)
        if rows:
            selection = init_sized("GhosttySelection")
            selection.start = self._terminal.ref(0, rows[0], "screen")[0]
            selection.end = self._terminal.ref(self.get("cols") - 1, rows[1] - 1, "screen")[0]
            options.selection = selection
        formatter = ffi.new("GhosttyFormatter*")
        made = lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._handle, options[0])
        if made:
            raise LoopsyError("the terminal emulator cannot draw its screen")
        try:
            data, size = ffi.new("uint8_t**"), ffi.new("size_t*")
            if lib.ghostty_formatter_format_alloc(formatter[0], ffi.NULL, data, size):
                raise LoopsyError("the terminal emulator cannot draw its screen")
            try:
                return bytes(ffi.buffer(data[0], size[0]))
            finally:
                lib.ghostty_free(ffi.NULL, data[0], size[0])
        finally:
            lib.ghostty_formatter_free(formatter[0])

    def formatted_rows(self, first: int, after: int) -> str:
        """Return some rows of it, with styles, and those of one line joined."""
        return self.formatted(rows=(first, after)).decode()

    def close(self) -> None:
        """Free the emulator."""
        self._terminal.close()

    @property
    def _handle(self) -> object:
        return self._terminal._t[0]  # noqa: SLF001 - pyghostty's raw layer is used through it

    def _set(self, option: str, kind: str, value: int | tuple[int, ...]) -> None:
        key = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
        if lib.ghostty_terminal_set(self._handle, key, ffi.new(kind + "*", value)):
            raise LoopsyError("the terminal emulator refuses its settings")

    def _let_go_of_the_endless(self) -> None:
        """End a sequence that is too long to be carried, and skip the rest of it from now on.

        The emulator makes no snapshot in the middle of one.
        """
        if self.get("vt_ground", "bool"):
            return
        size = ffi.new("size_t*")
        result = lib.ghostty_terminal_continuation_buf(self._handle, ffi.NULL, 0, size)
        if result in (lib.GHOSTTY_SUCCESS, lib.GHOSTTY_OUT_OF_SPACE):
            return
        # A bell ends an operating system command and nothing else: that tells which it is.
        self._terminal.feed(b"\x07")
        self._given_up = _COMMAND
        if not self.get("vt_ground", "bool"):
            self._terminal.feed(b"\x18")
            self._given_up = _STRING

    def _skip(self, data: bytes) -> bytes:
        """Return what follows the sequence that was given up."""
        ends = (data.find(end) for end in _ENDS[self._given_up])
        at = min((at for at in ends if at >= 0), default=len(data))
        if at < len(data):
            self._given_up = b""
            # An escape begins the next sequence, or ends this as the first half of ST.
            at += data[at] != _ESCAPE
        return data[at:]
