"""What sessions can be started as: the shell, agents on the PATH, and custom commands."""

from __future__ import annotations

import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.errors import BadRequest, Busy, NotFound
from loopsy_core.sessions import AGENTS
from loopsy_core.wire import CommandInfo, KindInfo, KindList, clean_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator

    from loopsy_core.kit import Database
    from loopsy_core.sessions import Agent
    from loopsy_core.wire import AddCommand, StartSession

__all__ = ["COMMANDS_TABLE", "Kinds", "open_kinds"]

SHELL: Final = "shell"
CUSTOM: Final = "custom"
MAX_COMMANDS: Final = 100
MAX_COMMAND: Final = 8192
"""Bytes of one command; all of them have to fit one answer."""

COMMANDS_TABLE: Final = """
    CREATE TABLE commands (
        name TEXT PRIMARY KEY,
        argv TEXT NOT NULL,
        cwd TEXT
    ) STRICT;
    """


class Kinds:
    """The kinds and the custom commands; `open_kinds` makes it."""

    def __init__(self, database: Database, commands: list[CommandInfo]) -> None:
        """Begin with what the database holds."""
        self._database = database
        self._commands = {command.name: command for command in commands}

    def list(self) -> KindList:
        """Return what there is; the PATH is asked anew, for agents get installed."""
        agents = [
            KindInfo(
                agent.name,
                agent.title,
                shutil.which(agent.program) is not None,
                bool(agent.auto_approve),
            )
            for agent in AGENTS.values()
        ]
        commands = sorted(self._commands.values(), key=lambda command: command.name)
        return KindList([KindInfo(SHELL, "Shell", True, False), *agents], commands)

    async def add(self, request: AddCommand) -> CommandInfo:
        """Keep a custom command; on disk when this returns."""
        command = CommandInfo(clean_name(request.name, "command"), request.argv, request.cwd)
        argv = msgspec.json.encode(command.argv).decode()
        if len(argv) + len(command.cwd or "") > MAX_COMMAND:
            raise BadRequest(f"a custom command has at most {MAX_COMMAND} bytes")
        if not command.argv[0] or "\0" in argv + (command.cwd or ""):
            raise BadRequest("the command is empty or holds a NUL character")
        if command.name not in self._commands and len(self._commands) >= MAX_COMMANDS:
            raise Busy(f"{MAX_COMMANDS} custom commands are kept already; remove some first")

        def write(connection: sqlite3.Connection) -> None:
            row = (command.name, argv, command.cwd)
            connection.execute("INSERT OR REPLACE INTO commands VALUES (?, ?, ?)", row)

        await self._database.transact(write)
        self._commands[command.name] = command
        return command

    async def remove(self, name: str) -> None:
        """Forget a custom command."""
        self._find(name)

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM commands WHERE name = ?", (name,))

        await self._database.transact(delete)
        self._commands.pop(name, None)

    def resolve(self, request: StartSession) -> StartSession:
        """Return what the session host is to start for `request`.

        Raises `BadRequest` for a kind that is not known or cannot approve by itself, and
        `NotFound` for a custom command that is not there.
        """
        replace = msgspec.structs.replace
        agent = AGENTS.get(request.kind)
        if request.auto_approve and (agent is None or not agent.auto_approve):
            raise BadRequest(f"{request.kind} cannot be told to approve by itself")
        if request.command is not None:
            if request.argv is not None or request.kind not in (SHELL, CUSTOM):
                raise BadRequest("a custom command has its own program; name one of the two only")
            command = self._find(request.command)
            return replace(
                request,
                kind=CUSTOM,
                argv=command.argv,
                cwd=request.cwd or command.cwd,
                env={"PATH": _our_path(), **request.env},
            )
        if agent is not None:
            argv = agent.command(request.argv or (), auto_approve=request.auto_approve)
            env = {**request.env, "PATH": _path_of(agent, request.env.get("PATH"))}
            return replace(request, argv=argv, env=env)
        if request.kind == CUSTOM and request.argv is None:
            raise BadRequest("a custom session needs a command")
        if request.kind not in (SHELL, CUSTOM):
            kinds = ", ".join((SHELL, CUSTOM, *AGENTS))
            raise BadRequest(f"there is no kind {request.kind[:32]!r}; there are {kinds}")
        return request

    def _find(self, name: str) -> CommandInfo:
        command = self._commands.get(name)
        if command is None:
            raise NotFound(f"there is no custom command {name!r}; `loopsy command list` shows them")
        return command


def _our_path() -> str:
    """Return the daemon's PATH, in UTF-8, for a message holds nothing else.

    The session host's own is no help: it may have been started with another one, long ago.
    """
    return os.environ.get("PATH", os.defpath).encode("utf-8", "ignore").decode()


def _path_of(agent: Agent, asked: str | None) -> str:
    """Return the PATH that an agent is started with: that of who asks, and else the daemon's too.

    Raises `BadRequest` when the agent is on neither.
    """
    ours = _our_path()
    for path in (asked, f"{asked}{os.pathsep}{ours}" if asked else ours):
        if path and shutil.which(agent.program, path=path) is not None:
            return path
    raise BadRequest(
        f"{agent.title} is not to be found: there is no {agent.program!r} on the PATH"
        " of this machine's daemon; install it, or restart the daemon where it is found"
    )


@asynccontextmanager
async def open_kinds(database: Database) -> AsyncGenerator[Kinds]:
    """Open the kinds, with the custom commands that `database` keeps."""

    def read(connection: sqlite3.Connection) -> list[CommandInfo]:
        rows = connection.execute("SELECT name, argv, cwd FROM commands").fetchall()
        return [
            CommandInfo(name, msgspec.json.decode(argv, type=list[str]), cwd)
            for name, argv, cwd in rows
        ]

    yield Kinds(database, await database.transact(read))
