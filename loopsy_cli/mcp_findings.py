"""What `loopsy doctor` finds of MCP: who knows of our server, and whether that starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import LoopsyError

from .finding import Finding, Verdict

if TYPE_CHECKING:
    from .registering import Registered

__all__ = ["look_at_agents"]

PATIENCE: Final = 20.0
"""Seconds that the server may take to say its first word."""
HELLO: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "loopsy doctor", "version": "1"},
    },
}


def look_at_agents() -> Iterator[Finding]:
    """Look at the settings of each agent that is installed, and start our server as they do."""
    from .mcp import command_of_server
    from .registering import AGENTS

    command = command_of_server()
    installed = [agent for agent in AGENTS.values() if agent.installed]
    knowing: list[str] = []
    strangers: list[str] = []
    for agent in installed:
        try:
            state, entry = agent.state(command), agent.found
        except LoopsyError as error:
            yield Finding(
                "mcp", Verdict.BAD, f"{agent.title}'s settings: {error}",
                f"mend that file; then loopsy mcp add {agent.name}",
            )  # fmt: skip
            continue
        if state == "registered":
            knowing.append(agent.title)
        elif entry is None:
            strangers.append(agent.title)
        else:
            yield _other(agent, state, entry)
    if knowing:
        yield _served(command, ", ".join(knowing))
    if strangers:
        yield Finding(
            "mcp", Verdict.NOTE, f"{', '.join(strangers)} cannot use your machines",
            "loopsy mcp add",
        )  # fmt: skip
    if not installed:
        yield Finding("mcp", Verdict.NOTE, f"no agent is installed here ({', '.join(AGENTS)})")


def _other(agent: Registered, state: str, entry: Mapping[str, object]) -> Finding:
    """Tell of an agent that is registered otherwise than we would do it."""
    if state == "switched off":
        return Finding(
            "mcp", Verdict.NOTE, f"{agent.title} has your machines switched off",
            f"switch them on in {agent.file}",
        )  # fmt: skip
    program = agent.starts(entry)
    mend = f"loopsy mcp add {agent.name} makes it this one"
    if not isinstance(program, str) or not program:
        return Finding("mcp", Verdict.BAD, f"{agent.title} starts no program for it", mend)
    if shutil.which(os.path.expanduser(program)) is None:
        return Finding(
            "mcp", Verdict.BAD, f"{agent.title} starts {program}, which is not there", mend
        )
    return Finding("mcp", Verdict.NOTE, f"{agent.title} starts another Loopsy: {program}", mend)


def _served(command: Sequence[str], who: str) -> Finding:
    """Start the server as an agent does, and see that it answers."""
    try:
        done = subprocess.run(
            command,
            input=json.dumps(HELLO).encode() + b"\n",
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        said = f"it says nothing for {PATIENCE:.0f} s"
    except OSError as error:
        said = error.strerror or str(error)
    else:
        if b'"serverInfo"' in done.stdout:
            return Finding("mcp", Verdict.GOOD, f"the server starts, and is known to {who}")
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else f"it ends with {done.returncode} and no word"
    return Finding(
        "mcp", Verdict.BAD, f"the server that {who} would start does not: {said[:300]}",
        f"see what this says: {' '.join(command)}",
    )  # fmt: skip
