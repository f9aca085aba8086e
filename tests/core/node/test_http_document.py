"""docs/http.md tells the truth: its examples are run, its codes compared."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.node.http import guard, problems
from tests.core.node.http_world import open_door

if TYPE_CHECKING:
    from loopsy_core.home import Home

TEXT = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
NEWLINE = b"\n"
EXAMPLES = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl"
)
async def test_the_examples_work(home: Home, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    async with open_door(home) as door:
        script = "set -euo pipefail\n" + "\n".join(EXAMPLES)
        script = script.replace("/tmp", str(scratch)).replace("~/.loopsy", str(home.root))
        script = script.replace("127.0.0.1:19532", f"127.0.0.1:{door.port}")
        done = await trio.run_process(
            ["bash", "-c", script],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )
    said = done.stdout.decode()
    assert done.returncode == 0, (said, done.stderr.decode())
    assert said.count('"status":"ok"') == 1
    assert 'data: {"type":"stdout","data":"one\\n"' in said
    assert 'data: {"type":"exit","data":"0"' in said
    assert (
        said.count('"checksum":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6') == 2
    )
    assert "\nhello\n" in said or "}hello\n" in said
    assert '"value":"green"' in said
    assert '"name":"nap"' in said
    assert '"body":"it is done"' in said
    assert '"result":"built"' in said
    assert (scratch / "copy.txt").read_text() == "hello\n"


def test_the_codes_are_those_that_are_listed() -> None:
    listed = {int(code) for code in re.findall(r"\b[1-9]\d{3}\b", TEXT.partition("## Errors")[2])}
    used = {
        problems.INTERNAL,
        guard.NO_KEY,
        guard.WRONG_KEY,
        guard.WRONG_HOST,
        guard.WRONG_ORIGIN,
        *(code for family in problems.CODES.values() for code in family.values()),
        *problems.ANYWHERE.values(),
    }
    assert listed == used
