"""Keys by name, as what a terminal sends for them."""

from __future__ import annotations

import re
from typing import Final

from loopsy_core.errors import BadRequest

__all__ = ["bytes_of"]

_NAMED: Final = {
    "enter": "\r",
    "cr": "\r",
    "return": "\r",
    "esc": "\x1b",
    "escape": "\x1b",
    "tab": "\t",
    "s-tab": "\x1b[Z",
    "space": " ",
    "backspace": "\x7f",
    "bs": "\x7f",
    "delete": "\x1b[3~",
    "del": "\x1b[3~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "insert": "\x1b[2~",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "lt": "<",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "f6": "\x1b[17~",
    "f7": "\x1b[18~",
    "f8": "\x1b[19~",
    "f9": "\x1b[20~",
    "f10": "\x1b[21~",
    "f11": "\x1b[23~",
    "f12": "\x1b[24~",
}
_KEY: Final = re.compile(r"<([^<>\s]{1,16})>")


def bytes_of(keys: str) -> bytes:
    """Return what is typed for `keys`: text, in which `<Enter>`, `<C-c>`, `<A-x>` are keys.

    Raises `BadRequest` for the name of a key that there is not; `<lt>` is the character.
    """
    return _KEY.sub(lambda found: _key(found[1]), keys).encode()


def _key(name: str) -> str:
    lower = name.lower()
    if lower in _NAMED:
        return _NAMED[lower]
    if lower.startswith("c-") and len(lower) == 3 and "@" <= lower[2].upper() <= "_":
        return chr(ord(lower[2].upper()) - 64)
    if lower in ("c-space", "c-?"):
        return "\0" if lower == "c-space" else "\x7f"
    if lower[:2] in ("a-", "m-") and len(name) > 2:
        return "\x1b" + (name[2] if len(name) == 3 else _key(name[2:]))
    raise BadRequest(
        f"there is no key <{name}>. There are <C-c> (Ctrl), <A-x> (Alt), <lt> for the character <,"
        f" and {', '.join(f'<{known}>' for known in ('Enter', 'Esc', 'Tab', 'S-Tab', 'Space'))},"
        " <Backspace>, <Delete>, <Up>, <Down>, <Left>, <Right>, <Home>, <End>, <PageUp>,"
        " <PageDown>, <F1> to <F12>. Or give what is no key as `text`"
    )
