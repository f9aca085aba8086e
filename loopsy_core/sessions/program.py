"""What a session is to run: found and checked before anything is started."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from loopsy_core.kit import brief, check_words, clip, find_directory, find_executable

from .agents import without_guards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Program", "find_program"]


class Program:
    """What to run, where, and in which environment; checked before anything is started."""

    def __init__(self, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
        """Take a checked command; `find_program` makes these."""
        self.argv = list(argv)
        self.cwd = cwd
        self.env = dict(env)

    @property
    def brief_argv(self) -> list[str]:
        """The command's beginning, as far as a list has room for it."""
        return brief(self.argv)

    @property
    def brief_cwd(self) -> str:
        """The directory's beginning."""
        return clip(self.cwd)

    @property
    def name(self) -> str:
        """The command's short name."""
        return Path(self.argv[0]).name


def find_program(argv: Sequence[str] | None, cwd: str | None, extra: Mapping[str, str]) -> Program:
    """Return the program to start; without `argv` the user's login shell.

    Raises `BadRequest` when the directory is not there, the program is not found or may not be
    run, or a value holds a NUL byte.
    """
    user = pwd.getpwuid(os.getuid())
    home = os.environ.get("HOME") or user.pw_dir
    env = without_guards(os.environ)
    env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": home}
    if not any(env.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        env["LANG"] = "C.UTF-8"
    env |= without_guards(extra)
    directory = find_directory(cwd, home)
    env["PWD"] = directory
    if argv is None:
        argv = [env.get("SHELL") or user.pw_shell or "/bin/sh", "-l"]
    check_words(argv, extra)
    return Program([find_executable(argv[0], directory, env), *argv[1:]], directory, env)
