"""The table of all commands: what each is called, where it lies and what it does, in one line.

The list of commands is printed from here alone, so that asking for it loads nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMMANDS", "GROUPS", "Command", "find_command", "help_text"]


class Command(NamedTuple):
    """One command; `function` is `module:name`, imported when the command runs."""

    name: str
    function: str
    summary: str

    def load(self) -> Callable[..., int | None]:
        """Import the function."""
        from importlib import import_module

        module, _, attribute = self.function.partition(":")
        function: Callable[..., int | None] = getattr(import_module(module), attribute)
        return function


SECTIONS: Final[dict[str, tuple[Command, ...]]] = {
    "Start here": (
        Command("up", "loopsy_cli.up:up", "From nothing to a shell in a browser"),
        Command("shell", "loopsy_cli.sessions:shell", "A new session, shown in this terminal"),
    ),
    "Sessions": (
        Command("list", "loopsy_cli.sessions:list_sessions", "All sessions of this machine"),
        Command("attach", "loopsy_cli.sessions:attach", "Show a session in this terminal"),
        Command("kill", "loopsy_cli.sessions:kill", "End a session's program"),
        Command("rename", "loopsy_cli.sessions:rename", "Give a session another name"),
        Command("remove", "loopsy_cli.sessions:remove", "Forget a session that has ended"),
    ),
    "Daemon": (
        Command("init", "loopsy_cli.daemon:init", "Make the home: settings and key"),
        Command("start", "loopsy_cli.daemon:start", "Start the daemon"),
        Command("stop", "loopsy_cli.daemon:stop", "Stop it; sessions live on"),
        Command("restart", "loopsy_cli.daemon:restart", "Stop and start; sessions live on"),
        Command("status", "loopsy_cli.status:status", "How the daemon is"),
    ),
    "Phones": (
        Command("mobile pair", "loopsy_cli.mobile:pair", "Show a QR and a code for a phone"),
        Command("phone list", "loopsy_cli.mobile:list_phones", "Paired phones"),
        Command("phone revoke", "loopsy_cli.mobile:revoke", "Forget a phone and cut it off"),
    ),
    "Relay": (
        Command("relay configure", "loopsy_cli.relay:configure", "Use the relay at an address"),
        Command("relay show", "loopsy_cli.relay:show", "Which relay is used, and whether it works"),
        Command("relay unset", "loopsy_cli.relay:unset", "Leave the relay"),
        Command("relay serve", "loopsy_cli.relay:serve", "Be a relay for your machines and phones"),
    ),
}

GROUPS: Final = {
    "mobile": "Pairing phones with this machine.",
    "phone": "Phones that are paired with this machine.",
    "relay": "The relay that phones come through.",
}
"""The first words that need a second."""

COMMANDS: Final = {command.name: command for section in SECTIONS.values() for command in section}

_INTRODUCTION: Final = (
    "Your terminals and AI agents, on every machine you own, from any device.\n"
    "\n"
    "Usage: loopsy [--home DIR] COMMAND [ARGUMENTS]\n"
)
_OPTIONS: Final = (
    "Everywhere\n"
    "  --home DIR       The home to use instead of ~/.loopsy, like LOOPSY_HOME\n"
    "  --json           Print one JSON document, where a command prints data\n"
    "  --help           What a command does, and its options\n"
    "  --version        Which version this is\n"
)


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """Split `words` into the name of a command or group and what follows it.

    The name is empty where there is none.
    """
    first = words[0] if words else ""
    if first in GROUPS:
        both = " ".join(words[:2])
        return (both, words[2:]) if both in COMMANDS else (first, words[1:])
    return (first, words[1:]) if first in COMMANDS else ("", words)


def help_text(group: str = "") -> str:
    """Return the list of all commands, or of those in `group`."""
    if group:
        chosen = [command for name, command in COMMANDS.items() if name.split()[0] == group]
        lines = [GROUPS[group], "", f"Usage: loopsy {group} COMMAND [ARGUMENTS]", ""]
        return "\n".join([*lines, *_table(chosen)]) + "\n"
    parts = [_INTRODUCTION]
    for title, section in SECTIONS.items():
        parts.append("\n".join([title, *_table(section)]) + "\n")
    parts.append(_OPTIONS)
    return "\n".join(parts)


def _table(commands: list[Command] | tuple[Command, ...]) -> list[str]:
    return [f"  {command.name:<15}  {command.summary}" for command in commands]
