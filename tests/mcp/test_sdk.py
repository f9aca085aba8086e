"""The SDK is loaded without what a server on stdio does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def output_of(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_client_and_no_web_server_is_loaded() -> None:
    loaded = output_of("import sys, loopsy_mcp.server; print(*sys.modules)")
    assert "mcp.server.lowlevel.server" in loaded
    unwanted = {"mcp.client", "httpx2", "mcp.server.mcpserver", "starlette", "uvicorn"}
    assert not {*unwanted, "mcp.server.auth", "mcp.server.streamable_http"} & set(loaded)


def test_what_was_left_out_is_the_real_thing_for_whoever_imports_it_later() -> None:
    assert output_of("""
import loopsy_mcp.server
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import StreamableHTTPServerTransport
from starlette.applications import Starlette
import pydantic

class Model(pydantic.BaseModel):
    number: int

print(AccessToken.__module__, StreamableHTTPServerTransport.__module__, Starlette.__module__)
print(AccessToken(token="t", client_id="c", scopes=[]).token, Model.__pydantic_complete__)
""") == [
        *("mcp.server.auth.provider", "mcp.server.streamable_http", "starlette.applications"),
        *("t", "True"),
    ]


def test_a_version_that_stumbles_over_what_is_hollow_is_loaded_in_the_ordinary_way() -> None:
    loaded = output_of("""
import sys, importlib.abc, importlib.machinery, importlib.util

class Stumbles(importlib.abc.Loader):
    def __init__(self, loader):
        self._loader = loader
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        import starlette.routing
        starlette.routing.Route("/x", print)  # the empty class takes no arguments
        self._loader.exec_module(module)

class Finder:
    def find_spec(self, name, path, target=None):
        if name != "mcp.server.stdio":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        spec.loader = Stumbles(spec.loader)
        return spec

sys.meta_path.insert(0, Finder())
import loopsy_mcp.server
print(*sys.modules)
""")
    assert {"mcp.server.stdio", "starlette.routing", "mcp.server.auth.provider"} <= set(loaded)


def test_a_version_that_needs_its_shelf_is_loaded_in_the_ordinary_way() -> None:
    loaded = output_of("""
import sys

class Needs:
    def find_spec(self, name, path, target=None):
        if name == "mcp.server.stdio" and "mcp.client" not in sys.modules:
            raise ImportError("the shelf is empty")

sys.meta_path.insert(0, Needs())
import loopsy_mcp.server, mcp
print(mcp.ClientSession.__name__, *sys.modules)
""")
    assert loaded[0] == "ClientSession"
    assert "mcp.client" in loaded


def test_the_command_line_loads_none_of_it_before_it_serves() -> None:
    loaded = output_of("import sys, loopsy_cli.mcp, loopsy_mcp; print(*sys.modules)")
    assert not {"mcp", "pydantic", "mcp_types"} & set(loaded)
    assert output_of("import loopsy_mcp; print(loopsy_mcp.ADVICE[:2])") == ["##"]
