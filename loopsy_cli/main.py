"""The console script: finds the command that is meant, runs it, and turns errors into exit codes.

Little is imported here on purpose. Most of the time that a small command takes is spent on
loading modules, so each thing is loaded where it is first needed.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` itself takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.errors import LoopsyError

__all__ = ["main"]

FAILED = 1
INTERRUPTED = 130
EXIT_CODES = {"bad_request": 2, "no_daemon": 3, "refused": 4, "not_found": 5}
"""By the code of an error; every other one means `FAILED`."""


def main() -> int:
    """Run the command that `sys.argv` names and return the exit code, whatever happens."""
    as_json = False
    try:
        _mend_streams()
        words, rest = _split(sys.argv[1:])
        as_json = "--json" in words
        code = _run(words, rest)
        sys.stdout.flush()
        return code
    except BaseException as error:  # the last door: everything becomes one line and a number
        return _failed(error, as_json)


def _mend_streams() -> None:
    """Have streams that never fail on a character, and that are there at all."""
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us; its number must not be given to a file
            mode = os.O_RDONLY if number == 0 else os.O_WRONLY
            descriptor = os.open(os.devnull, mode)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            stream = open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        if number:
            stream.reconfigure(errors="backslashreplace")


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Part the arguments at `--`: behind it they are somebody else's. The `--` stays there."""
    for number, word in enumerate(arguments, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            from loopsy_core.errors import BadRequest

            raise BadRequest(f"argument {number} is not valid UTF-8 text") from None
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:end], arguments[end:]


def _run(words: list[str], rest: list[str]) -> int:
    words = _take_home(words)
    if words[:1] in (["--version"], ["-V"]):
        from loopsy_core import __version__

        sys.stdout.write(f"loopsy {__version__}\n")
        return 0
    from .commands import COMMANDS, find_command, help_text

    wants_help = "--help" in words or "-h" in words
    if wants_help:
        words = [word for word in words if word not in ("--help", "-h")]
    name, arguments = find_command(words)
    if name in COMMANDS:
        if wants_help:
            return _describe(name)
        return _prepare(name, [*arguments, *rest])() or 0
    if arguments and not (name and wants_help):
        _unknown(name, arguments[0])
    sys.stdout.write(help_text(name))
    return 0


def _prepare(name: str, words: list[str]) -> Callable[[], int | None]:
    """Load a command and read its arguments; what is returned runs it."""
    from functools import partial
    from signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal

    from .commands import load_command

    # Nothing has happened yet, so Ctrl-C may simply end us. An exception in the middle of an
    # import would be worse: not every library survives that.
    interruptible = getsignal(SIGINT) is default_int_handler
    if interruptible:
        signal(SIGINT, SIG_DFL)
    try:
        function = load_command(name)
        # The commands that are typed most have nothing to parse, so they need no parser:
        # loading cyclopts takes longer than all else that `loopsy status` does.
        if not function.__code__.co_argcount:
            if not words:
                return function
            if words == ["--json"] and "json" in function.__annotations__:
                return partial(function, json=True)
        from .parsing import parse

        return parse(name, words)
    finally:
        if interruptible:
            signal(SIGINT, default_int_handler)


def _describe(name: str) -> int:
    from .commands import GROUPS, help_text, load_command
    from .describing import describe

    sys.stdout.write(describe(name, load_command(name)))
    if name in GROUPS:
        sys.stdout.write("\n" + help_text(name))
    return 0


def _take_home(words: list[str]) -> list[str]:
    """Take `--home DIR` out of `words`, wherever it stands, and have everybody use that home."""
    left: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, equals, value = word.partition("=")
        if option != "--home":
            left.append(word)
            continue
        home = value if equals else next(remaining, "")
        if not home or home.startswith("-"):
            from loopsy_core.errors import BadRequest

            raise BadRequest("--home needs a folder: loopsy --home DIR COMMAND")
        # The environment, because that reaches every part, and programs that sessions run too:
        # within a session of this home, `loopsy` means this home.
        os.environ["LOOPSY_HOME"] = os.path.abspath(os.path.expanduser(home))
    return left


def _unknown(group: str, word: str) -> None:
    from difflib import get_close_matches

    from loopsy_core.errors import BadRequest

    from .commands import COMMANDS, GROUPS

    if word.startswith("-"):
        raise BadRequest(f"there is no option {word!r} here; `loopsy --help` shows what there is")
    start = f"{group} " if group else ""
    known = [name[len(start) :] for name in COMMANDS if name.startswith(start)]
    near = get_close_matches(word, [*known, *GROUPS] if not group else known, n=1)
    hint = f"did you mean `loopsy {start}{near[0]}`?" if near else ""
    everything = f"`loopsy {start}--help` shows all commands"
    raise BadRequest(f"there is no command `loopsy {start}{word}`; {hint or everything}")


def _failed(error: BaseException, as_json: bool) -> int:
    """Say in one line what happened, and return the exit code for it."""
    if isinstance(error, BaseExceptionGroup):
        error = _most_telling(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    try:
        if isinstance(error, BrokenPipeError):
            return 0  # whoever read our output has had enough of it
        return _tell(_ours(error), as_json)
    except (OSError, KeyboardInterrupt):
        return FAILED  # nobody is left to tell
    finally:
        _drop_output()


def _most_telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Choose among errors that came at once: an interruption, else the first."""
    if group.subgroup(KeyboardInterrupt) is not None:
        return KeyboardInterrupt()
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _ours(error: BaseException) -> LoopsyError:
    from loopsy_core.errors import LoopsyError

    if isinstance(error, LoopsyError):
        return error
    if os.environ.get("LOOPSY_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.strerror:
        about = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return LoopsyError(f"that did not work: {about}{error.strerror}")
    return LoopsyError(
        f"this is a bug in Loopsy ({type(error).__name__}: {error});"
        " LOOPSY_TRACEBACK=1 in front of the command shows where"
    )


def _tell(error: LoopsyError, as_json: bool) -> int:
    from .show import clean, print_json

    sys.stdout.flush()
    message = clean(" ".join(str(error).split()))
    if as_json:
        # The one document that the command prints: it had nothing to print when it failed.
        details = {"details": error.details} if error.details else {}
        print_json({"error": {"code": error.code, "message": message, **details}})
        sys.stdout.flush()
    sys.stderr.write(f"loopsy: {message}\n")
    sys.stderr.flush()
    return EXIT_CODES.get(error.code, FAILED)


def _drop_output() -> None:
    """Let what could not be written go, or Python would complain about it at its very end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
