"""Finding a program and the directory for it to run in, and saying why it cannot be started."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest, Busy, LoopsyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "brief",
    "cannot_start",
    "check_words",
    "clip",
    "find_directory",
    "find_executable",
    "in_words",
]

LONGEST_SHOWN: Final = 256
"""Characters of a command, or of its directory, in a list: it has to fit one message."""

_LATER: Final = frozenset(
    (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EIO)
)
"""Failures that have to do with the machine as it is now, and not with what was asked for."""


def check_words(argv: Iterable[str], env: Mapping[str, str]) -> None:
    """Raise `BadRequest` for what no command line or environment can hold."""
    for text in (*argv, *env, *env.values()):
        if "\0" in text:
            raise BadRequest("a command and its environment cannot hold a NUL character")
    if any(not name or "=" in name for name in env):
        raise BadRequest("the name of an environment variable is not empty and holds no '='")


def find_directory(cwd: str | None, home: str) -> str:
    """Return the absolute path of `cwd`, which may begin with `~`; None means `home`.

    Raises `BadRequest` when it is not there or may not be entered.
    """
    if cwd is None:
        return home if Path(home).is_dir() else "/"
    if "\0" in cwd:
        raise BadRequest("a directory's name cannot hold a NUL character")
    path = Path(home, cwd[2:]) if cwd.startswith("~/") else Path(home if cwd == "~" else cwd)
    if not path.is_absolute():
        path = Path(home, path)
    shown = in_words(str(path))
    try:
        if not path.is_dir():
            what = "is no directory" if path.exists() else "is not there"
            raise BadRequest(f"the directory {shown} {what}")
    except OSError as error:
        raise BadRequest(f"the directory {shown} cannot be used: {error.strerror}") from None
    if not os.access(path, os.X_OK):
        raise BadRequest(f"the directory {shown} may not be entered")
    return str(path)


def find_executable(name: str, cwd: str, env: Mapping[str, str]) -> str:
    """Return the absolute path of the program that `name` means in `cwd` with `env`.

    Raises `BadRequest` when there is none, or it may not be run.
    """
    if not name:
        raise BadRequest("the command is empty")
    path = str(Path(cwd, name)) if "/" in name else name
    found = shutil.which(path, path=env.get("PATH", os.defpath))
    if found is None:
        # Unlike `Path.exists`, it takes a name that is too long for one that is not there.
        exists = "/" in name and os.path.exists(path)
        why = "may not be executed" if exists else "is not to be found"
        raise BadRequest(f"the program {name[:LONGEST_SHOWN]!r} {why} on the machine")
    return found if Path(found).is_absolute() else str(Path(cwd, found))


def cannot_start(program: str, error: OSError) -> LoopsyError:
    """Return the error that says why the program at this path could not be started.

    It is `Busy` when the machine may have room for another process later, else `BadRequest`.
    """
    hint = ""
    if error.errno == errno.ENOEXEC:
        hint = "; a script begins with #! and what runs it"
    elif error.errno == errno.ENOENT and Path(program).exists():
        hint = "; its first line names what would run it"
    elif error.errno == errno.ETXTBSY:
        hint = ": it is being written"
    kind = Busy if error.errno in _LATER else BadRequest
    shown = in_words(Path(program).name)
    return kind(f"{shown} cannot be started: {error.strerror or error}{hint}")


def brief(argv: Iterable[str]) -> list[str]:
    """Return a command's beginning, as far as a list has room for it."""
    shown: list[str] = []
    left = LONGEST_SHOWN
    for part in argv:
        if len(part) >= left:
            return [*shown, part[: left - 1] + "…"]
        shown.append(part)
        left -= len(part) + 1
    return shown


def clip(path: str) -> str:
    """Return the beginning of a path as text that can be sent, also when it is not UTF-8."""
    return path[:LONGEST_SHOWN].encode(errors="backslashreplace").decode()


def in_words(path: str) -> str:
    """Return a path as a sentence may hold it: not too long, and moving nobody's cursor."""
    shown = path if len(path) <= LONGEST_SHOWN else path[: LONGEST_SHOWN - 1] + "…"
    return shown if shown.isprintable() else repr(shown)
