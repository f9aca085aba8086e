"""The node: every part of one machine's daemon, put together."""

from __future__ import annotations

from .node import Node, open_node

__all__ = ["Node", "open_node"]
