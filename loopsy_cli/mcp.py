"""Your machines as tools of AI agents: serving them, and registering that with each agent."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Annotated

from loopsy_core.errors import BadRequest, LoopsyError

from .options import Json, Option
from .show import note, print_json, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from .registering import Registered

__all__ = ["add", "agents_md", "command_of_server", "remove", "serve", "status"]

DryRun = Annotated[bool, Option("Only show what would be changed or run.")]


def serve() -> None:
    """Serve an AI agent over standard input and output (MCP), until it leaves.

    Agents start this by themselves, once `loopsy mcp add` has told them to.
    """
    from loopsy_core.home import Home
    from loopsy_mcp import serve as serve_agent

    # Until it serves, and then knows better, Ctrl-C may simply end us.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve_agent(Home.find())


def add(*agents: str, dry_run: DryRun = False, json: Json = False) -> int:
    """Register with AGENTS (claude, codex, gemini, opencode), by default all that are installed.

    It is done by the agent's own command or in its settings, of which nothing else is changed;
    doing it again changes nothing. Restart the agent afterwards.
    """
    command = command_of_server()
    return _each(_chosen(agents), lambda agent: agent.add(command, dry_run=dry_run), as_json=json)


def remove(*agents: str, dry_run: DryRun = False, json: Json = False) -> int:
    """Take what `loopsy mcp add` did back, by default from all agents that are installed."""
    return _each(_chosen(agents), lambda agent: agent.remove(dry_run=dry_run), as_json=json)


def status(*, json: Json = False) -> None:
    """Show which agents there are, and whether they know of your machines."""
    from .registering import AGENTS

    command = command_of_server()
    rows: list[dict[str, str | bool]] = []
    for agent in AGENTS.values():
        try:
            state = agent.state(command)
        except LoopsyError as error:
            state = error.message
        rows.append(
            {
                "agent": agent.name,
                "installed": agent.installed,
                "state": state,
                "file": str(agent.file),
            }
        )
    if json:
        print_json(rows)
    else:
        table(("AGENT", "INSTALLED", "STATE", "SETTINGS"), map(_row, rows))


def agents_md() -> None:
    """Print a section for your AGENTS.md, CLAUDE.md or GEMINI.md: how to work with the tools."""
    from loopsy_mcp import ADVICE

    sys.stdout.write(ADVICE)


def _each(agents: list[Registered], act: Callable[[Registered], str], *, as_json: bool) -> int:
    """Do it for each agent, and say of each how it went."""
    results: list[dict[str, str | None]] = []
    for agent in agents:
        try:
            done, problem = act(agent), None
        except LoopsyError as error:
            done, problem = None, error.message
        results.append({"agent": agent.name, "done": done, "problem": problem})
        if as_json:
            continue
        if problem is not None:
            note(f"{agent.title}: {problem}")
        elif done is not None:
            say(f"{agent.title}:\n{done}" if "\n" in done else f"{agent.title}: {done}")
    if as_json:
        print_json(results)
    return 1 if any(result["problem"] for result in results) else 0


def _chosen(names: tuple[str, ...]) -> list[Registered]:
    from .registering import AGENTS

    unknown = [name for name in names if name not in AGENTS]
    if unknown:
        raise BadRequest(f"there is no agent {unknown[0]!r}; there are: {', '.join(AGENTS)}")
    chosen = [AGENTS[name] for name in names] or [
        agent for agent in AGENTS.values() if agent.installed
    ]
    if not chosen:
        raise BadRequest(f"no agent is installed here; name one: {', '.join(AGENTS)}")
    return chosen


def command_of_server() -> list[str]:
    """Return what starts the server for this home, whatever the PATH of the agent is."""
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) == "loopsy" and os.access(own, os.X_OK):
        program = [own]
    else:
        found = shutil.which("loopsy")
        same = found is not None and os.path.dirname(found) == os.path.dirname(sys.executable)
        program = [found] if found and same else [sys.executable, "-P", "-m", "loopsy_cli"]
    home = os.environ.get("LOOPSY_HOME")
    return [*program, *(["--home", os.path.abspath(home)] if home else []), "mcp", "serve"]


def _row(row: dict[str, str | bool]) -> tuple[str, ...]:
    installed = "yes" if row["installed"] else "no"
    return str(row["agent"]), installed, str(row["state"]), str(row["file"])
