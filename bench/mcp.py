"""What an agent waits for: the start of our MCP server, a command on a peer, and its tokens.

Aims: under 0.9 s from the start to `tools/list`, under 80 MB of memory, under 5000 tokens for all
tools (estimated as characters / 4).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import trio

from bench._figures import report
from tests.mcp.agents_world import open_agent, open_two_machines

STARTS = 7
CALLS = 100
HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


def start(home: Path) -> tuple[float, float, int, int]:
    """Start a server; return seconds and processor seconds to its tools, their size, its memory."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "loopsy_cli", "mcp", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "LOOPSY_HOME": str(home)},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for message in (
            {"id": 1, "method": "initialize", "params": HELLO},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/list"},
        ):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            server.stdin.flush()
            if "id" in message:
                answer = server.stdout.readline()
        seconds = time.perf_counter() - began
        process = Path("/proc") / str(server.pid)
        times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        busy = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        memory = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        server.stdin.close()
        tools = json.dumps(json.loads(answer)["result"]["tools"])
    return seconds, busy, len(tools), memory


def bare() -> float:
    """Return the seconds in which Python loads the SDK's server and does nothing."""
    began = time.perf_counter()
    code = "import trio, mcp.server.lowlevel, mcp.server.stdio"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


async def main() -> None:
    """Measure all of it."""
    with tempfile.TemporaryDirectory(prefix="loopsy-bench-") as folder:
        root = Path(folder)
        starts, floors = [], []
        for _ in range(STARTS):  # in turns, so that a busy moment of the machine hits both
            floors.append(bare())
            starts.append(start(root / "none"))
        report("loading the SDK alone", median(floors), "s")
        report("start to tools/list", median(one[0] for one in starts), "s", aim="< 0.9")
        report("processor time for that", median(one[1] for one in starts), "s")
        report("memory then", median(one[3] for one in starts) / 1e6, "MB", aim="< 80")
        report("tools, characters / 4", starts[0][2] / 4, "tokens", aim="< 5000")
        async with open_two_machines(root) as (desk, kai), open_agent(desk.home) as agent:
            direct, called = [], []
            for _ in range(CALLS):
                began = time.perf_counter()
                await desk.client.peer("kai").run(["true"])
                direct.append(time.perf_counter() - began)
                began = time.perf_counter()
                await agent.data("execute", command=["true"], peer="kai")
                called.append(time.perf_counter() - began)
            del kai
        report("true on a peer, from Python", 1000 * median(direct), "ms")
        report("true on a peer, by loopsy_execute", 1000 * median(called), "ms")


if __name__ == "__main__":
    trio.run(main)
