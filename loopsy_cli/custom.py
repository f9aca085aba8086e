"""Custom commands, which phones offer as one tap: `command add`, `list` and `remove`."""

from __future__ import annotations

import shlex
from typing import Annotated

from loopsy_core.errors import BadRequest
from loopsy_core.wire import AddCommand, ListKinds, RemoveCommand

from .ask import ask
from .options import Json, Option
from .show import clean, print_json, say, table

__all__ = ["add", "list_commands", "remove"]


def add(
    name: str,
    /,
    *command: str,
    cwd: Annotated[str | None, Option("The folder to start it in.", "DIR")] = None,
    json: Json = False,
) -> None:
    """Keep the command after -- under a name; one of the same name is replaced.

    It is run as it stands, word by word, by no shell: for pipes and the like write
    -- sh -c "...".
    """
    if not command:
        raise BadRequest("there is no command; write `loopsy command add NAME -- COMMAND...`")
    kept = ask(AddCommand(name=name, argv=list(command), cwd=cwd))
    if json:
        print_json(kept)
    else:
        start = f"loopsy shell --custom {shlex.quote(clean(kept.name))}"
        say(f"{clean(kept.name)} is kept; `{start}` starts it")


def list_commands(*, json: Json = False) -> None:
    """List all custom commands, by name."""
    commands = ask(ListKinds()).commands
    if json:
        print_json(commands)
    elif not commands:
        say("there is no custom command; `loopsy command add NAME -- COMMAND...` keeps one")
    else:
        table(
            ("NAME", "COMMAND", "FOLDER"),
            [(each.name, shlex.join(each.argv), each.cwd or "~") for each in commands],
        )


def remove(name: str, /, *, json: Json = False) -> None:
    """Forget a custom command; sessions that it started live on."""
    ask(RemoveCommand(name=name))
    if json:
        print_json({"removed": name})
    else:
        say(f"{clean(name)} is removed")
