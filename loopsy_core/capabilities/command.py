"""What a job is to run: found and checked before anything is started."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from loopsy_core.kit import check_words, find_directory, find_executable

if TYPE_CHECKING:
    from loopsy_core.wire import RunJob

__all__ = ["Command", "find_command"]


@attrs.frozen
class Command:
    """A program with its arguments, directory and environment."""

    program: str
    """Where the program is."""
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = attrs.field(repr=False)


def find_command(
    request: RunJob, surroundings: Mapping[str, str], marks: Mapping[str, str]
) -> Command:
    """Return what `request` asks to run in an environment that is laid over `surroundings`.

    Whatever it asks for, it also gets `marks`.

    Raises `BadRequest` when the directory is not there, the program is not found or may not be
    run, or a value holds a NUL byte.
    """
    home = surroundings.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    check_words(request.argv, request.env)
    directory = find_directory(request.cwd, home)
    env = {**surroundings, "HOME": home, **request.env, "PWD": directory, **marks}
    program = find_executable(request.argv[0], directory, env)
    return Command(program, tuple(request.argv), directory, env)
