"""Fuzz the HTTP door of a real node with schemathesis: `nox -s fuzz`.

The node has a home and a folder for files of its own, and no program is to be found on its PATH:
what is made up here is really run, written and read. Options of `schemathesis run` may follow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from tests.fuzz.http_hooks import FILES
from tests.machine import running_node, temporary_home

ROOT = Path(__file__).parents[2]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method,ignored_auth"
)
SETTINGS = """
[[operations]]
include-path-regex = "^/api/v1/events"  # they never end
enabled = false
"""


async def main() -> int:
    with temporary_home() as home:
        user = home.root.parent / "user"
        user.mkdir()
        settings = home.root.parent / "schemathesis.toml"
        os.environ.update({"HOME": str(user), "SHELL": "/bin/true", FILES: str(user)})
        path, os.environ["PATH"] = os.environ["PATH"], str(user)
        home.config.write_text("server: {port: 0}\ndiscovery: {enabled: false}\n")
        home.config.chmod(0o600)
        async with running_node(home) as client:
            port = (await client.status()).http_port
            key = home.api_key.read_text().strip()
            settings.touch(0o600)
            settings.write_text(f'headers = {{ Authorization = "Bearer {key}" }}\n{SETTINGS}')
            command = [
                *("schemathesis", "--config-file", str(settings), "run"),
                *(f"http://127.0.0.1:{port}/api/v1/openapi.json", "--checks", CHECKS),
                *("--max-failures", "20", "--seed", "19532", *sys.argv[1:]),
            ]
            more = {
                "SCHEMATHESIS_HOOKS": "tests.fuzz.http_hooks",
                "PYTHONPATH": str(ROOT),
                "PATH": path,
            }
            # In a folder that goes away, for it leaves a cache where it stands.
            done = await trio.run_process(
                command, check=False, cwd=home.root.parent, env={**os.environ, **more}
            )
        log = home.node_log.read_text()
        sys.stdout.write("".join(line for line in log.splitlines(True) if " ERROR " in line))
        return done.returncode or int(" ERROR " in log)


if __name__ == "__main__":
    sys.exit(trio.run(main))
