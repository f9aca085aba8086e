"""Context as a user has it: set, get, list, watch, and what cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.world import holder_of

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


@pytest.fixture
def daemon(loopsy: CommandLine) -> CommandLine:
    loopsy.run("start")
    return loopsy


def set_from_input(loopsy: CommandLine, key: str, value: bytes) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "loopsy_cli", "context", "set", key, "-"],
        input=value,
        env=loopsy.environment,
        cwd=loopsy.folder,
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode


def test_a_value_is_set_read_listed_and_deleted(daemon: CommandLine) -> None:
    daemon.say("context", "set", "build:ios", "ok", "--ttl", "5m")
    assert daemon.say("context", "get", "build:ios") == "ok"
    [listed] = daemon.json("context", "list", "--prefix", "build:")
    assert (listed["key"], listed["size"], listed["revision"]) == ("build:ios", 2, 1)
    daemon.say("context", "delete", "build:ios")
    assert "nothing under 'build:ios'" in daemon.complaint(
        "context", "get", "build:ios", exit_code=5
    )


def test_a_value_comes_on_standard_input_and_goes_out_as_it_is(daemon: CommandLine) -> None:
    value = "\u00e9\n\0\x1b[31m".encode() * 100_000
    assert set_from_input(daemon, "big", value) == 0
    done = subprocess.run(
        [sys.executable, "-m", "loopsy_cli", "context", "get", "big"],
        env=daemon.environment,
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == value
    assert set_from_input(daemon, "big", value + bytes(1 << 20)) == 2
    assert set_from_input(daemon, "big", b"\xff") == 2


def test_a_revision_that_does_not_match_is_told(daemon: CommandLine) -> None:
    daemon.say("context", "set", "k", "1", "--if-revision", "0")
    said = daemon.complaint("context", "set", "k", "2", "--if-revision", "7", exit_code=1)
    assert "'k' has revision 1; you asked for 7" in said
    told = daemon.run("context", "set", "k", "2", "--if-revision", "7", "--json", exit_code=1)
    assert json.loads(told.stdout)["error"]["details"] == {"revision": 1}
    daemon.say("context", "set", "k", "2", "--if-revision", "1")
    assert daemon.say("context", "get", "k") == "2"


@pytest.mark.parametrize(
    "words",
    [
        ["k", "v", "--ttl", "abc"],
        ["k", "v", "--ttl", "-5"],
        ["k", "v", "--ttl", "36500d"],
        ["k" * 513, "v"],
        ["a\nb", "v"],
        ["", "v"],
        ["k", "v", "--if-revision", "-1"],
    ],
)
def test_what_cannot_be_is_said_in_one_line(shared: CommandLine, words: list[str]) -> None:
    shared.complaint("context", "set", *words, exit_code=2)
    assert shared.json("context", "list") == []


def test_watching_shows_what_there_is_and_what_changes(daemon: CommandLine) -> None:
    daemon.say("context", "set", "w:1", "a")
    watching = daemon.start("context", "watch", "--prefix", "w:", "--json")
    assert watching.stdout is not None

    def told() -> dict[str, object]:
        assert watching.stdout is not None
        heard: dict[str, object] = json.loads(watching.stdout.readline())
        return heard

    assert (told()["value"], told()["type"]) == ("a", "current")
    daemon.say("context", "set", "w:2", "b")
    daemon.say("context", "set", "other", "c")
    daemon.say("context", "delete", "w:1")
    assert told()["value"] == "b"
    assert told() == {"type": "deleted", "key": "w:1", "revision": 4, "why": "deleted"}
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 130


def test_a_broadcast_says_who_has_it(daemon: CommandLine) -> None:
    [result] = daemon.json("context", "broadcast", "deploy", "now")
    assert result["error"] is None
    assert daemon.say("context", "get", "deploy") == "now"


def test_what_was_acknowledged_survives_kill_9(daemon: CommandLine) -> None:
    for number in range(5):
        daemon.say("context", "set", f"k{number}", str(number))
        pid = holder_of(daemon.home.node_lock)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        daemon.run("start")
    assert len(daemon.json("context", "list")) == 5
