"""What a session is to run: found and checked before anything is started."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest

from .agents import without_guards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Program", "find_program"]

LONGEST_SHOWN: Final = 256
"""Characters of a command, or of its directory, in a list: it has to fit one message."""


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
        return _brief(self.argv)

    @property
    def brief_cwd(self) -> str:
        """The directory's beginning."""
        return self.cwd[:LONGEST_SHOWN]

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
    directory = _directory(cwd, home)
    env["PWD"] = directory
    if argv is None:
        argv = [env.get("SHELL") or user.pw_shell or "/bin/sh", "-l"]
    for text in (*argv, *env, *env.values()):
        if "\0" in text:
            raise BadRequest("a command and its environment cannot hold a NUL character")
    if any(not name or "=" in name for name in extra):
        raise BadRequest("the name of an environment variable is not empty and holds no '='")
    return Program([_executable(argv[0], directory, env), *argv[1:]], directory, env)


def _directory(cwd: str | None, home: str) -> str:
    if cwd is None:
        return home if Path(home).is_dir() else "/"
    if "\0" in cwd:
        raise BadRequest("a directory's name cannot hold a NUL character")
    path = Path(home, cwd[2:]) if cwd.startswith("~/") else Path(home if cwd == "~" else cwd)
    if not path.is_absolute():
        path = Path(home, path)
    try:
        if not path.is_dir():
            what = "is no directory" if path.exists() else "is not there"
            raise BadRequest(f"the directory {path} {what}")
    except OSError as error:
        raise BadRequest(f"the directory {path} cannot be used: {error.strerror}") from None
    if not os.access(path, os.X_OK):
        raise BadRequest(f"the directory {path} may not be entered")
    return str(path)


def _executable(name: str, cwd: str, env: Mapping[str, str]) -> str:
    if not name:
        raise BadRequest("the command is empty")
    path = str(Path(cwd, name)) if "/" in name else name
    found = shutil.which(path, path=env.get("PATH", os.defpath))
    if found is None:
        exists = "/" in name and Path(path).exists()
        why = "may not be executed" if exists else "is not to be found"
        raise BadRequest(f"the program {name!r} {why} on this machine")
    return found if Path(found).is_absolute() else str(Path(cwd, found))


def _brief(argv: list[str]) -> list[str]:
    """Return a command's beginning, as far as a list has room for it."""
    shown: list[str] = []
    left = LONGEST_SHOWN
    for part in argv:
        if len(part) >= left:
            return [*shown, part[: left - 1] + "…"]
        shown.append(part)
        left -= len(part) + 1
    return shown
