"""Which programs are not run as jobs: a guard against accidents, and not against attackers.

It looks through `env`, `sudo`, `xargs`, `sh -c`, `find -exec` and the like, and through symbolic
links, for an agent in good faith often writes `cd build && rm -rf *`. Who means it gets past: by a
script of its own, by any other language, by `$(printf rm)`. What a contact may do is decided by
its grants.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from loopsy_core.errors import Refused

from .script import commands_in, program_name
from .wrappers import run_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Rules", "Tangled", "programs_in"]

MOST_DEPTH: Final = 32
"""Commands inside of one another that are looked into; nobody writes more by accident."""
MOST_SCRIPT: Final = 262_144
"""Characters of scripts that are read for one command, each time that they are met."""
MOST_LINKS: Final = 40
"""Symbolic links in a row, as in Linux."""
MOST_RESOLVED: Final = 64
"""Programs of one command that are looked up on the disk; more of them are known by name only."""

# What a shell does by itself. With an allowlist they are allowed: they start nothing that is not
# looked at as well.
_BUILTINS: Final = frozenset(
    (
        *(":", ".", "[", "[[", "alias", "bg", "break", "builtin", "cd", "command", "continue"),
        *("declare", "echo", "eval", "exec", "exit", "export", "false", "fg", "getopts", "hash"),
        *("jobs", "let", "local", "popd", "printf", "pushd", "pwd", "read", "readonly", "return"),
        *("set", "shift", "shopt", "test", "times", "trap", "true", "type", "typeset", "ulimit"),
        *("umask", "unalias", "unset", "wait"),
    )
)


class Tangled(Exception):
    """There is too much inside of one another to look through."""


def programs_in(argv: Sequence[str]) -> Iterator[str]:
    """Yield each program that `argv` would run, as it is written there, itself first.

    Raises `Tangled`, and nothing else whatever the words are.
    """
    unread = MOST_SCRIPT
    commands = [(argv, 0)]
    while commands:
        words, depth = commands.pop()
        if not words:
            continue
        if depth > MOST_DEPTH:
            raise Tangled
        yield words[0]
        for inside in run_by(words):
            if isinstance(inside, str):
                unread -= len(inside)
                if unread < 0:
                    raise Tangled
                commands += [(each, depth + 1) for each in commands_in(inside)]
            else:
                commands.append((inside, depth + 1))


@attrs.frozen
class Rules:
    """A denylist and an allowlist of names of programs."""

    _denied: frozenset[str]
    _allowed: frozenset[str] | None

    @classmethod
    def make(cls, denylist: Iterable[str], allowlist: Iterable[str] | None) -> Rules:
        """Make rules; without an allowlist everything is allowed that is not denied."""
        allowed = None if allowlist is None else frozenset(allowlist)
        # macOS does not tell RM from rm.
        return cls(frozenset(name.casefold() for name in denylist), allowed)

    def check(self, argv: Sequence[str], path: str, cwd: str) -> None:
        """Raise `Refused` when `argv` would run a program that may not be.

        `path` is where programs are searched (as in PATH), `cwd` what others are relative to.
        """
        if not self._denied and self._allowed is None:
            return
        seen: set[str] = set()
        try:
            for program in programs_in(argv):
                if program not in seen:
                    seen.add(program)
                    links = _links(program, path, cwd) if len(seen) <= MOST_RESOLVED else set()
                    self._check_one(program, links)
        except Tangled:
            raise Refused(
                "this command has too much inside of it to look through for what is on the"
                " execution.denylist of the machine's config.yaml; a script in a file has not"
            ) from None

    def _check_one(self, program: str, links: set[str]) -> None:
        name = program_name(program)
        if self._allowed is not None and name not in self._allowed and name not in _BUILTINS:
            raise Refused(
                f"{program!r} is not run as a job: it is not on the execution.allowlist of the"
                " machine's config.yaml"
            )
        for known in {name, *links}:
            if _family(known.casefold()) & self._denied:
                raise Refused(
                    f"{program!r} is not run as a job: {known!r} is on the execution.denylist of"
                    " the machine's config.yaml; a session runs everything"
                )


def _family(name: str) -> set[str]:
    """Return the names that deny a program of this name."""
    # mkfs.ext4 and its like are what mkfs itself runs.
    return {name, "mkfs"} if name.startswith("mkfs.") else {name}


def _links(program: str, path: str, cwd: str) -> set[str]:
    """Return the names of the files that `program` is a symbolic link to, all along the way."""
    names: set[str] = set()
    try:
        found = shutil.which(os.path.join(cwd, program) if "/" in program else program, path=path)
        file = Path(found) if found else None
        while file is not None and file.is_symlink() and len(names) < MOST_LINKS:
            file = file.parent / file.readlink()
            names.add(file.name)
    except (OSError, ValueError):  # it cannot be looked at, or holds a NUL
        pass
    return names
