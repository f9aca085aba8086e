"""The table of all commands: what each is called, what it does in one line, and where it lies.

The list of commands is printed from here alone, so that asking for it loads nothing else: not
even `typing`, which takes longer than the rest of it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["COMMANDS", "GROUPS", "find_command", "help_text", "load_command"]

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start here": {
        "up": ("From nothing to a shell in a browser", "loopsy_cli.up:up"),
        "shell": ("A new session, shown in this terminal", "loopsy_cli.sessions:shell"),
    },
    "Sessions": {
        "list": ("All sessions of this machine", "loopsy_cli.sessions:list_sessions"),
        "attach": ("Show a session in this terminal", "loopsy_cli.sessions:attach"),
        "history": ("What a session has shown, as text", "loopsy_cli.sessions:history"),
        "kill": ("End a session's program", "loopsy_cli.sessions:kill"),
        "rename": ("Give a session another name", "loopsy_cli.sessions:rename"),
        "remove": ("Forget sessions that have ended", "loopsy_cli.sessions:remove"),
        "command add": ("Keep a command that phones offer as one tap", "loopsy_cli.custom:add"),
        "command list": ("Such commands", "loopsy_cli.custom:list_commands"),
        "command remove": ("Forget one", "loopsy_cli.custom:remove"),
        "approve": ("Let a device's agents approve by themselves", "loopsy_cli.approve:approve"),
    },
    "Commands": {
        "exec": ("Run a command on a machine, as if it ran here", "loopsy_cli.exec:execute"),
    },
    "Files": {
        "send": ("Send files and folders to a machine", "loopsy_cli.files:send"),
        "pull": ("Fetch files and folders from one", "loopsy_cli.files:pull"),
        "ls": ("What is in a folder of a machine", "loopsy_cli.files:list_files"),
    },
    "Daemon": {
        "init": ("Make the home: settings and key", "loopsy_cli.daemon:init"),
        "start": ("Start the daemon", "loopsy_cli.daemon:start"),
        "stop": ("Stop it; sessions live on", "loopsy_cli.daemon:stop"),
        "restart": ("Stop it and start it again", "loopsy_cli.daemon:restart"),
        "doctor": ("What is wrong, and what mends it", "loopsy_cli.doctor:doctor"),
        "key show": ("This machine's public key, or the HTTP key", "loopsy_cli.api_key:show"),
        "key generate": ("A new HTTP key instead of the old one", "loopsy_cli.api_key:generate"),
        "logs": ("Who asked what of this machine", "loopsy_cli.logs:logs"),
        "status": ("How the daemon is", "loopsy_cli.status:status"),
    },
    "Machines": {
        "pair": ("Pair this machine with another", "loopsy_cli.pair:pair"),
        "peers": ("Paired machines, and how they are reached", "loopsy_cli.peers:list_peers"),
        "peers add": ("Trust a machine by its key", "loopsy_cli.peers:add"),
        "peers grant": ("Change what a machine may do here", "loopsy_cli.granting:grant_peer"),
        "peers rename": ("Call a machine something else", "loopsy_cli.peers:rename"),
        "peers remove": ("Forget a machine and cut it off", "loopsy_cli.peers:remove"),
    },
    "Shared": {
        "context set": ("Set a key to a value", "loopsy_cli.context:set_value"),
        "context get": ("Print the value of a key", "loopsy_cli.context:get"),
        "context list": ("The keys", "loopsy_cli.context:list_entries"),
        "context delete": ("Delete a key", "loopsy_cli.context:delete"),
        "context watch": ("Keys and values as they change", "loopsy_cli.context:watch"),
        "context broadcast": ("Set a key on every machine", "loopsy_cli.context:broadcast"),
        "message send": ("Send a message to a machine", "loopsy_cli.message:send"),
        "message broadcast": ("Send a message to every machine", "loopsy_cli.message:broadcast"),
        "message inbox": ("Messages that have come", "loopsy_cli.message:inbox"),
        "message ack": ("Say that a message was read", "loopsy_cli.message:ack"),
        "message outbox": ("What became of sent messages", "loopsy_cli.message:outbox"),
        "task add": ("Hand work to a machine's queue", "loopsy_cli.task:add"),
        "task list": ("The tasks in a queue", "loopsy_cli.task:list_tasks"),
        "task claim": ("Take the oldest task", "loopsy_cli.task:claim"),
        "task extend": ("Say that it is still worked on", "loopsy_cli.task:extend"),
        "task done": ("Say that it is done", "loopsy_cli.task:done"),
        "task fail": ("Say that it could not be done", "loopsy_cli.task:fail"),
        "task cancel": ("Take a task back", "loopsy_cli.task:cancel"),
        "task watch": ("Tasks as they change", "loopsy_cli.task:watch"),
    },
    "Agents": {
        "mcp add": ("Give AI agents your machines as tools", "loopsy_cli.mcp:add"),
        "mcp remove": ("Take that back", "loopsy_cli.mcp:remove"),
        "mcp status": ("Which agents know of your machines", "loopsy_cli.mcp:status"),
        "mcp serve": ("What they start: tools over stdio", "loopsy_cli.mcp:serve"),
        "mcp agents-md": ("Advice for agents, to put in AGENTS.md", "loopsy_cli.mcp:agents_md"),
    },
    "Fleet": {
        "fleet start": ("Several nodes on this machine, paired", "loopsy_cli.fleet:start"),
        "fleet list": ("Those nodes", "loopsy_cli.fleet:list_fleet"),
        "fleet stop": ("Stop them all", "loopsy_cli.fleet:stop"),
    },
    "Phones": {
        "mobile pair": ("Show a QR and a code for a phone", "loopsy_cli.mobile:pair"),
        "phone list": ("Paired phones", "loopsy_cli.mobile:list_phones"),
        "phone grant": ("Change what a phone may do here", "loopsy_cli.granting:grant_phone"),
        "phone rename": ("Call a phone something else", "loopsy_cli.mobile:rename"),
        "phone revoke": ("Forget a phone and cut it off", "loopsy_cli.mobile:revoke"),
    },
    "Relay": {
        "relay configure": ("Use the relay at an address", "loopsy_cli.relay:configure"),
        "relay show": ("Which relay is used, and whether it works", "loopsy_cli.relay:show"),
        "relay unset": ("Leave the relay", "loopsy_cli.relay:unset"),
        "relay serve": ("Be a relay for machines and phones", "loopsy_cli.relay:serve"),
    },
}

COMMANDS = {
    name: function for section in SECTIONS.values() for name, (_, function) in section.items()
}
"""Where each command's function lies, as `module:function`."""

