"""Two machines at the command line: terminals, lists and records, on the one about the other."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, cast

import pytest

from tests.cli.command_line import PATIENCE, CommandLine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

SETTINGS = "server: {{port: 0, name: {name}}}\ndiscovery: {{enabled: false}}\n"


def machine(folder: Path, name: str) -> CommandLine:
    """Return the command line of a machine of that name, whose daemon listens."""
    folder.mkdir()
    loopsy = CommandLine(folder)
    loopsy.run("init")
    loopsy.home.config.write_text(SETTINGS.format(name=name), encoding="utf-8")
    loopsy.run("start", "--lan")
    return loopsy


@pytest.fixture
def machines(tmp_path: Path) -> Generator[tuple[CommandLine, CommandLine]]:
    """Two paired machines: kai, and mac."""
    kai = machine(tmp_path / "kai", "kai")
    mac = machine(tmp_path / "mac", "mac")
    try:
        here = cast("dict[str, str]", kai.json("status"))
        there = cast("dict[str, str]", mac.json("status"))
        mac.run(
            "peers", "add", f"127.0.0.1:{here['port']}", "--key", here["node_id"], "--name", "kai"
        )
        kai.run(
            "peers", "add", f"127.0.0.1:{there['port']}", "--key", there["node_id"], "--name", "mac"
        )
        deadline = time.monotonic() + PATIENCE
        while cast("list[dict[str, object]]", mac.json("peers"))[0]["way"] is None:
            assert time.monotonic() < deadline
        yield kai, mac
    finally:
        mac.close()
        kai.close()


def test_a_terminal_on_another_machine(machines: tuple[CommandLine, CommandLine]) -> None:
    kai, mac = machines
    shell = mac.on_terminal("shell", "--peer", "kai", "--name", "work", "--", "/bin/sh")
    shell.wait_attached()
    shell.type(b"echo on $LOOPSY_HOME\r")
    shell.expect(f"on {kai.home.root}".encode())
    shell.type(b"\x01d")
    assert shell.exit_code() == 0
    assert b"loopsy attach kai:work" in shell.output

    assert [info["name"] for info in json.loads(kai.say("list", "--json"))] == ["work"]
    [listed] = json.loads(mac.say("list", "--json"))
    assert (listed["machine"], listed["name"]) == ("kai", "work")
    assert "kai:work" in mac.say("list")
    assert mac.json("list", "--local") == []

    again = mac.on_terminal("attach", "kai:work")
    again.wait_attached()
    again.type(b"exit 7\r")
    again.exit_code()
    assert b"kai:work ended with exit status 7" in again.output
    assert "echo on" in mac.say("history", "kai:work")
    mac.run("rename", "kai:work", "done")
    mac.run("remove", "kai:done")
    assert mac.json("list") == []


def test_a_command_on_another_machine_and_its_record_there(
    machines: tuple[CommandLine, CommandLine],
) -> None:
    kai, mac = machines
    assert (
        mac.run("exec", "kai", "--", "sh", "-c", "echo out; exit 3", exit_code=3).stdout == "out\n"
    )
    lines = [json.loads(line) for line in kai.say("logs", "--json").splitlines()]
    [ran] = [line for line in lines if line["op"] == "jobs.run"]
    assert (ran["actor"], ran["result"]) == ("machine mac", "ok")
    assert "out" not in json.dumps(ran)
    passed = [json.loads(line) for line in mac.say("logs", "--json").splitlines()]
    assert [line["to"] for line in passed if line["op"] == "jobs.run"] == ["kai"]


def test_the_record_is_followed_by_who_asked_and_since_when(
    machines: tuple[CommandLine, CommandLine],
) -> None:
    kai, mac = machines
    kai.run("exec", "local", "--", "true")
    mac.run("exec", "kai", "--", "true")
    following = kai.start("logs", "-f", "--actor", "mac", "--since", "1h", "--json")
    assert following.stdout is not None
    first = json.loads(following.stdout.readline())
    while first["op"] != "jobs.run":
        first = json.loads(following.stdout.readline())
    kai.run("exec", "local", "--", "true")
    mac.run("exec", "kai", "--", "sh", "-c", "exit 3", exit_code=3)
    following_lines = iter(following.stdout.readline, "")
    second = next(line for line in map(json.loads, following_lines) if line["op"] == "jobs.run")
    assert {first["actor"], second["actor"]} == {"machine mac"}
    assert first["at"] < second["at"]
    mine = kai.say("logs", "--actor", "me")
    assert mine.count("jobs.run") == 2
    assert "machine mac" not in mine
    assert kai.say("logs", "--actor", first["contact"][:8]).count("jobs.run") == 2
    assert kai.say("logs", "--actor", "nobody") == ""
    time.sleep(1.1)
    assert kai.say("logs", "--since", "1s", "--actor", "mac") == ""


def test_machines_that_are_not_there_are_named(machines: tuple[CommandLine, CommandLine]) -> None:
    kai, mac = machines
    assert "there is no machine 'pi'" in mac.complaint("exec", "pi", "--", "true", exit_code=5)
    kai.run("stop")
    deadline = time.monotonic() + PATIENCE
    while cast("list[dict[str, object]]", mac.json("peers"))[0]["way"] is not None:
        assert time.monotonic() < deadline
    assert "kai is not reached" in mac.complaint("history", "kai:work", exit_code=1)
    assert mac.json("list") == []
    assert "away, so not asked: kai" in mac.run("list").stderr
    assert mac.run("list", "--local").stderr == ""
    said = mac.say("doctor", exit_code=1)
    assert "kai is not reached" in said
    assert "Connection refused" in said
    assert "it is on, but Loopsy takes no calls there" in said
