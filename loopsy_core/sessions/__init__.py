"""Terminals that outlive their viewers, and the process that owns them."""

from __future__ import annotations

from .agents import AGENTS, Agent, without_guards
from .hello import check_protocol, greet
from .reach import HostLink, HostStarter, open_host_link

__all__ = [
    "AGENTS",
    "Agent",
    "HostLink",
    "HostStarter",
    "check_protocol",
    "greet",
    "open_host_link",
    "without_guards",
]
