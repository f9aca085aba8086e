"""The help of one command, from its function: signature, annotations and docstring.

Plain text of our own, because cyclopts' needs rich, which takes longer to load than most
commands run.
"""

from __future__ import annotations

import inspect
import shutil
import textwrap
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from .options import Option

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["describe"]

WIDEST: Final = 80
"""Columns of help texts; longer lines read badly, however wide the terminal is."""
_HOLD: Final = "\N{NO-BREAK SPACE}"


class _Row(NamedTuple):
    usage: str
    label: str
    text: str


def describe(name: str, function: Callable[..., object]) -> str:
    """Return the help of the command `name`, which runs `function`."""
    arguments: list[_Row] = []
    options: list[_Row] = []
    behind: list[_Row] = []  # what takes all words that follow
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        row = _row(parameter, hints[parameter.name])
        match parameter.kind:
            case inspect.Parameter.KEYWORD_ONLY:
                options.append(row)
            case inspect.Parameter.VAR_POSITIONAL:
                behind.append(row)
            case _:
                arguments.append(row)
    width = min(WIDEST, shutil.get_terminal_size().columns)
    # A space that does not break holds an option and its value together.
    usage = [row.usage.replace(" ", _HOLD) for row in (*arguments, *options, *behind)]
    usage_line = " ".join(["Usage: loopsy", name, *usage])
    wrapped = textwrap.fill(usage_line, width, subsequent_indent="    ", break_on_hyphens=False)
    parts = [
        wrapped.replace(_HOLD, " "),
        _paragraphs(inspect.getdoc(function) or "", width),
    ]
    for title, rows in (("Arguments", [*arguments, *behind]), ("Options", options)):
        if explained := [row for row in rows if row.text]:
            parts.append(f"{title}\n{_two_columns(explained, width)}")
    return "\n\n".join(parts) + "\n"


def _row(parameter: inspect.Parameter, hint: object) -> _Row:
    option = next(
        (data for data in getattr(hint, "__metadata__", ()) if isinstance(data, Option)), None
    )
    kind = get_args(hint)[0] if option else hint
    text = option.help if option else ""
    if get_origin(kind) is Literal:
        text += f" One of: {', '.join(map(str, get_args(kind)))}."
    if parameter.default and isinstance(parameter.default, str | int) and kind is not bool:
        text += f" Default: {parameter.default}."
    name = parameter.name.replace("_", "-")
    metavar = (option and option.metavar) or name.upper()
    match parameter.kind:
        case inspect.Parameter.KEYWORD_ONLY:
            label = f"--{name}" if kind is bool else f"--{name} {metavar}"
            if option and option.short:
                return _Row(f"[{option.short}]", f"{option.short}, {label}", text)
            return _Row(f"[{label}]", label, text)
        case inspect.Parameter.VAR_POSITIONAL if option:
            return _Row(metavar, metavar, text)
        case inspect.Parameter.VAR_POSITIONAL:
            # Behind `--` stands what is another program's, and nothing else.
            dashes = "-- " if name == "command" else ""
            return _Row(f"[{dashes}{metavar}...]", f"{metavar}...", text)
        case _:
            return _Row(metavar, metavar, text)


def _paragraphs(text: str, width: int) -> str:
    return "\n\n".join(
        textwrap.fill(" ".join(part.split()), width, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def _two_columns(rows: list[_Row], width: int) -> str:
    column = max(len(row.label) for row in rows) + 4
    lines: list[str] = []
    for row in rows:
        wrapped = textwrap.wrap(row.text, max(20, width - column), break_on_hyphens=False)
        lines.append(f"  {row.label:<{column - 2}}{wrapped[0]}")
        lines.extend(" " * column + line for line in wrapped[1:])
    return "\n".join(lines)
