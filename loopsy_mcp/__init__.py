"""The MCP server: AI agents work on all of a user's machines through it.

Names are loaded when they are first touched: the SDK behind `serve` takes half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["ADVICE", "serve"]

if TYPE_CHECKING:
    from .advice import ADVICE
    from .server import serve

_SHELF = {"ADVICE": ".advice", "serve": ".server"}


def __getattr__(name: str) -> object:
    """Import the file of `name` on first use (PEP 562)."""
    file = _SHELF.get(name)
    if file is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(file, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name the shelf's own things only."""
    return sorted(__all__)
