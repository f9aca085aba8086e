"""How things look: tables, ages, QR codes and JSON, on a terminal and in a pipe."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import segno

__all__ = [
    "age",
    "clean",
    "dim",
    "ending",
    "fit",
    "flush",
    "note",
    "print_json",
    "qr_code",
    "say",
    "show_qr",
    "size",
    "span",
    "table",
    "width_of",
    "write",
]

GAP: Final = "  "
NARROWEST: Final = 8
"""Columns that the last column of a table keeps on the narrowest terminal."""

_QUIET_ZONE: Final = 2
"""Modules around a QR. ISO/IEC 18004 asks for 4; phones are content with less, terminals narrow."""
_DARK_ON_LIGHT: Final = "\x1b[38;5;16;48;5;231m"
_RESET: Final = "\x1b[0m"


def say(text: str = "") -> None:
    """Print a line of what was asked for."""
    print(text)


def note(text: str) -> None:
    """Print a line about how it went, where it does not get into the data."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def write(data: bytes) -> None:
    """Print bytes as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def flush() -> None:
    """Let what was printed be seen now, also in a pipe."""
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Print `value` as one JSON document, in one line, in UTF-8 whatever the locale says."""
    import msgspec

    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def clean(text: str) -> str:
    """Return `text` with everything escaped that does more than to be seen.

    For all that comes from elsewhere: names, titles, commands, messages.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def colourful() -> bool:
    """Whether standard output is a terminal whose user has nothing against colours."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def dim(text: str) -> str:
    """Return `text` so that it stands back behind the rest."""
    return f"\x1b[2m{text}{_RESET}" if colourful() else text


def age(then: float, now: float | None = None) -> str:
    """Return how long ago `then` (seconds since 1970) is, in one unit: `12s`, `5m`, `3h`, `9d`."""
    return span((time.time() if now is None else now) - then)


def span(seconds: float) -> str:
    """Return a length of time in one unit, rounded down."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it: `512`, `1.5K`, `20M`; a K is 1024."""
    amount = float(count)
    for unit in ("", "K", "M", "G", "T"):
        if amount < 999.5 or unit == "T":
            break
        amount /= 1024
    return f"{amount:.1f}{unit}" if unit and amount < 9.95 else f"{amount:.0f}{unit}"


def ending(exit_code: int | None) -> str:
    """Return how a program ended: `exit status 3`, `signal 9 (SIGKILL)`."""
    if exit_code is None:
        return "unknown exit status"
    if exit_code >= 0:
        return f"exit status {exit_code}"
    from signal import Signals

    try:
        return f"signal {-exit_code} ({Signals(-exit_code).name})"
    except ValueError:
        return f"signal {-exit_code}"


def width_of(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, width: int) -> str:
    """Return `text` cut to at most `width` columns; an ellipsis says that something is missing."""
    if width_of(text) <= width:
        return text
    kept = ""
    used = 1
    for char in text:
        used += width_of(char)
        if used > width:
            break
        kept += char
    return kept + "…"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], faint: Sequence[bool] = ()) -> None:
    """Print aligned columns; on a terminal no line is wider than it.

    The last column gives way first, and the first one if that is not enough. `faint` names the
    rows that stand back.
    """
    lines = [list(titles), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(map(width_of, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        most = shutil.get_terminal_size().columns
        over = sum(widths) + len(GAP) * (len(widths) - 1) - most
        for column in (len(widths) - 1, 0):
            given = min(max(0, over), max(0, widths[column] - NARROWEST))
            widths[column] -= given
            over -= given
    for number, line in enumerate(lines):
        cells = [fit(cell, width) for cell, width in zip(line, widths, strict=True)]
        padded = [
            cell + " " * (width - width_of(cell)) for cell, width in zip(cells, widths, strict=True)
        ]
        text = GAP.join(padded).rstrip()
        stands_back = number == 0 or (number <= len(faint) and faint[number - 1])
        say(dim(text) if stands_back else text)


def qr_code(text: str) -> segno.QRCode:
    """Return the QR of `text`, as small as it gets: a screen is not scratched or folded."""
    import segno

    return segno.make_qr(text, error="l", boost_error=False)


def show_qr(qr: segno.QRCode) -> bool:
    """Print a QR, two modules in one character; False when this output cannot show it.

    With colours it is black on white whatever the terminal's are. Without, the light modules are
    drawn, as on the dark background that most terminals have.
    """
    rows = [[bool(module) for module in row] for row in qr.matrix_iter(border=_QUIET_ZONE)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    coloured = colourful()
    drawn = " ▄▀█" if coloured else "█▀▄ "
    try:
        drawn.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    if sys.stdout.isatty() and len(rows[0]) > shutil.get_terminal_size().columns:
        return False
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        line = "".join(drawn[2 * top + bottom] for top, bottom in zip(upper, lower, strict=True))
        say(f"{_DARK_ON_LIGHT}{line}{_RESET}" if coloured else line)
    return True
