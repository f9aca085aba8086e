"""Loading the part of the MCP SDK that a server on stdio needs.

Importing `mcp` or `mcp.server` fills their shelves with clients, OAuth and a web framework, none of
which is used here: with 2.3 that is 70 of 550 ms, and 11 of 78 MB in every agent that runs. So the
two packages are entered with their shelves empty. That is a liberty with somebody else's package:
a version that does not bear it is loaded in the ordinary way.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Final

__all__ = ["load_sdk"]

_SHELVES: Final = ("mcp", "mcp.server")
_NEEDED: Final = ("mcp.server.lowlevel", "mcp.server.stdio", "mcp.server.subscriptions")


def load_sdk() -> None:
    """Load what we need of it, unless that has happened; then it can be imported as usual."""
    if _SHELVES[0] in sys.modules:
        return
    # What is loaded stays for good: looking for garbage among it takes 100 ms of half a second.
    collecting = gc.isenabled()
    gc.disable()
    try:
        _load()
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _load() -> None:
    try:
        for name in _SHELVES:
            spec = find_spec(name)
            if spec is None:
                break
            sys.modules[name] = module_from_spec(spec)
        for name in _NEEDED:
            import_module(name)
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == _SHELVES[0]]:
            del sys.modules[name]
        for name in _NEEDED:
            import_module(name)
