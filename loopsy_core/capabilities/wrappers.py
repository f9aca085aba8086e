"""Programs that run other programs, and where on their command line those are named.

One table for all there is to know of them; their options are those of their manuals (GNU, BSD
and util-linux).
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from .script import SHELLS, commands_in, program_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["run_by"]

Inside: TypeAlias = "list[str] | str"
"""What a program runs: a command's words, or a script for a shell."""


@attrs.frozen
class _Wrapper:
    """How the command line of one program reads."""

    values: str = ""
    """Short options that take a value."""
    long: str = ""
    """Long options that take it as the next word."""
    skip: int = 0
    """Words between the options and the command."""
    script: str = ""
    """Short options whose value is a script."""
    long_script: str = ""
    asks: str = ""
    """Short options with which it only tells something."""
    assignments: bool = False
    """Whether `NAME=VALUE` may stand before the command."""
    joined: bool = False
    """Whether a shell gets the command, joined."""


_PLAIN: Final = _Wrapper()

_WRAPPERS: Final[Mapping[str, _Wrapper]] = {
    "env": _Wrapper("uC", "unset chdir", script="S", long_script="split-string", assignments=True),
    "nice": _Wrapper("n", "adjustment"),
    "ionice": _Wrapper("cnpPu", "class classdata"),
    "timeout": _Wrapper("ks", "kill-after signal", skip=1),
    "gtimeout": _Wrapper("ks", "kill-after signal", skip=1),
    "time": _Wrapper("fo", "format output"),
    "stdbuf": _Wrapper("ioe", "input output error"),
    "chrt": _Wrapper("TPD", skip=1),
    "taskset": _Wrapper(skip=1),
    "chroot": _Wrapper(skip=1),
    "flock": _Wrapper("wE", "timeout conflict-exit-code", 1, script="c", long_script="command"),
    "sudo": _Wrapper(
        "ugpCrtTUDRh", "user group prompt close-from chdir chroot host", assignments=True
    ),
    "doas": _Wrapper("uC"),
    "su": _Wrapper("gGsw", "group shell", 1, script="c", long_script="command"),
    "runuser": _Wrapper("ugGsw", "user group shell", script="c", long_script="command"),
    "script": _Wrapper("EIOBTmo", script="c", long_script="command"),
    "xargs": _Wrapper(
        "aEIdLnPs", "arg-file delimiter replace max-lines max-args max-procs max-chars"
    ),
    "parallel": _Wrapper("jaNnLPSIC", "jobs arg-file", joined=True),
    "watch": _Wrapper("nq", "interval equexit", joined=True),
    "strace": _Wrapper("aAbeEIoOPpsSuUX"),
    "ltrace": _Wrapper("aAeFlnopsuwX"),
    "unshare": _Wrapper("RwSG", "root wd setuid setgid"),
    "nsenter": _Wrapper("tSGrwW", "target setuid setgid"),
    "systemd-run": _Wrapper("pEuMHC", "unit property setenv uid gid slice description"),
    "caffeinate": _Wrapper("tw"),
    "xvfb-run": _Wrapper("efnsp", "server-num server-args"),
    "exec": _Wrapper("a"),
    "command": _Wrapper(asks="vV"),
    **dict.fromkeys(
        (
            *(
                "nohup",
                "setsid",
                "builtin",
                "coproc",
                "busybox",
                "toybox",
                "unbuffer",
                "chronic",
                "ifne",
            ),
            *("fakeroot", "eatmydata", "nocache", "setarch", "linux32", "linux64", "setpriv"),
            *("dbus-run-session", "valgrind", "prlimit", "ifne", "noglob", "nocorrect"),
        ),
        _PLAIN,
    ),
}

_FIND_EXEC: Final = frozenset(("-exec", "-execdir", "-ok", "-okdir"))
_SHELL_VALUES: Final = frozenset(("--rcfile", "--init-file", "-O", "+O", "-o", "+o"))
_ITS_ARGUMENTS: Final = frozenset(("$@", "$*", "$0", "$1"))


def run_by(argv: Sequence[str]) -> Iterator[Inside]:
    """Yield what the command `argv` would run in turn, as far as its words tell."""
    name, rest = program_name(argv[0]), list(argv[1:])
    if name in SHELLS:
        yield from _by_shell(rest)
    elif name in ("find", "gfind"):
        yield from _by_find(rest)
    elif name == "eval":
        yield " ".join(rest)
    elif name == "trap":
        yield from rest[:1]
    elif (wrapper := _WRAPPERS.get(name)) is not None:
        yield from _by_wrapper(wrapper, rest)


def _by_shell(rest: list[str]) -> Iterator[Inside]:
    script = False
    while rest and rest[0][:1] in ("-", "+") and rest[0] not in ("-", "--"):
        option = rest.pop(0)
        short = option[:2] != "--"
        script = script or (short and option[0] == "-" and "c" in option)
        if option in _SHELL_VALUES or (short and len(option) > 2 and "o" in option):
            del rest[:1]
    if rest[:1] in (["-"], ["--"]):
        del rest[0]
    if script and rest:
        yield rest[0]
        # Where the script runs its own arguments, those are a command; the first of them is $0.
        for words in commands_in(rest[0]):
            first = next((word for word in words if word not in ("exec", "command")), "")
            if first in _ITS_ARGUMENTS:
                yield rest[1 if first == "$0" else 2 :]
                return


def _by_find(rest: list[str]) -> Iterator[Inside]:
    words = iter(rest)
    for word in words:
        if word in _FIND_EXEC:
            yield list(takewhile(lambda each: each not in (";", "+"), words))
        elif word == "-delete":
            yield ["rm"]


def _by_wrapper(wrapper: _Wrapper, rest: list[str]) -> Iterator[Inside]:
    while rest and len(rest[0]) > 1 and rest[0][0] == "-" and rest[0] != "--":
        option = rest.pop(0)
        if option[:2] == "--":
            name, equals, value = option[2:].partition("=")
            if name in wrapper.long_script.split():
                yield value if equals else "".join(rest[:1])
                return
            if not equals and name in wrapper.long.split():
                del rest[:1]
            continue
        for at, letter in enumerate(option[1:], 2):
            if letter in wrapper.asks:
                return
            if letter in wrapper.script:
                yield option[at:] or "".join(rest[:1])
                return  # what follows are its arguments
            if letter in wrapper.values:
                if not option[at:]:
                    del rest[:1]
                break
    if rest[:1] in (["--"], ["-"]):
        del rest[0]
    while wrapper.assignments and rest and "=" in rest[0]:
        del rest[0]
    del rest[: wrapper.skip]
    # `flock FILE -c SCRIPT`: behind the words that were passed over there may be options again.
    if wrapper.skip and wrapper.script and rest[:1] == [f"-{wrapper.script}"]:
        yield "".join(rest[1:2])
    elif wrapper.joined:
        yield " ".join(takewhile(lambda each: not each.startswith(":::"), rest))
    elif rest:
        yield rest
