"""Telling AI agents of our MCP server, in their own settings, and taking it back."""

from __future__ import annotations

from .agents import AGENTS, NAME, Registered

__all__ = ["AGENTS", "NAME", "Registered"]