GROUPS = {
    "key": "The public key of this machine, and the key of its HTTP door.",
    "command": "Custom commands, which phones offer as one tap.",
    "peers": "Machines that are paired with this one.",
    "context": "Values under keys, shared between machines and agents.",
    "message": "Messages between machines, and the agents on them.",
    "task": "Work that one machine hands out and any one worker takes.",
    "mcp": "Your machines as tools of AI agents.",
    "fleet": "Several nodes on one machine, to try everything on one laptop.",
    "mobile": "Pairing phones with this machine.",
    "phone": "Phones that are paired with this machine.",
    "relay": "The relay that phones come through.",
}
"""The first words that need a second."""

WIDEST = max(map(len, COMMANDS))
"""Columns of the names of commands."""

_INTRODUCTION = (
    "Your terminals and AI agents, on every machine you own, from any device.\n"
    "\n"
    "Usage: loopsy [--home DIR] COMMAND [ARGUMENTS]\n"
)
_EVERYWHERE = (
    "Everywhere\n"
    "  --home DIR         The home to use instead of ~/.loopsy, like LOOPSY_HOME\n"
    "  --json             Print one JSON document, where a command prints data\n"
    "  --help             What a command does, and its options\n"
    "  --version          Which version this is\n"
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


def load_command(name: str) -> Callable[..., int | None]:
    """Import the function of a command."""
    from importlib import import_module

    module, _, attribute = COMMANDS[name].partition(":")
    function: Callable[..., int | None] = getattr(import_module(module), attribute)
    return function


def help_text(group: str = "") -> str:
    """Return the list of all commands, or of those in `group`."""
    if group:
        start = f"{group} "
        chosen = {
            name: command
            for section in SECTIONS.values()
            for name, command in section.items()
            if name.startswith(start)
        }
        return f"Usage: loopsy {group} COMMAND [ARGUMENTS]\n\n{GROUPS[group]}\n\n{_table(chosen)}"
    sections = [f"{title}\n{_table(section)}" for title, section in SECTIONS.items()]
    return "\n".join([_INTRODUCTION, *sections, _EVERYWHERE])


def _table(commands: Mapping[str, tuple[str, str]]) -> str:
    return "".join(f"  {name:<{WIDEST}}  {summary}\n" for name, (summary, _) in commands.items())
