"""Several nodes on one machine: the commands of a fleet, and the examples that run on it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from loopsy_core.home import Home
from tests.cli.command_line import PATIENCE, CommandLine
from tests.world import end_holder

if TYPE_CHECKING:
    from collections.abc import Generator

MESSAGE_KEYS = {"from", "to", "ts", "id", "type", "body", "reply_to", "state", "error"}
EXAMPLES = Path(__file__).parents[2] / "examples"
COUNT = 3
KIND = ("--kind", "race")
WORKER = """
import trio
from loopsy_core.client import open_client

async def main():
    async with open_client() as here, here.peer("fleet-2").tasks.claim(
        "race", lease=2.0, wait=3.0
    ) as work:
        print(*((work.task.id, work.task.attempts) if work else ("none",)), flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
"""Works on its task until it is killed."""


class Fleet:
    """A fleet, and programs that run beside one of its nodes."""

    def __init__(self, folder: Path) -> None:
        self.loopsy = CommandLine(folder)
        self._started: list[subprocess.Popen[str]] = []

    def home(self, number: int) -> Home:
        return Home(self.loopsy.home.root / "fleet" / f"fleet-{number}")

    def on(self, number: int, *words: str, exit_code: int = 0) -> str:
        """Run `loopsy` for one node; return what it printed."""
        return self.loopsy.say("--home", str(self.home(number).root), *words, exit_code=exit_code)

    def json(self, number: int, *words: str) -> list[dict[str, object]]:
        found = self.loopsy.json("--home", str(self.home(number).root), *words)
        return cast("list[dict[str, object]]", found)

    def example(self, number: int, name: str, *words: str) -> subprocess.Popen[str]:
        return self.python(number, str(EXAMPLES / name), *words)

    def python(self, number: int, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *words],
            env={**self.loopsy.environment, "LOOPSY_HOME": str(self.home(number).root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        out, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, out

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate(timeout=PATIENCE)
        self.loopsy.run("fleet", "stop", exit_code=None)
        self.loopsy.close()
        for number in range(1, COUNT + 1):
            end_holder(self.home(number).node_lock)
            end_holder(self.home(number).host_lock)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fleet]:
    """One fleet for all tests here, which takes a few seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(EXAMPLES.parent))
        fleet = Fleet(tmp_path_factory.mktemp("fleet"))
        try:
            fleet.loopsy.run("fleet", "start", "--count", str(COUNT))
            yield fleet
        finally:
            fleet.close()


def test_all_of_a_fleet_have_met_and_starting_it_again_changes_nothing(fleet: Fleet) -> None:
    before = cast("list[dict[str, object]]", fleet.loopsy.json("fleet", "list"))
    assert [member["name"] for member in before] == ["fleet-1", "fleet-2", "fleet-3"]
    assert all(member["running"] and member["peers"] == 2 for member in before)
    assert len({member["port"] for member in before}) == COUNT
    again = fleet.loopsy.json("fleet", "start", "--count", str(COUNT))
    assert again == before
    for number in range(1, COUNT + 1):
        assert [peer["way"] for peer in fleet.json(number, "peers")] == ["lan", "lan"]
    assert "1 to 20 nodes" in fleet.loopsy.complaint("fleet", "start", "--count", "0", exit_code=2)


def test_context_of_another_machine_is_set_and_read(fleet: Fleet) -> None:
    fleet.on(1, "context", "set", "there", "value", "--peer", "fleet-2")
    assert fleet.on(2, "context", "get", "there") == "value"
    fleet.on(3, "context", "broadcast", "everywhere", "42")
    assert {fleet.on(number, "context", "get", "everywhere") for number in (1, 2, 3)} == {"42"}


def test_a_message_is_sent_read_acknowledged_and_answered(fleet: Fleet) -> None:
    sent = fleet.loopsy.json(
        "--home", str(fleet.home(1).root), "message", "send", "fleet-2", "- hello"
    )
    message_id = str(cast("dict[str, object]", sent)["id"])
    watching = fleet.loopsy.start(
        "--home", str(fleet.home(2).root), "message", "inbox", "--watch", "--json"
    )
    assert watching.stdout is not None
    assert message_id in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE) == 130
    [first] = fleet.json(2, "message", "inbox")
    assert set(first) == MESSAGE_KEYS
    assert (first["from"], first["body"], first["id"]) == ("fleet-1", "- hello", message_id)
    assert fleet.json(2, "message", "inbox") == [first], "looking consumes nothing"
    fleet.on(2, "message", "ack", message_id)
    fleet.on(2, "message", "send", "fleet-1", "hi", "--reply-to", message_id, "--type", "response")
    answer = wait_for_inbox(fleet, 1)
    assert (answer["reply_to"], answer["type"]) == (message_id, "response")
    fleet.on(1, "message", "ack", str(answer["id"]))
    outbox = fleet.json(1, "message", "outbox")
    assert all(set(each) == MESSAGE_KEYS for each in outbox)
    states = {each["id"]: each["state"] for each in outbox}
    assert states[message_id] == "read"


def test_a_broadcast_comes_to_every_machine(fleet: Fleet) -> None:
    results = fleet.json(2, "message", "broadcast", "to all of you")
    assert {each["machine"]: each["error"] for each in results} == {
        "fleet-1": None,
        "fleet-3": None,
    }
    for number in (1, 3):
        came = wait_for_inbox(fleet, number)
        assert (came["body"], came["type"]) == ("to all of you", "broadcast")
        fleet.on(number, "message", "ack", str(came["id"]))


def wait_for_inbox(fleet: Fleet, number: int) -> dict[str, object]:
    watching = fleet.loopsy.start(
        "--home", str(fleet.home(number).root), "message", "inbox", "--watch", "--json"
    )
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.kill()
    watching.communicate(timeout=PATIENCE)
    return fleet.json(number, "message", "inbox")[0]


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (["message", "send", "nobody", "x"], 5, "no machine 'nobody'"),
        (["message", "send", "fleet-2", "x", "--ttl", "abc"], 2, "abc"),
        (["message", "send", "fleet-2", "x", "--ttl", "-5"], 2, "5"),
        (["message", "send", "fleet-2", "x", "--ttl", "36500d"], 2, "36500d"),
        (["message", "send", "fleet-2", "x", "--ttl", "40d"], 2, "30d at most"),
        (["message", "ack", "1-nobody-0000"], 5, "has come here"),
        (["task", "done", "00000099-aaaa", "1"], 5, "no task '00000099-aaaa'"),
        (["task", "claim", "--lease", "0s"], 2, "0s"),
        (["task", "watch", "00000099-aaaa"], 5, "no task"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    fleet: Fleet, words: list[str], exit_code: int, said: str
) -> None:
    home = str(fleet.home(1).root)
    assert said in fleet.loopsy.complaint("--home", home, *words, exit_code=exit_code)


def test_a_task_is_added_claimed_and_finished_from_another_machine(fleet: Fleet) -> None:
    fleet.on(3, "task", "add", "fleet-2", "build it", "--kind", "by-hand")
    watching = fleet.loopsy.start(
        "--home", str(fleet.home(1).root), "task", "watch", "--peer", "fleet-2", "--json"
    )
    assert watching.stdout is not None
    assert "pending" in watching.stdout.readline()
    claim = ("task", "claim", "--kind", "by-hand", "--peer", "fleet-2")
    task = cast("dict[str, object]", fleet.json(1, *claim))
    assert task["body"] == "build it"
    [listed] = fleet.json(1, "task", "list", "--peer", "fleet-2")
    added = cast("dict[str, object]", fleet.json(1, "task", "add", "local", "x"))
    assert set(task) == set(listed) == set(added), "the same keys, whatever there is to say"
    assert fleet.on(3, *claim, exit_code=1).strip() == "there is nothing to do"
    done = ("task", "done", str(task["id"]), "1", "built", "--peer", "fleet-2")
    fleet.on(1, *done)
    states = [watching.stdout.readline() for _ in range(2)]
    assert ["running" in states[0], "done" in states[1]] == [True, True]
    fail = ("--home", str(fleet.home(1).root), "task", "fail", *done[2:4], "--peer", "fleet-2")
    assert "it is done" in fleet.loopsy.complaint(*fail, exit_code=1)
    watching.kill()


def test_the_pipeline_of_two_agents(fleet: Fleet) -> None:
    writing = fleet.example(1, "pipeline.py", "write", "fleet-2", "a haiku", "a sonnet")
    fleet.example(2, "pipeline.py", "review")
    code, out = fleet.end(writing)
    assert (code, out) == (0, "a haiku: 6 words, approved\na sonnet: 6 words, approved\n")


def test_the_build_farm(fleet: Fleet) -> None:
    for number in (2, 3):
        fleet.example(number, "build_farm.py", "work", "fleet-1")
    commands = [f"echo built-$(({number}+1))" for number in range(6)]
    building = fleet.example(1, "build_farm.py", "build", *commands, "exit 3")
    code, out = fleet.end(building)
    lines = out.splitlines()
    assert code == 1
    assert [f"built-{number + 1} (" in lines[number] for number in range(6)] == [True] * 6
    assert lines[6].startswith("exit 3: exit code 3")
    assert "(machine fleet-2)" in out or "(machine fleet-3)" in out


def test_the_roll_call(fleet: Fleet) -> None:
    code, out = fleet.end(fleet.example(1, "roll_call.py"))
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == ["fleet-2", "fleet-3"]
    assert [entry["key"] for entry in fleet.json(1, "context", "list", "--prefix", "roll:")] == [
        "roll:fleet-2",
        "roll:fleet-3",
    ]


def test_a_message_is_followed_by_its_keys_alone(fleet: Fleet) -> None:
    fleet.on(1, "message", "send", "fleet-2", "by hand")
    message_id = str(wait_for_inbox(fleet, 2)["id"])
    assert re.fullmatch(r"\d{13}-fleet-1-[0-9a-f]{4}", message_id)
    [listed] = fleet.json(2, "context", "list", "--prefix", "inbox:fleet-2:")
    assert listed["key"] == f"inbox:fleet-2:{message_id}"
    came = json.loads(fleet.on(2, "context", "get", str(listed["key"])))
    assert came == {
        "from": "fleet-1",
        "to": "fleet-2",
        "ts": int(message_id[:13]),
        "id": message_id,
        "type": "chat",
        "body": "by hand",
    }
    sent = ("context", "get", f"outbox:{message_id}")
    assert json.loads(fleet.on(1, *sent)) == {**came, "state": "delivered"}
    fleet.on(2, "message", "ack", message_id)
    acknowledging = fleet.loopsy.start(
        "--home", str(fleet.home(1).root), "context", "watch", "--prefix", "ack:fleet-2", "--json"
    )
    assert acknowledging.stdout is not None
    while message_id not in acknowledging.stdout.readline():
        pass  # there may be an older one
    acknowledging.kill()
    assert fleet.on(1, "context", "get", "ack:fleet-2") == message_id
    assert json.loads(fleet.on(1, *sent))["state"] == "read"


def test_of_three_machines_one_wins_each_task_and_another_gets_it_when_the_winner_is_killed(
    fleet: Fleet,
) -> None:
    ids = {
        str(cast("dict[str, object]", fleet.json(1, "task", "add", "fleet-2", body, *KIND))["id"])
        for body in ("one", "two")
    }
    workers = [fleet.python(number, "-c", WORKER) for number in (1, 2, 3, 1, 3)]
    won = {}
    for worker in workers:
        assert worker.stdout is not None
        line = worker.stdout.readline().split()
        if line[0] != "none":
            won[line[0]] = worker
            assert line[1] == "1"
    assert won.keys() == ids, "each task has one worker, and the others have none"
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    again = ("task", "claim", *KIND, "--wait", "30s", "--peer", "fleet-2")
    for _ in ids:
        task = cast("dict[str, object]", fleet.json(1, *again))
        assert (task["id"] in ids, task["attempts"]) == (True, 2)
        assert "was not heard of in time" in str(task["error"])
        fleet.on(1, "task", "done", str(task["id"]), "2", "--peer", "fleet-2")


def test_a_message_waits_for_a_node_that_is_down_and_a_fleet_stops(fleet: Fleet) -> None:
    watching = fleet.loopsy.start(
        "--home", str(fleet.home(3).root), "message", "inbox", "--watch", "--json"
    )
    assert watching.stdout is not None
    fleet.on(1, "message", "send", "fleet-3", "before")
    assert json.loads(watching.stdout.readline())["body"] == "before"
    fleet.on(3, "stop")
    told = fleet.on(1, "context", "broadcast", "everywhere", "43", "--json", exit_code=1)
    errors = {each["machine"]: each["error"] for each in json.loads(told)}
    assert (errors["fleet-1"], errors["fleet-2"]) == (None, None)
    assert "fleet-3 is not reached" in errors["fleet-3"]
    fleet.on(1, "message", "send", "fleet-3", "when you are back")
    fleet.loopsy.run("fleet", "start", "--count", str(COUNT))
    assert json.loads(watching.stdout.readline())["body"] == "when you are back"
    watching.kill()
    fleet.loopsy.run("fleet", "stop")
    listed = cast("list[dict[str, object]]", fleet.loopsy.json("fleet", "list"))
    assert not any(member["running"] for member in listed)
    assert os.listdir(fleet.home(1).root / "logs")
