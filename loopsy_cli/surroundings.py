"""Where a new session is started, and the environment of this terminal that it gets."""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["folder", "surroundings"]

MOST_BYTES: Final = 512 * 1024
"""Of the whole environment; a request is one message of at most 1 MiB."""
MOST_NAME: Final = 4096
MOST_VALUE: Final = 131_072

# What belongs to this terminal, this process or another multiplexer, and would mislead a
# program that runs elsewhere.
_NOT_PASSED: Final = re.compile(
    r"TERM|TERM_.*|TERMCAP|TERMINFO.*|COLORTERM|COLUMNS|LINES|WINDOWID|STY|TMUX.*|SHLVL|_|PWD|OLDPWD"
    r"|(KITTY|ALACRITTY|WEZTERM|ITERM|KONSOLE|GHOSTTY|VTE|WT|GNOME_TERMINAL|ZELLIJ)_.*"
    r"|LOOPSY_(SESSION|REGISTRATION_SECRET|TRACEBACK)|LC_TERMINAL.*"
)


def folder(wanted: str | None) -> str | None:
    """Return the absolute path of `wanted`, by default of the folder we are in.

    None when that has been removed: the session then starts in the home directory.
    """
    if wanted is not None and wanted.startswith("~"):
        return wanted  # the host knows it too
    try:
        here = os.getcwd()
        here.encode()
    except (OSError, UnicodeEncodeError):
        return wanted
    return os.path.normpath(os.path.join(here, wanted or ""))


def surroundings() -> dict[str, str]:
    """Return this process's environment, as far as a session elsewhere has use for it.

    With it a session finds the programs, agents and sockets that it would find here, which the
    daemon, maybe started at login, does not know of.
    """
    chosen: dict[str, str] = {}
    left = MOST_BYTES
    for name, value in os.environ.items():
        try:
            size = len(name.encode()) + len(value.encode())
        except UnicodeEncodeError:
            continue  # the protocol carries text only
        fits = len(name) <= MOST_NAME and len(value) <= MOST_VALUE and size <= left
        if fits and not _NOT_PASSED.fullmatch(name):
            chosen[name] = value
            left -= size
    return chosen
