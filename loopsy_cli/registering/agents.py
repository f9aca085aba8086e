"""How each agent is told of an MCP server, and how it is looked up.

What is said here of their commands was tried in November 2026, without a network: Claude Code
2.1.197, Codex 0.171, Gemini CLI 0.61, OpenCode 1.18.33. Claude Code's own command is
used where it is installed, to add and to remove; it changes no entry. For the others the file is
edited here: Codex's command loses the comments between the tables of its servers, OpenCode's moves
comments and cannot remove, and Gemini's writes the values of variables in place of their names
(`"TOKEN": "$TOKEN"`), for all servers, so that secrets would end up in its settings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from loopsy_core.errors import BadRequest, LoopsyError, Misconfigured

from .jsonc import Value, get_member, remove_member, set_member
from .settings import difference, read_text, write_text
from .toml import get_table, remove_table, set_table

__all__ = ["AGENTS", "NAME", "Registered"]

T = TypeVar("T")

NAME: Final = "loopsy"
"""What the server is called in the agents' settings."""
WITHOUT_A_WORD: Final = 60
"""Seconds for which we may be silent in a call to OpenCode, which by default are five."""
LONGEST_CALL: Final = 3660
"""Seconds that a call by Codex or Gemini may take, by default 60 and 600, whatever we say of it
meanwhile; our tools wait up to an hour, and a call that is given up ends what it ran."""
PATIENCE: Final = 60.0
"""Seconds for an agent's own command."""


class Registered(ABC):
    """One agent, and the entry in its settings."""

    name: str
    title: str
    program: str
    at_first: Mapping[str, Value] = {}
    """What a new entry has besides; its user may change that."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """Its settings."""

    @property
    def installed(self) -> bool:
        """Whether its program is on the PATH, or has left settings."""
        return shutil.which(self.program) is not None or self.file.exists()

    @abstractmethod
    def entry(self, text: str) -> Mapping[str, object] | None:
        """Return what its settings say of our server, None if nothing."""

    @abstractmethod
    def wanted(self, command: Sequence[str]) -> dict[str, Value]:
        """Return what they should say, for a server that `command` starts."""

    @abstractmethod
    def with_entry(self, text: str, values: dict[str, Value]) -> str:
        """Return its settings with our server in them."""

    @abstractmethod
    def without_entry(self, text: str) -> str:
        """Return its settings without our server."""

    def switched_off(self, text: str) -> bool:
        """Whether its user has said in its settings that our server is not to be started."""
        return (self.entry(text) or {}).get("enabled") is False

    @abstractmethod
    def starts(self, entry: Mapping[str, object]) -> object:
        """Return the program that `entry` starts, whatever is written in its place."""

    def own_command(self, command: Sequence[str] | None) -> list[str] | None:
        """Return the agent's own command that adds our server, or for None removes it."""
        del command
        return None

    def state(self, command: Sequence[str]) -> str:
        """Return `registered`, `switched off`, `different` or `missing`."""
        entry = self.found
        if entry is None:
            return "missing"
        if not all(entry.get(key) == value for key, value in self.wanted(command).items()):
            return "different"
        return "switched off" if self._reading(self.switched_off) else "registered"

    @property
    def found(self) -> Mapping[str, object] | None:
        """What its settings say of our server; raises `Misconfigured` if they cannot be read."""
        return self._reading(self.entry)

    def add(self, command: Sequence[str], *, dry_run: bool) -> str:
        """Register the server; return what was done, or what would be."""
        state = self.state(command)
        if state == "registered":
            return "is registered already"
        if state == "switched off":
            return f"is registered already, and switched off in {self.file}"
        values = self.wanted(command)
        if state == "missing":
            if (own := self.own_command(command)) is not None:
                return _run(own, dry_run=dry_run)
            values |= self.at_first
        return self._change(lambda text: self.with_entry(text, values), dry_run=dry_run)

    def remove(self, *, dry_run: bool) -> str:
        """Take the server out; return what was done, or what would be."""
        if self.found is None:
            return "is not registered"
        own = self.own_command(None)
        if own is not None:
            return _run(own, dry_run=dry_run)
        return self._change(self.without_entry, dry_run=dry_run)

    def _change(self, change: Callable[[str], str], *, dry_run: bool) -> str:
        before = read_text(self.file)
        after = self._reading(change)
        if dry_run:
            return difference(self.file, before, after)
        write_text(self.file, after)
        return f"changed {self.file}"

    def _reading(self, read: Callable[[str], T]) -> T:
        text = read_text(self.file)
        try:
            return read(text)
        except BadRequest as error:
            raise Misconfigured(f"{self.file}: {error.message}") from None


