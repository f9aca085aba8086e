"""Words to calls: the commands as a cyclopts App, and the help of each, in plain text."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, get_args, get_origin

from cyclopts import App, CycloptsError, Parameter

from loopsy_core.errors import BadRequest

from .commands import COMMANDS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cyclopts import Argument

__all__ = ["Json", "Option", "describe", "make_app", "parse"]

WIDEST: Final = 80
"""Columns of help texts; longer lines read badly, however wide the terminal is."""

Json: TypeAlias = Annotated[bool, Parameter(help="Print one JSON document.")]
"""The option that every command has which prints data."""


def Option(help: str, metavar: str | None = None) -> Parameter:  # noqa: A002, N802
    """Describe an option: what it does, and what its value is called."""
    return Parameter(help=help, metavar=metavar)


def make_app() -> App:
    """Return the App of all commands; each is imported when it is first touched."""
    app = _app("loopsy")
    groups = {name: _app(name) for name in GROUPS}
    for group in groups.values():
        app.command(group)
    for command in COMMANDS.values():
        first, _, second = command.name.partition(" ")
        (groups[first] if second else app).command(command.function, name=second or first)
    return app


def parse(name: str, words: Sequence[str]) -> Callable[[], int | None]:
    """Return the command `name` with the arguments `words`, ready to be called.

    Raises `BadRequest`, in one line, when the words do not fit.
    """
    try:
        function, bound, _ = make_app().parse_args(
            [*name.split(), *words], print_error=False, exit_on_error=False
        )
    except CycloptsError as error:
        said = " ".join(str(error).split())
        raise BadRequest(f"{said.rstrip('.')}; `loopsy {name} --help` shows how") from None
    return lambda: function(*bound.args, **bound.kwargs)


def describe(name: str) -> str:
    """Return the help of one command."""
    app = make_app()
    for word in name.split():
        app = app[word]
    function = app.default_command
    assert function is not None
    arguments = [argument for argument in app.assemble_argument_collection() if argument.show]
    usage = ["Usage: loopsy", name, *(_usage(argument) for argument in arguments)]
    width = min(WIDEST, shutil.get_terminal_size().columns)
    parts = [
        textwrap.fill(" ".join(usage), width, subsequent_indent="    ", break_on_hyphens=False),
        _paragraphs(inspect.getdoc(function) or "", width),
    ]
    for title, positional in (("Arguments", True), ("Options", False)):
        rows = [
            (_label(argument), _explanation(argument))
            for argument in arguments
            if (argument.index is not None) is positional
        ]
        if rows:
            parts.append(title + "\n" + _two_columns(rows, width))
    return "\n\n".join(parts) + "\n"


def _app(name: str) -> App:
    # Without cyclopts' own help and version: they load rich, which takes longer than most
    # commands run.
    return App(
        name=name,
        help_flags=[],
        version_flags=[],
        default_parameter=Parameter(negative=(), show_default=False),
    )


def _usage(argument: Argument) -> str:
    if argument.index is None:
        return f"[{_label(argument)}]"
    if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"[-- {argument.name}...]"
    return argument.name


def _label(argument: Argument) -> str:
    if argument.index is not None:
        return argument.name
    names = ", ".join(argument.names)
    if argument.hint is bool:
        return names
    return f"{names} {argument.parameter.metavar or argument.names[0].lstrip('-').upper()}"


def _explanation(argument: Argument) -> str:
    text = argument.parameter.help or ""
    if get_origin(argument.hint) is Literal:
        text += f" One of: {', '.join(map(str, get_args(argument.hint)))}."
    return text


def _paragraphs(text: str, width: int) -> str:
    return "\n\n".join(
        part if part.startswith(" ") else textwrap.fill(" ".join(part.split()), width)
        for part in text.split("\n\n")
    )


def _two_columns(rows: list[tuple[str, str]], width: int) -> str:
    column = max(len(label) for label, _ in rows) + 4
    lines: list[str] = []
    for label, text in rows:
        wrapped = textwrap.wrap(text, max(20, width - column)) or [""]
        lines.append(f"  {label:<{column - 2}}{wrapped[0]}".rstrip())
        lines.extend(" " * column + line for line in wrapped[1:])
    return "\n".join(lines)
