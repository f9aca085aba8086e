"""The agents that sessions can be started as: their programs, and how they are told not to ask.

One table for all there is to know of them. Their flags are those of the agents' own manuals.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AGENTS", "Agent", "without_guards"]


@attrs.frozen
class Agent:
    """One agent."""

    name: str
    """The kind of its sessions."""
    title: str
    program: str
    """What it is called on the PATH."""
    auto_approve: tuple[str, ...]
    """What tells it to approve by itself; nothing where there is no such flag."""


AGENTS: Final[Mapping[str, Agent]] = {
    agent.name: agent
    for agent in (
        Agent("claude", "Claude Code", "claude", ("--dangerously-skip-permissions",)),
        Agent("codex", "Codex", "codex", ("--full-auto",)),
        Agent("gemini", "Gemini", "gemini", ("-y",)),
        Agent("opencode", "OpenCode", "opencode", ()),
    )
}

# By these variables programs think that they run inside one another.
_GUARDS: Final = re.compile(
    r"CLAUDECODE|CLAUDE_CODE_(ENTRYPOINT|SSE_PORT|SESSION_ID)|CODEX_(SANDBOX.*|THREAD_ID|CI)"
    r"|GEMINI_CLI|OPENCODE|OPENCODE_PID|AGENT|TMUX|TMUX_PANE|STY|ZELLIJ.*"
)


def without_guards(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without what would make an agent refuse to start inside another."""
    return {name: value for name, value in env.items() if not _GUARDS.fullmatch(name)}
