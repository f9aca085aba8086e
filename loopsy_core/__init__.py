"""Loopsy's public shelf: open a client or a node, and the errors they raise.

Names are loaded when they are first touched, so that `import loopsy_core` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = ["LoopsyError", "__version__", "open_client", "open_node"]

if TYPE_CHECKING:
    from .client import open_client
    from .errors import LoopsyError
    from .node import open_node

_SHELF = {"LoopsyError": ".errors", "open_client": ".client", "open_node": ".node"}


def __getattr__(name: str) -> object:
    """Import the room of `name` on first use (PEP 562)."""
    room = _SHELF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(room, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name the shelf's own things only."""
    return sorted(__all__)
