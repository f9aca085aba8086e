"""The emulator behind a screen (libghostty), with all limits set; copies of its state."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pyghostty import ffi, lib
from pyghostty.core import Terminal, init_sized

from loopsy_core.errors import LoopsyError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCROLLBACK_LINES", "Emulator"]

SCROLLBACK_LINES: Final = 10_000
SCROLLBACK_BYTES: Final = 64 << 20
"""The emulator keeps the fewer of both; lines alone kept 903 of 10 000."""
MAX_UNFINISHED: Final = 1 << 20
"""Bytes of an escape sequence under way (an image, a clipboard) that a picture can carry."""
MAX_APC: Final = 1 << 16
"""Bytes of an application's own sequence; images, the only long ones, are off."""
MAX_CLIPBOARD: Final = 1 << 20
CELL_WIDTH, CELL_HEIGHT = 8, 16
"""Pixels of a cell; only size reports ask."""

_RECORD = struct.Struct("<HII")
_ENVELOPE: Final = 10
_READY: Final = 5
_OSC, _STRING = b"\x1b]99999;", b"\x1bX"
_END_OF_OSC, _END_OF_STRING = b"\x07\x18\x1a\x1b", b"\x18\x1a\x1b"


class Emulator:
    """One terminal of libghostty."""

    def __init__(self, cols: int, rows: int, on_reply: Callable[[bytes], None]) -> None:
        """Begin with an empty screen; `on_reply` gets what the terminal answers to queries."""
        self._terminal = Terminal(cols, rows, SCROLLBACK_LINES)
        self._terminal.on_reply(on_reply)
        self._set("SCROLLBACK_MAX_BYTES", "size_t", SCROLLBACK_BYTES)
        self._set("CONTINUATION_MAX_BYTES", "size_t", MAX_UNFINISHED)
        self._set("APC_MAX_BYTES", "size_t", MAX_APC)
        self._set("CLIPBOARD_WRITE_MAX_BYTES", "size_t", MAX_CLIPBOARD)
        # Pictures do not carry images, so that none are kept.
        self._set("KITTY_IMAGE_STORAGE_LIMIT", "uint64_t", 0)
        self._skipping = b""

    def feed(self, data: bytes) -> None:
        """Take in output of the program; never fails on what a program may print."""
        if self._skipping:
            data = self._skip(data)
        self._terminal.feed(data)

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; the primary screen reflows."""
        self._terminal.resize(cols, rows, CELL_WIDTH, CELL_HEIGHT)

    def get(self, name: str, kind: str) -> int:
        """Return one value of the emulator; `name` is the end of a GHOSTTY_TERMINAL_DATA_ name."""
        value: int = self._terminal.get(name, kind)
        return value

    def string(self, key: int) -> bytes:
        """Return a string that the emulator keeps, such as the title."""
        text = ffi.new("GhosttyString*")
        if lib.ghostty_terminal_get(self._handle, key, text) or not text.len:
            return b""
        return bytes(ffi.buffer(text.ptr, text.len))

    def copy(self, *, history: bool) -> bytes:
        """Return the emulator's whole state as it writes it, with the scrollback or without.

        Without it the copy ends where the emulator says that all that is visible is there.
        """
        self._let_go_of_the_endless()
        if not history:
            collector = _Collector()
            handle = ffi.new_handle(collector)
            lib.ghostty_snapshot_encode(self._handle, {"write": _collect, "userdata": handle})
            if not collector.ready:
                raise LoopsyError("the terminal emulator cannot copy its state")
            return bytes(collector.data)
        data, size = ffi.new("uint8_t**"), ffi.new("size_t*")
        if lib.ghostty_snapshot_encode_alloc(self._handle, ffi.NULL, data, size):
            raise LoopsyError("the terminal emulator cannot copy its state")
        try:
            return bytes(ffi.buffer(data[0], size[0]))
        finally:
            lib.ghostty_free(ffi.NULL, data[0], size[0])

    def format(self, first: int, last: int) -> bytes:
        """Return rows of the active screen as the emulator draws them, soft wraps joined.

        Rows count from the oldest of the scrollback; both ends belong to it.
        """
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_VT
        options.unwrap = True
        selection = init_sized("GhosttySelection")
        selection.start = self._terminal.ref(0, first, "screen")[0]
        selection.end = self._terminal.ref(self._terminal.size[0] - 1, last, "screen")[0]
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

    def close(self) -> None:
        """Free the emulator."""
        self._terminal.close()

    @property
    def skipping(self) -> bytes:
        """How a sequence begins that was given up, and whose rest is yet to come; else nothing."""
        return self._skipping

    @property
    def _handle(self) -> object:
        return self._terminal._t[0]  # noqa: SLF001 - pyghostty's raw layer is used through it

    def _set(self, option: str, kind: str, value: int) -> None:
        key = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
        if lib.ghostty_terminal_set(self._handle, key, ffi.new(kind + "*", value)):
            raise LoopsyError("the terminal emulator refuses its limits")

    def _let_go_of_the_endless(self) -> None:
        """End a sequence that is too long to be carried, and skip the rest of it from now on.

        The emulator cannot be copied in the middle of one.
        """
        if self._terminal.get("vt_ground", "bool"):
            return
        size = ffi.new("size_t*")
        result = lib.ghostty_terminal_continuation_buf(self._handle, ffi.NULL, 0, size)
        if result in (lib.GHOSTTY_SUCCESS, lib.GHOSTTY_OUT_OF_SPACE):
            return
        self._terminal.feed(b"\x07")  # the end of an operating system command only
        self._skipping = _OSC
        if not self._terminal.get("vt_ground", "bool"):
            self._terminal.feed(b"\x18")
            self._skipping = _STRING

    def _skip(self, data: bytes) -> bytes:
        ends = _END_OF_OSC if self._skipping == _OSC else _END_OF_STRING
        at = min(
            (i for i in map(data.find, (ends[n : n + 1] for n in range(len(ends)))) if i >= 0),
            default=len(data),
        )
        if at < len(data):
            self._skipping = b""
            if data[at] != 0x1B:
                at += 1
        return data[at:]


class _Collector:
    """Takes the pieces of a copy until everything visible is in it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ready = False
        self._next = _ENVELOPE

    def take(self, piece: bytes) -> bool:
        self.data += piece
        while len(self.data) >= self._next + _RECORD.size:
            tag, size, _ = _RECORD.unpack_from(self.data, self._next)
            if tag == _READY:
                self.ready = True
                return False
            self._next += _RECORD.size + size
        return True


@ffi.callback("bool(void*, const uint8_t*, size_t)")  # type: ignore[untyped-decorator]
def _collect(handle: object, data: object, size: int) -> bool:
    collector: _Collector = ffi.from_handle(handle)
    return collector.take(bytes(ffi.buffer(data, size)))
