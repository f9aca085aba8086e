"""Prompts that a user may choose in the agent: help, and coordinating several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from .advice import ADVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["get_prompt", "list_prompts"]

_HELP: Final = types.Prompt(
    name="loopsy_help", description="What Loopsy's tools can do, and which to use when"
)
_COORDINATE: Final = types.Prompt(
    name="loopsy_coordinate",
    description="Work towards a goal with several machines and the agents on them",
    arguments=[
        types.PromptArgument(name="goal", description="What is to be achieved", required=True),
        types.PromptArgument(name="machines", description="Which machines; default: all online"),
    ],
)

_PLAN: Final = """\
Coordinate this across the user's machines with Loopsy: {goal}

Machines: {machines}.

1. `loopsy_list_peers`, and `loopsy_peer_status` of those that matter: which are online, which
   agents are installed there.
2. Split the goal into parts that one machine can do alone. Say which machine does which part, and
   why, before you start.
3. Plain commands: `loopsy_execute`. Parts that need judgement there: `loopsy_task_add` in that
   machine's queue if an agent serves it, or `loopsy_session_start` with `agent` and the part as its
   prompt in `args`.
4. Tell the agents what they need from each other by `loopsy_broadcast_context` (facts) and
   `loopsy_send_message` (requests); move files by `loopsy_transfer_file`.
5. Wait rather than poll (`wait`, `timeout`, `loopsy_session_wait`). If a machine goes offline, go
   on with the others and come back to it.
6. At the end: stop and remove the sessions that you started, and report each machine's result.
"""


def list_prompts() -> types.ListPromptsResult:
    """Return both."""
    return types.ListPromptsResult(prompts=[_HELP, _COORDINATE])


def get_prompt(name: str, arguments: Mapping[str, str] | None) -> types.GetPromptResult:
    """Return a prompt's text; raises `MCPError` for one that there is not, or without a goal."""
    given = arguments or {}
    if name == _HELP.name:
        return _said(f"Explain to me what I can do with these tools.\n\n{ADVICE}")
    if name != _COORDINATE.name:
        names = f"{_HELP.name} and {_COORDINATE.name}"
        raise MCPError(types.INVALID_PARAMS, f"there is no prompt {name!r}; there are {names}")
    if not given.get("goal", "").strip():
        raise MCPError(types.INVALID_PARAMS, "loopsy_coordinate needs a goal")
    machines = given.get("machines") or "all that are online"
    return _said(_PLAN.format(goal=given["goal"], machines=machines))


def _said(text: str) -> types.GetPromptResult:
    return types.GetPromptResult(
        messages=[types.PromptMessage(role="user", content=types.TextContent(text=text))]
    )
