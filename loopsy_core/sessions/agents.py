"""The agents that sessions can be started as: their programs, and how they are told not to ask.

One table for all there is to know of them. Their flags and variables are those of the agents' own
manuals and programs, looked up in November 2026.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """What tells it to approve by itself what it would ask; nothing where there is no such flag."""

    def command(self, arguments: Sequence[str], *, auto_approve: bool) -> list[str]:
        """Return what starts it. The flags are there once, also if `arguments` has them too."""
        flags = self.auto_approve if auto_approve else ()
        repeated = not set(flags) - set(arguments)
        return [self.program, *(() if repeated else flags), *arguments]


AGENTS: Final[Mapping[str, Agent]] = {
    agent.name: agent
    for agent in (
        Agent("claude", "Claude Code", "claude", ("--dangerously-skip-permissions",)),
        # What --full-auto stood for until 0.126 took it away: it works, in its sandbox, without
        # asking. Settings rather than -a and -s, because old versions know them, `exec` does too,
        # and an -a of the user's own would be an error beside ours (tried with 0.100 and 0.169).
        Agent(
            "codex",
            "Codex",
            "codex",
            ("-c", "approval_policy=never", "-c", "sandbox_mode=workspace-write"),
        ),
        # Known since 0.2 (August 2025); -y means the same and is deprecated.
        Agent("gemini", "Gemini", "gemini", ("--approval-mode=yolo",)),
        # Known since 1.17 (June 2026). For older ones there is OPENCODE_PERMISSION, but to allow
        # everything by that goes over what the user's own settings deny, and this does not.
        Agent("opencode", "OpenCode", "opencode", ("--auto",)),
    )
}

# By these variables programs think that they run inside one another: what the agents set for the
# commands that they run, and the multiplexers. What a user sets for an agent (CLAUDE_CODE_USE_...,
# CODEX_HOME, OPENCODE_CONFIG) stays.
_GUARDS: Final = re.compile(
    r"CLAUDECODE|CLAUDE_PID|CLAUDE_EFFORT|AI_AGENT"
    r"|CLAUDE_CODE_(ENTRYPOINT|SSE_PORT|EXECPATH|SESSION_(ID|ATTENDED)"
    r"|CHILD_(SESSION|NOTES_DIR)|LAUNCHED_BY_SESSION_IDS|BRIDGE_SESSION_ID)"
    r"|CODEX_(SANDBOX.*|THREAD_ID|SESSION_ID|CI)"
    r"|GEMINI_CLI|GEMINI_CLI_NO_RELAUNCH"
    r"|OPENCODE|OPENCODE_PID|OPENCODE_TERMINAL|AGENT"
    r"|TMUX|TMUX_PANE|STY|ZELLIJ.*"
)


def without_guards(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without what would make an agent refuse to start inside another."""
    return {name: value for name, value in env.items() if not _GUARDS.fullmatch(name)}
