"""A picture: terminal output that, written to a fresh terminal of the same size, makes it the same.

First what is not seen (colours, saved modes), then the screen that does not show, then the one that
does, then what both share, and at last what the parser was in the middle of. Sequences that a
terminal may not know (margins at the sides, a status line) stand only where a program used them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyghostty import ffi

from .again import open_link, repeat_letter
from .content import draw_content
from .cursor import TAB_EVERY, USUAL_SHAPE, place_cursor, save_cursor, shape_cursor
from .modes import mode_bit, mode_bytes, mouse_bytes, saved_mode_bytes
from .pen import protection, reset_pen, single_shift
from .prompts import OUTPUT, go_on, mark_prompts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .easy import Formatted
    from .snapshot import Fixed, Side, Snapshot

__all__ = ["clean_title", "draw_picture", "encoded"]

MAX_TITLE: Final = 256
_USUAL_POINTER: Final = 8
_POINTER: Final = "GHOSTTY_MOUSE_SHAPE_"
_ALTERNATES: Final = ("?1049", "?1047", "?47")
"""The modes that show the alternate screen, as they are set again: the first also saves the cursor,
of the screen that shows before."""
_LEAVING: Final = ("?47", "?1049", "?1047")
"""The same, as they are reset: the last clears the screen that it leaves."""
# Set by hand, each in its place.
_BY_HAND: Final = sum(
    mode_bit(mode)
    for mode in (
        *("4", "?3", "?6", "?7", "?9", "?40", "?69", "?1048", "?2027", *_ALTERNATES),
        *("?1000", "?1002", "?1003", "?1005", "?1006", "?1015", "?1016"),
    )
)


def draw_picture(
    snapshot: Snapshot,
    size: tuple[int, int],
    *,
    formatted: Formatted | None = None,
    behind: bytes | None = None,
) -> bytes:
    """Draw a snapshot for a fresh terminal of `size` (columns, rows).

    `formatted` draws rows as the emulator does itself. `behind` is what `draw_content` has returned
    for the screen that does not show, if it is known. Raises one of UNREADABLE.
    """
    fixed = snapshot.fixed
    here, other = snapshot.sides
    out: list[str | bytes] = [_unseen(snapshot, size)]
    modes = [mode for mode in _ALTERNATES if fixed.modes & mode_bit(mode)]
    if fixed.active and other:
        said = go_on(other)
        shape = shape_cursor(other, fixed, usual=False) * (other.shape != USUAL_SHAPE)
        out += [*_side(other, fixed, behind), shape * (not _keeps_shape(snapshot))]
        out += [said, _enter(modes, other), OUTPUT if said else ""]
    elif other and (modes or _is_used(other)):
        leaving = next(mode for mode in _LEAVING if mode not in modes[:2])
        # Its pen is what it will be cleared with when it is shown next; its cursor's row is kept
        # when rows are taken away.
        at = f"\x1b[{other.cursor.y + 1};{other.cursor.x + 1}H"
        left = f"{at}{other.cursor.look.sgr}\x1b[{leaving}l\x1b[m\x1b[H"
        out += [_set(modes or ["?47"]), *_side(other, fixed, behind), left]
    drawn = draw_content(here.pages, fixed.rows, formatted)
    out += [*_side(here, fixed, drawn), open_link(snapshot, here), repeat_letter(snapshot, here)]
    out.append(_shared(snapshot))
    out.append(snapshot.unfinished)
    return b"".join(part if isinstance(part, bytes) else encoded(part) for part in out)


def encoded(output: str) -> bytes:
    """Return output as bytes; those of links and the like that are no UTF-8 are as they were."""
    return output.encode("utf-8", "surrogateescape")


def clean_title(title: bytes) -> str:
    """Return a title without control characters, and cut."""
    return "".join(c for c in title.decode("utf-8", "replace") if c.isprintable())[:MAX_TITLE]


def _unseen(snapshot: Snapshot, size: tuple[int, int]) -> str:
    fixed = snapshot.fixed
    out = [saved_mode_bytes(fixed), _columns(fixed, size)]
    for number, (red, green, blue) in snapshot.colours.items():
        out.append(f"\x1b]{number};rgb:{red:02x}/{green:02x}/{blue:02x}\x1b\\")
    if title := clean_title(snapshot.title):
        out.append(f"\x1b]0;{title}\x1b\\")
    if snapshot.pwd:
        out.append(f"\x1b]7;{snapshot.pwd.decode('utf-8', 'surrogateescape')}\x1b\\")
    if fixed.pointer != _USUAL_POINTER:
        name: str = ffi.typeof("GhosttyMouseShape").elements[fixed.pointer]
        out.append(f"\x1b]22;{name.removeprefix(_POINTER).lower().replace('_', '-')}\x1b\\")
    if not any(side and side.saved for side in snapshot.sides):
        out.append(_saving(fixed))
    if _keeps_shape(snapshot):
        chosen, usual = (
            shape_cursor(snapshot.primary, fixed, usual=each) for each in (False, True)
        )
        out.append(f"{chosen}\x1b[?47h{usual}\x1b[?1049l\x1b[?47l")
    return "".join(out)


def _columns(fixed: Fixed, size: tuple[int, int]) -> str:
    """Return what sets the width that the program chose (DECCOLM), if it did."""
    allowed = bool(fixed.modes & mode_bit("?40"))
    if fixed.cols == size[0] or fixed.cols not in (80, 132):
        return "\x1b[?40h" if allowed else ""
    return f"\x1b[?40h\x1b[?3{'h' if fixed.cols == 132 else 'l'}" + "\x1b[?40l" * (not allowed)


def _enter(modes: list[str], primary: Side) -> str:
    """Return what shows the alternate screen, from the primary one as it has been drawn."""
    saved, cursor = primary.saved, primary.cursor
    place = f"\x1b[{cursor.y + 1};{cursor.x + 1}H"
    if "?1049" not in modes:
        # Where leaving does not restore the cursor, some terminals keep it where it was.
        return place + _set(modes or ["?47"]) + "\x1b[H"
    if saved is None:
        # It was set when the alternate screen showed already, and saved the cursor of that.
        return place + _set(reversed(modes)) + "\x1b[H"
    plain = reset_pen(saved) + "\x1b[?6l" * saved.origin
    if modes[1:] and (cursor.x, cursor.y) != (saved.x, saved.y):
        # It was left and entered again since.
        return f"\x1b8\x1b[?1049h{plain}\x1b[{modes[1]}l{place}{_set(modes[1:])}\x1b[H"
    return f"\x1b8{_set(modes)}{plain}\x1b[H"


def _set(modes: Iterable[str]) -> str:
    return "".join(f"\x1b[{mode}h" for mode in modes)


def _keeps_shape(snapshot: Snapshot) -> bool:
    """Whether the cursor has a shape of its own, though the usual one was chosen since.

    That was on the alternate screen, which takes the cursor over as it is, but need not give it
    back.
    """
    return bool(snapshot.fixed.shape_is_default) and snapshot.sides[0].shape != USUAL_SHAPE


def _side(side: Side, fixed: Fixed, drawn: str | bytes | None) -> list[str | bytes]:
    """Draw a screen, from the top left corner of an empty one, and all that belongs to it alone."""
    before, after = save_cursor(side, fixed.rows)
    drawn = draw_content(side.pages, fixed.rows) if drawn is None else drawn
    if side.saved:
        before = _saving(fixed) + before
    out: list[str | bytes] = [before, drawn, mark_prompts(side, fixed.rows), after]
    out.append(protection(side))
    for number, flags in enumerate(side.keyboard):
        if number or flags:
            out.append(f"\x1b[>{flags}u" if number else f"\x1b[={flags};1u")
    return out


def _saving(fixed: Fixed) -> str:
    """Return what sets the mode that saves the cursor (?1048), if it is set."""
    return mode_bytes(fixed.modes & mode_bit("?1048"), fixed.modes)


def _is_used(side: Side) -> bool:
    """Whether a screen holds anything that would be missed."""
    return (
        side.saved is not None
        or side.protection != 0
        or any(side.keyboard)
        or side.cursor.look.background != ""
        or any(any(page.rows) for page in side.pages)
    )


def _shared(snapshot: Snapshot) -> str:
    fixed, (here, other) = snapshot.fixed, snapshot.sides
    out = []
    if fixed.modes & mode_bit("?69"):
        out.append("\x1b[?69h")
    if (fixed.top, fixed.bottom) != (0, fixed.rows - 1):
        out.append(f"\x1b[{fixed.top + 1};{fixed.bottom + 1}r")
    if (fixed.left, fixed.right) != (0, fixed.cols - 1):
        out.append(f"\x1b[{fixed.left + 1};{fixed.right + 1}s")
    if snapshot.tabs != list(range(TAB_EVERY, fixed.cols, TAB_EVERY)):
        out.append("\x1b[3g" + "".join(f"\x1b[{tab + 1}G\x1bH" for tab in snapshot.tabs))
    # Every change of the shape sets whether the cursor blinks.
    if not fixed.shape_is_default or (
        fixed.active and other and USUAL_SHAPE == here.shape != other.shape
    ):
        out.append(shape_cursor(here, fixed, usual=bool(fixed.shape_is_default)))
    out.append(mode_bytes((fixed.modes ^ fixed.default_modes) & ~_BY_HAND, fixed.modes))
    out.append(mouse_bytes(fixed))
    if fixed.other_keys:
        out.append("\x1b[>4;2m")
    out.append(mode_bytes(fixed.modes & mode_bit("?6"), fixed.modes))
    out.append(place_cursor(snapshot, here))
    out.append(mode_bytes(fixed.modes & mode_bit("4"), fixed.modes))
    out.append(mode_bytes(~fixed.modes & mode_bit("?7"), fixed.modes))
    if fixed.status_line:
        out.append("\x1b[1$}")
    out.append(go_on(here))
    out.append(single_shift(here.cursor))
    return "".join(out)
