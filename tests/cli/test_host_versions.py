"""Session hosts of other versions, as the command line shows them; each is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.cli.command_line import CommandLine

HOST = """
import sys
from pathlib import Path
import loopsy_core
loopsy_core.__version__ = sys.argv[2]
from loopsy_core.sessions import host
from loopsy_core.wire import HostHello
HostHello.protocol = int(sys.argv[3])
host.main(Path(sys.argv[1]))
"""


@contextmanager
def host_of(loopsy: CommandLine, version: str, protocol: int) -> Generator[int]:
    """Run a host that says it is of this version; yields its process id."""
    command = [sys.executable, "-c", HOST, str(loopsy.home.root), version, str(protocol)]
    with subprocess.Popen(
        command, env=loopsy.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.terminate()


def status_line(loopsy: CommandLine) -> str:
    [line] = [line for line in loopsy.say("status").splitlines() if line.startswith("host ")]
    return line


def finding(loopsy: CommandLine) -> dict[str, object]:
    """What `loopsy doctor` says of the host."""
    findings = json.loads(loopsy.run("doctor", "--json", exit_code=None).stdout)
    [found] = [each for each in findings if each["what"] == "host"]
    assert isinstance(found, dict)
    return found


def test_status_shows_the_process_that_holds_the_sessions(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "\nhost " not in loopsy.say("status")
    loopsy.session("cat")
    status = cast("dict[str, dict[str, object]]", loopsy.json("status"))
    assert f"process {status['host']['pid']}" in status_line(loopsy)
    assert status["host"]["version"] == status["version"]
    assert "Loopsy" not in status_line(loopsy)
    assert finding(loopsy)["verdict"] == "good"
    if sys.platform == "linux":
        assert " MB" in status_line(loopsy)


def test_an_older_host_is_shown_serves_and_makes_way_when_nothing_runs(loopsy: CommandLine) -> None:
    loopsy.say("init")
    with host_of(loopsy, "0.0.9", 1) as old:
        loopsy.say("start")
        loopsy.session("cat", name="pet")  # nothing ran, so the old one has made way already
        assert "Loopsy" not in status_line(loopsy)
        assert f"process {old}," not in status_line(loopsy)
        loopsy.say("stop", "--sessions")
    with host_of(loopsy, "0.0.9", 1) as old:
        ask = (
            "import trio\n"
            "from loopsy_core.client import open_host_client\n"
            "async def main():\n"
            "    async with open_host_client() as host:\n"
            "        await host.start(['cat'], name='old')\n"
            "trio.run(main)"
        )
        assert loopsy.spawn(sys.executable, "-c", ask).exit_code() == 0
        loopsy.say("start")
        loopsy.session("cat", name="new")
        line = status_line(loopsy)
        assert f"process {old}," in line
        assert "Loopsy 0.0.9: it holds all sessions until none runs" in line
        assert finding(loopsy)["verdict"] == "note"
        for name in ("old", "new"):
            loopsy.say("kill", name)
        loopsy.session("cat", name="last")
        assert "Loopsy" not in status_line(loopsy)
        listed = cast("list[dict[str, object]]", loopsy.json("list"))
        assert [(each["name"], each["alive"]) for each in listed][-3:] == [
            ("old", False), ("new", False), ("last", True),
        ]  # fmt: skip


def test_a_host_that_is_too_new_is_named_and_left_alone(loopsy: CommandLine) -> None:
    loopsy.say("init")
    with host_of(loopsy, "7.0", 2) as new:
        loopsy.say("start")
        for words in (["list"], ["kill", "pet"]):
            said = loopsy.complaint(*words, exit_code=1)
            assert f"held by Loopsy 7.0 (process {new})" in said
            assert "start the daemon with that version" in said
        assert "too new for this daemon" in status_line(loopsy)
        assert finding(loopsy)["verdict"] == "bad"
        assert finding(loopsy)["mend"] == "start the daemon with Loopsy 7.0 or newer"
        assert loopsy.say("stop") == "the daemon has stopped\n"
        assert loopsy.home.host_socket.exists()
