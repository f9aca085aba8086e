"""A word to this machine's user on the desktop, where there is one."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from typing import Final

__all__ = ["notify"]

LONGEST: Final = 200
_MACOS: Final = 'on run argv\ndisplay notification (item 1 of argv) with title "Loopsy"\nend run'


def notify(text: str) -> None:
    """Show `text` as a desktop notification; nothing happens where there is no desktop.

    `text` may hold what strangers call themselves: it is shown as it stands, and is never an
    option or markup. Never waits: the program that shows it is nobody's child, and ends by itself.
    """
    command = _command("".join(c for c in text if c.isprintable()).lstrip(" -")[:LONGEST])
    if command is None:
        return
    # Through a shell that leaves at once, so that there is nothing to wait for afterwards.
    words = ["/bin/sh", "-c", '"$@" >/dev/null 2>&1 </dev/null &', "sh", *command]
    with suppress(OSError):
        os.waitpid(os.posix_spawn(words[0], words, os.environ), 0)


def _command(text: str) -> list[str] | None:
    # `text` begins with no hyphen: "-e..." would be one more piece of program to osascript.
    if sys.platform == "darwin":
        return ["osascript", "-e", _MACOS, text] if shutil.which("osascript") else None
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    if not shutil.which("notify-send"):
        return None
    return ["notify-send", "--app-name=Loopsy", "--", "Loopsy", _escaped(text)]


def _escaped(text: str) -> str:
    """Return `text` for a notification's body, which is markup (freedesktop.org, section 4)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
