"""Loading the part of the MCP SDK that a server on stdio needs.

Imported as usual, it also loads clients, OAuth, two web frameworks and a web server, and builds a
validator for each of several hundred types; that is more than half of the time from an agent's
start to our tools, and 15 of 80 MB in every agent that runs. So

- the two packages are entered with their shelves empty,
- what the server would serve HTTP with is hollow while its file is imported,
- validators are built when they are first used (pydantic's `defer_build`).

These are liberties with somebody else's package, each undone once it is loaded: whoever imports the
rest later gets the real thing. A version that does not bear them is loaded in the ordinary way.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, MutableSequence

__all__ = ["load_sdk"]

_SHELVES: Final = ("mcp", "mcp.server")
_NEEDED: Final = ("mcp.server.lowlevel", "mcp.server.stdio", "mcp.server.subscriptions")
_FOR_HTTP: Final = (
    *("starlette", "starlette.applications", "starlette.middleware"),
    *("starlette.middleware.authentication", "starlette.routing"),
    *("mcp.server.auth", "mcp.server.auth.middleware", "mcp.server.auth.middleware.auth_context"),
    *("mcp.server.auth.middleware.bearer_auth", "mcp.server.auth.provider"),
    *("mcp.server.auth.routes", "mcp.server.auth.settings"),
    *("mcp.server.streamable_http", "mcp.server.streamable_http_manager"),
    "mcp.server.transport_security",
)


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
        with _hollow_modules(), _validators_built_when_used():
            for name in _SHELVES:
                spec = find_spec(name)
                if spec is None:
                    break
                sys.modules[name] = module_from_spec(spec)
            for name in _NEEDED:
                import_module(name)
    except Exception:
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("mcp", "mcp_types")
        ]:
            del sys.modules[name]
        for name in _NEEDED:
            import_module(name)


class _Hollow(ModuleType):
    """Stands for a module of which nothing is used; whatever is asked of it is an empty class."""

    __path__: MutableSequence[str] = []  # noqa: RUF012 - a package, in which there is nothing

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def _hollow_modules() -> Generator[None]:
    hollow = [name for name in _FOR_HTTP if name not in sys.modules]
    sys.modules.update({name: _Hollow(name) for name in hollow})
    try:
        yield
    finally:
        for name in hollow:
            if isinstance(sys.modules.get(name), _Hollow):
                del sys.modules[name]


@contextmanager
def _validators_built_when_used() -> Generator[None]:
    from pydantic import BaseModel, ConfigDict

    before = BaseModel.model_config
    BaseModel.model_config = ConfigDict(defer_build=True)  # which all models inherit
    try:
        yield
    finally:
        BaseModel.model_config = before
