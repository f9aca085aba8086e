"""Your machines as tools of AI agents: serving them, and registering that with each agent."""

from __future__ import annotations

import signal

__all__ = ["serve"]


def serve() -> None:
    """Serve an AI agent over standard input and output (MCP), until it leaves.

    Agents start this by themselves, once `loopsy mcp add` has told them to.
    """
    from loopsy_core.home import Home
    from loopsy_mcp import serve as serve_agent

    # The thread that reads standard input cannot be interrupted, so Ctrl-C may simply end us.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve_agent(Home.find())
