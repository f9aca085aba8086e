"""The part of a session's screen that a terminal of another size shows.

Where the terminal is larger, the screen lies in its upper left corner within a border; where it
is smaller, it shows a part, which follows the cursor or goes where the user pans it. Sans-io:
output of the session in, what to write to the terminal out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .emulated import Emulated
from .mouse import Spot, translate
from .rows import BLANK
from .show import fit, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .emulated import Setting
    from .rows import Cell

__all__ = ["Window"]

_BEGIN, _END = b"\x1b[?2026h", b"\x1b[?2026l"
# No wrapping: where our terminal takes a letter for wider than the emulator does, its row only
# may suffer; but without it accents in the last column would go to the letter before. No origin
# mode and no insert mode either.
_WRAP, _NO_WRAP = b"\x1b[?7h", b"\x1b[?7l"
_PREPARE: Final = b"\x1b[?6l\x1b[4l" + _NO_WRAP
_PLAIN, _ERASE_ROW = b"\x1b[m", b"\x1b[K"
_HIDE, _SHOW = b"\x1b[?25l", b"\x1b[?25h"
_BORDER: Final = b"\x1b[0;2m"
_COVER: Final = b"\x1b[0;7m"
_BELL: Final = b"\x07"


class Window:
    """What a terminal shows of one session's screen; `draw` tells what has changed."""

    def __init__(self, screen: tuple[int, int], terminal: tuple[int, int]) -> None:
        """Show an empty screen of size `screen` on a terminal of size `terminal`, in cells."""
        self._emulated = Emulated(*screen)
        self._terminal = terminal
        self._left, self._top = 0, 0
        self._follows = True
        self._cover: Sequence[str] = ()
        self._bells = 0
        self.forget()

    def forget(self) -> None:
        """Take nothing on the terminal for granted; what it was set to is set again."""
        self._shown: dict[int, bytes] = {}  # what is in each row of the terminal
        self._set: dict[str, Setting] = {}  # and what it is set to
        self._cursor_shown: bytes | None = None
        self._prepared = False

    # What happens.

    def begin(self, cols: int, rows: int) -> None:
        """Take the screen for empty, and of this size: a picture of it follows."""
        self._emulated.close()
        self._emulated = Emulated(cols, rows)
        self._bells = 0

    def feed(self, data: bytes) -> None:
        """Take in output of the session."""
        self._emulated.feed(data)

    def resize(self, cols: int, rows: int) -> None:
        """Follow the screen to another size; it comes at its place in the output."""
        self._emulated.resize(cols, rows)

    def fit(self, cols: int, rows: int) -> None:
        """Show it on a terminal that has this size now."""
        self._terminal = (cols, rows)
        self.forget()

    def pan(self, columns: int, rows: int) -> None:
        """Move by so many halves of what is visible, and stay there until `follow`."""
        width, height = self._visible
        self._follows = False
        self._left += columns * max(1, width // 2)
        self._top += rows * max(1, height // 2)

    def follow(self) -> None:
        """Follow the cursor again."""
        self._follows = True

    def cover(self, lines: Sequence[str]) -> None:
        """Lay lines of text over the bottom of the terminal, none to take them away."""
        self._cover = lines

    def typed(self, data: bytes) -> bytes:
        """Return what the session should get when `data` is typed: the mouse points elsewhere."""
        return translate(data, self._locate, self._emulated.mode)

    def close(self) -> None:
        """Free what it needs."""
        self._emulated.close()

    # What is known.

    @property
    def size(self) -> tuple[int, int]:
        """The size of the session's screen."""
        return self._emulated.size

    @property
    def unready(self) -> bool:
        """Whether the program asks to wait with showing until it is through."""
        return self._emulated.unready

    @property
    def pannable(self) -> bool:
        """Whether there is more than is visible."""
        return self._visible != self.size

    @property
    def _visible(self) -> tuple[int, int]:
        """How many columns and rows of the screen the terminal has room for."""
        (cols, rows), (width, height) = self.size, self._terminal
        return min(cols, width), min(rows, height)

    # Drawing.

    def draw(self) -> bytes:
        """Return what brings the terminal up to date, nothing if it is."""
        changed = self._emulated.rows.update()
        moved = self._place()
        parts = [*self._prepare(), *self._settings()]
        first = not self._shown
        rows = self._draw_rows(None if moved or first else changed)
        cursor = self._draw_cursor()
        if rows:
            parts += [_HIDE, *rows, _PLAIN]
        if rows or cursor != self._cursor_shown:
            parts.append(cursor)
            self._cursor_shown = cursor
        if self._bells != self._emulated.bells:
            self._bells = self._emulated.bells
            parts.append(_BELL)
        return _BEGIN + b"".join(parts) + _END if parts else b""

    def leave(self) -> bytes:
        """Return what leaves the screen alone on the terminal, the cursor in its place."""
        self._cover = ()
        drawn = self.draw()
        width, height = self._visible
        beside = [
            b"\x1b[%d;%dH\x1b[K" % (y + 1, width + 1)
            for y in range(height)
            if width < self._terminal[0]
        ]
        below = b"\x1b[%d;1H\x1b[J" % (height + 1) if height < self._terminal[1] else b""
        return drawn + b"".join((_PLAIN, *beside, below, self._draw_cursor()))

    def _place(self) -> bool:
        """Choose the part to show; return whether it is another than before."""
        before = self._left, self._top
        (cols, rows), (width, height) = self.size, self._visible
        cursor = self._emulated.rows.cursor
        # Programs that hide the cursor leave it anywhere, but where output scrolls it is below.
        if self._follows and cursor.visible:
            self._left = _keep_in_view(self._left, width, cursor.x)
        if self._follows and (cursor.visible or not self._emulated.alternate):
            self._top = _keep_in_view(self._top, height, cursor.y)
        self._left = max(0, min(self._left, cols - width))
        self._top = max(0, min(self._top, rows - height))
        return before != (self._left, self._top)

    def _prepare(self) -> list[bytes]:
        if self._prepared:
            return []
        self._prepared = True
        return [_PREPARE]

    def _settings(self) -> list[bytes]:
        """Return what brings the terminal's settings in step with the session's."""
        parts: list[bytes] = []
        wanted = {setting.name: setting for setting in self._emulated.settings()}
        gone = [name for name in self._set if name not in wanted]
        parts += [self._set.pop(name).undoes for name in gone]
        for name, setting in wanted.items():
            if self._set.get(name) == setting:
                continue
            if name == "alternate":
                # The other screen has other rows, and flags of the keyboard of its own.
                self._shown.clear()
                self._set.pop("kitty", None)
            self._set[name] = setting
            parts.append(setting.sets)
        return parts

    def _draw_rows(self, changed: list[int] | None) -> list[bytes]:
        height = self._visible[1]
        if changed is None:
            which = list(range(self._terminal[1]))
        else:
            covered = range(self._terminal[1] - len(self._cover), self._terminal[1])
            which = [y - self._top for y in changed if self._top <= y < self._top + height]
            # A cover may have come or gone.
            which += [y for y in self._uncertain() if y not in which]
            which += [y for y in covered if y >= 0 and y not in which]
        parts: list[bytes] = []
        for y in which:
            row = self._draw_row(y)
            if self._shown.get(y) != row:
                self._shown[y] = row
                parts.append(b"\x1b[%d;1H" % (y + 1) + row)
        return parts

    def _uncertain(self) -> list[int]:
        """Return the rows that a cover lies over, and should not any more."""
        kept = self._terminal[1] - len(self._cover)
        return [y for y, row in self._shown.items() if row.startswith(_COVER) and y < kept]

    def _draw_row(self, y: int) -> bytes:
        width, height = self._visible
        # To erase what is beyond the last column would erase that column.
        beyond = _PLAIN + _ERASE_ROW if width + 1 < self._terminal[0] else b""
        line = y - self._terminal[1] + len(self._cover)
        if line >= 0:
            text = fit(f" {self._cover[line]} ", self._terminal[0])
            text += " " * (self._terminal[0] - width_of(text))
            return _COVER + text.encode()
        if y < height:
            content = _draw_cells(self._emulated.rows[y + self._top], self._left, width)
            if width == self._terminal[0]:
                return content
            border = b"\x1b[%dG" % (width + 1) + _BORDER + "│".encode()
            return content + border + beyond
        if y == height:
            corner = "┘".encode() if width < self._terminal[0] else b""
            return _BORDER + "─".encode() * width + corner + beyond
        return _PLAIN + _ERASE_ROW

    def _draw_cursor(self) -> bytes:
        cursor = self._emulated.rows.cursor
        width, height = self._visible
        x, y = cursor.x - self._left, cursor.y - self._top
        covered = y >= self._terminal[1] - len(self._cover)
        place = b"\x1b[%d;%dH" % (max(0, min(y, height - 1)) + 1, max(0, min(x, width - 1)) + 1)
        if not cursor.visible or covered or not (0 <= x < width and 0 <= y < height):
            return place + _HIDE
        return place + b"\x1b[%d q" % cursor.shape + _SHOW

    def _locate(self, column: int, row: int) -> Spot:
        """Return what of the screen lies at a cell of our terminal."""
        width, height = self._visible
        inside = 0 <= column < width and 0 <= row < height - self._covered_rows
        x, y = max(0, min(column, width - 1)), max(0, min(row, height - 1))
        return Spot(x + self._left, y + self._top, inside)

    @property
    def _covered_rows(self) -> int:
        """How many rows of the visible part lie under the cover."""
        return max(0, self._visible[1] - self._terminal[1] + len(self._cover))


def _keep_in_view(first: int, length: int, at: int) -> int:
    """Return where a view of `length` should begin so that `at` is in it, moving far if at all."""
    return first if first <= at < first + length else at - length // 2


def _draw_cells(row: list[Cell], left: int, width: int) -> bytes:
    """Return the part of a row from `left` on, in the columns 0 to `width` of a terminal."""
    cells = row[left : left + width]
    if cells and not cells[0].text:
        cells[0] = BLANK  # the second half of a letter that begins further left
    if cells and cells[-1].wide:
        cells[-1] = cells[-1]._replace(text=" ", wide=False)
    end = len(cells)
    while end and cells[end - 1] == BLANK:
        end -= 1
    parts: list[bytes] = [_PLAIN]
    pen, link = b"", b""
    for x, cell in enumerate(cells[:end]):
        if not cell.text:
            continue
        if cell.link != link:
            link = cell.link
            parts.append(b"\x1b]8;;" + link + b"\x1b\\")
        if cell.pen != pen:
            pen = cell.pen
            parts.append(b"\x1b[0" + pen + b"m")
        composed = len(cell.text) > 1
        parts.append(_WRAP + cell.text.encode() + _NO_WRAP if composed else cell.text.encode())
        if cell.wide or composed:
            # Terminals do not agree on how wide these are.
            parts.append(b"\x1b[%dG" % (x + 1 + (2 if cell.wide else 1)))
    if link:
        parts.append(b"\x1b]8;;\x1b\\")
    if end < len(cells):
        parts.append(_PLAIN + _ERASE_ROW)
    return b"".join(parts)
