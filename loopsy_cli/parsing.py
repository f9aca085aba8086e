"""Words to calls: all commands as a cyclopts App."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Parameter

from loopsy_core.errors import BadRequest

from .commands import COMMANDS, GROUPS, load_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["make_app", "parse"]


def make_app() -> App:
    """Return the App of all commands; each is imported when it is first touched."""
    app = _app("loopsy")
    groups = {name: _app(name) for name in GROUPS}
    for group in groups.values():
        app.command(group)
    for name, function in COMMANDS.items():
        if name in GROUPS:
            continue  # it is a group's word alone: `parse` makes an App of its own for it
        first, _, second = name.partition(" ")
        (groups[first] if second else app).command(function, name=second or first)
    return app


def parse(name: str, words: Sequence[str]) -> Callable[[], int | None]:
    """Return the command `name` with the arguments `words`, ready to be called.

    Raises `BadRequest`, in one line, when the words do not fit.
    """
    if name in GROUPS:
        app, path = _app(name), []
        app.default(load_command(name))
    else:
        app, path = make_app(), name.split()
    try:
        function, bound, _ = app.parse_args(
            [*path, *_with_dashes(words)], print_error=False, exit_on_error=False
        )
    except CycloptsError as error:
        said = " ".join(str(error).split())
        raise BadRequest(f"{said.rstrip('.')}; `loopsy {name} --help` shows how") from None
    return lambda: function(*bound.args, **bound.kwargs)


def _with_dashes(words: Sequence[str]) -> list[str]:
    """Write `--option -` as `--option=-`: a dash alone is a value (standard input), no option."""
    out: list[str] = []
    for word in words:
        if word == "-" and out and out[-1].startswith("--") and "--" not in out:
            out[-1] += "=-"
        else:
            out.append(word)
    return out


def _app(name: str) -> App:
    # Help and version are ours (`describing.py`): cyclopts' own load rich.
    return App(name=name, help_flags=[], version_flags=[], default_parameter=Parameter(negative=()))
