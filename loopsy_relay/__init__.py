"""A relay between nodes and phones: it carries sealed bytes, which it cannot read.

Names are loaded when they are first touched, so that `import loopsy_relay` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["RelayAddress", "RelayConfig", "serve_relay"]

if TYPE_CHECKING:
    from .config import RelayAddress, RelayConfig
    from .serve import serve_relay

_SHELF = {"RelayAddress": ".config", "RelayConfig": ".config", "serve_relay": ".serve"}


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
