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
    assert not {"mcp.client", "httpx2", "mcp.server.mcpserver"} & set(loaded)


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