class JsonAgent(Registered):
    """An agent whose settings are JSON, maybe with comments."""

    where: tuple[str, ...] = ("mcpServers",)
    """The object in which its servers are."""

    def entry(self, text: str) -> Mapping[str, object] | None:
        """Return what the settings say of our server."""
        found = get_member(text, (*self.place(text), NAME)) if text.strip() else None
        return found if isinstance(found, dict) else None

    def wanted(self, command: Sequence[str]) -> dict[str, Value]:
        """Return the program and its arguments."""
        return {"command": command[0], "args": list(command[1:])}

    def starts(self, entry: Mapping[str, object]) -> object:
        """Return the program that `entry` starts."""
        return entry.get("command")

    def with_entry(self, text: str, values: dict[str, Value]) -> str:
        """Return the settings with our server; other keys of its entry stay."""
        text = text if text.strip() else "{}\n"
        place = (*self.place(text), NAME)
        if get_member(text, place) is None:
            return set_member(text, place, values)
        for key, value in values.items():
            text = set_member(text, (*place, key), value)
        return text

    def without_entry(self, text: str) -> str:
        """Return the settings without our server."""
        return remove_member(text, (*self.place(text), NAME))

    def place(self, text: str) -> tuple[str, ...]:
        """Return where the servers are in this file."""
        del text
        return self.where


class Claude(JsonAgent):
    """Claude Code."""

    name = "claude"
    title = "Claude Code"
    program = "claude"

    @property
    def file(self) -> Path:
        """What it keeps for the user, all projects' history included."""
        folder = os.environ.get("CLAUDE_CONFIG_DIR")
        return Path(folder or Path.home()) / ".claude.json"

    def wanted(self, command: Sequence[str]) -> dict[str, Value]:
        """Return the entry as its own command writes it."""
        return {"type": "stdio", **super().wanted(command)}

    def own_command(self, command: Sequence[str] | None) -> list[str] | None:
        """Return `claude mcp add` or `remove`."""
        program = shutil.which(self.program)
        if program is None:
            return None
        if command is None:
            return [program, "mcp", "remove", "--scope", "user", NAME]
        return [program, "mcp", "add", "--scope", "user", NAME, "--", *command]


class Gemini(JsonAgent):
    """Gemini CLI."""

    name = "gemini"
    title = "Gemini CLI"
    program = "gemini"
    at_first: Mapping[str, Value] = {"timeout": LONGEST_CALL * 1000}

    @property
    def file(self) -> Path:
        """Its settings for all projects."""
        folder = os.environ.get("GEMINI_CLI_HOME")
        return Path(folder or Path.home()) / ".gemini" / "settings.json"

    def switched_off(self, text: str) -> bool:
        """Whether it is left out of those that its user lets it start."""
        allowed, excluded = (get_member(text, ("mcp", name)) for name in ("allowed", "excluded"))
        left_out = isinstance(allowed, list) and NAME not in allowed
        return left_out or (isinstance(excluded, list) and NAME in excluded)


class OpenCode(JsonAgent):
    """OpenCode, whose version 2 keeps servers one level deeper."""

    name = "opencode"
    title = "OpenCode"
    program = "opencode"
    at_first: Mapping[str, Value] = {"timeout": WITHOUT_A_WORD * 1000}

    @property
    def file(self) -> Path:
        """The settings that it reads last of those that are there, so that they count."""
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "opencode"
        commented = folder / "opencode.jsonc"
        return commented if commented.exists() else folder / "opencode.json"

    def wanted(self, command: Sequence[str]) -> dict[str, Value]:
        """Return the entry; its command is one list."""
        return {"type": "local", "command": list(command)}

    def starts(self, entry: Mapping[str, object]) -> object:
        """Return the program that `entry` starts."""
        command = entry.get("command")
        return command[0] if isinstance(command, list) and command else command

    def place(self, text: str) -> tuple[str, ...]:
        """Return `mcp`, or `mcp.servers` where that is an object and no server of that name."""
        servers = get_member(text, ("mcp", "servers")) if text.strip() else None
        newer = isinstance(servers, dict) and "type" not in servers
        return ("mcp", "servers") if newer else ("mcp",)


class Codex(Registered):
    """Codex CLI."""

    name = "codex"
    title = "Codex"
    program = "codex"
    at_first: Mapping[str, Value] = {"tool_timeout_sec": LONGEST_CALL}
    table: tuple[str, str] = ("mcp_servers", NAME)

    @property
    def file(self) -> Path:
        """Its settings."""
        return Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex") / "config.toml"

    def entry(self, text: str) -> Mapping[str, object] | None:
        """Return our server's table."""
        return get_table(text, self.table)

    def wanted(self, command: Sequence[str]) -> dict[str, Value]:
        """Return the program and its arguments."""
        return {"command": command[0], "args": list(command[1:])}

    def starts(self, entry: Mapping[str, object]) -> object:
        """Return the program that `entry` starts."""
        return entry.get("command")

    def with_entry(self, text: str, values: dict[str, Value]) -> str:
        """Return the settings with our table at their end, or changed where it stands."""
        return set_table(text, self.table, values)

    def without_entry(self, text: str) -> str:
        """Return the settings without our table."""
        return remove_table(text, self.table)


AGENTS: Final[dict[str, Registered]] = {
    agent.name: agent for agent in (Claude(), Codex(), Gemini(), OpenCode())
}


def _run(command: Sequence[str], *, dry_run: bool) -> str:
    """Run an agent's own command; raises `LoopsyError` with what it said when it fails."""
    import shlex

    shown = shlex.join(command)
    if dry_run:
        return f"would run: {shown}"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoopsyError(f"{shown} did not work: {error}") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:300]
        raise LoopsyError(f"{shown} failed: {said}")
    return f"ran {shown}"
