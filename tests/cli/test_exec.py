"""`loopsy exec`: a command of a machine, as if it ran here."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.capabilities import open_jobs
from loopsy_core.errors import Gone
from loopsy_core.home import ExecutionConfig
from loopsy_core.links import Channel, open_conversation, serve_local
from tests.cli.command_line import PATIENCE, CommandLine
from tests.core.capabilities.jobs_stage import alive_in_group
from tests.world import eventually, make_home

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from loopsy_core.home import Home
    from loopsy_core.links import Asked

EXEC = ("exec", "local", "--")


@pytest.fixture
def running(loopsy: CommandLine) -> CommandLine:
    """The command line, with a daemon that runs."""
    loopsy.run("start")
    return loopsy


def fed(loopsy: CommandLine, data: bytes, *command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command there with our input, which is `data`."""
    return subprocess.run(
        [sys.executable, "-m", "loopsy_cli", "exec", "local", "--stdin", "--", *command],
        input=data,
        env=loopsy.environment,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )


def group_of(process: subprocess.Popen[str]) -> int:
    """Read which process group a job has, from its first line of output."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_output_errors_and_the_exit_code_are_the_commands_own(running: CommandLine) -> None:
    done = running.run(*EXEC, "sh", "-c", "echo out; echo err >&2; exit 7", exit_code=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert running.run(*EXEC, "sh", "-c", "kill -9 $$", exit_code=128 + 9).stderr == ""
    assert running.say("exec", "local", "echo", "without dashes") == "without dashes\n"
    assert running.say(*EXEC, "echo", "--help", "-t", "--json", "--") == "--help -t --json --\n"


def test_this_machine_has_a_name_too(running: CommandLine) -> None:
    name = running.say(*EXEC, "cat", str(running.home.config))
    running.run("stop")
    running.home.config.write_text(name.replace("name: null", "name: kai"))
    running.run("start")
    assert running.say("exec", "kai", "--", "echo", "hi") == "hi\n"
    assert "no machine 'ann'; `loopsy peers`" in running.complaint(
        "exec", "ann", "--", "true", exit_code=5
    )


def test_input_passes_through_and_ends(running: CommandLine) -> None:
    data = bytes(range(256)) * 5000
    done = fed(running, data, "cat")
    assert (done.stdout, done.returncode) == (data, 0)
    assert fed(running, data, "head", "-c", "3").stdout == data[:3]
    assert fed(running, b"", "wc", "-c").stdout.strip() == b"0"


def test_input_may_be_a_file(running: CommandLine) -> None:
    path = running.folder / "input"
    path.write_bytes(b"0123456789" * 30_000)
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "loopsy_cli", "exec", "local", "--stdin", "--", "md5sum"],
            stdin=file,
            env=running.environment,
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
    with path.open("rb") as file:
        assert done.stdout == subprocess.run(["md5sum"], stdin=file, capture_output=True).stdout


def test_without_stdin_our_input_is_left_alone(running: CommandLine) -> None:
    script = f"{sys.executable} -m loopsy_cli exec local -- cat; cat"
    done = subprocess.run(
        ["sh", "-c", script],
        input=b"for the second",
        env=running.environment,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout == b"for the second"


def test_it_runs_in_the_home_or_where_it_is_told(running: CommandLine) -> None:
    (running.folder / "sub").mkdir()
    assert running.say(*EXEC, "pwd") == f"{running.folder}\n"
    for cwd in ("sub", "~/sub", str(running.folder / "sub")):
        assert running.say("exec", "local", "--cwd", cwd, "--", "pwd") == f"{running.folder}/sub\n"


def test_when_its_time_is_up_it_ends(running: CommandLine) -> None:
    done = running.run("exec", "local", "--timeout", "0.2s", "--", "sleep", "99", exit_code=124)
    assert done.stderr == "loopsy: the command was ended, for its time was up\n"


def test_what_cannot_be_is_told_in_one_line(running: CommandLine) -> None:
    for words, code, says in (
        (("exec", "local"), 2, "there is no command"),
        ((*EXEC, "no-such-program"), 2, "'no-such-program' is not to be found"),
        ((*EXEC, "rm", "x"), 4, "'rm' is on the execution.denylist"),
        (("exec", "local", "--cwd", "/nowhere", "--", "ls"), 2, "/nowhere is not there"),
        (("exec", "local", "--timeout", "5", "--", "ls"), 2, "write 30s, 5m, 2h or 7d"),
        (("exec", "local", "-t", "--stdin", "--", "ls"), 2, "neither --stdin nor --timeout"),
        (("exec", "local", "-t", "--", "ls"), 2, "shows a session in this terminal"),
        (("exec", "nobody", "-t", "--", "ls"), 2, "shows a session in this terminal"),
        ((*EXEC, b"\xff"), 2, "not valid UTF-8"),
    ):
        assert says in running.complaint(*words, exit_code=code)
    running.run("stop")
    assert "no daemon runs" in running.complaint(*EXEC, "true", exit_code=3)


def test_ctrl_c_ends_it_there_and_its_last_words_come(running: CommandLine) -> None:
    script = "trap 'echo b''ye; exit 5' TERM; echo group $$.; while :; do sleep 0.05; done"
    screen = running.on_terminal(*EXEC, "sh", "-c", script)
    screen.expect(rb"group (\d+)\.")
    assert screen.child.match is not None
    group = int(screen.child.match[1])
    screen.type(b"\x03")
    screen.expect(b"bye")
    assert screen.exit_code() == 130
    assert not alive_in_group(group)


def test_ctrl_c_twice_leaves_at_once_and_it_ends_all_the_same(running: CommandLine) -> None:
    process = running.start(*EXEC, "sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done")
    group = group_of(process)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    trio.run(eventually, lambda: not alive_in_group(group))


def test_whoever_reads_no_more_ends_it(running: CommandLine) -> None:
    process = running.start(*EXEC, "sh", "-c", "echo $$; exec yes")
    group = group_of(process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 0
    trio.run(eventually, lambda: not alive_in_group(group))


def test_a_daemon_that_stops_ends_it_and_says_so(running: CommandLine) -> None:
    process = running.start(*EXEC, "sh", "-c", "echo $$; exec sleep 999")
    group = group_of(process)
    running.run("stop")
    assert not alive_in_group(group)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (143, "loopsy: the command was cancelled\n")


def test_on_a_terminal_it_is_a_session(running: CommandLine) -> None:
    screen = running.on_terminal(
        "exec", "local", "-t", "--", "sh", "-c", "tty; pwd; read x; exit 6"
    )
    screen.expect(b"/dev/")
    screen.expect(bytes(running.folder))
    screen.type(b"\r")
    assert screen.exit_code() == 6


async def test_a_connection_that_is_lost_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "home")
    monkeypatch.setenv("LOOPSY_HOME", str(home.root))
    command = [sys.executable, "-m", "loopsy_cli", "exec", "local", "--stdin", "--", "cat"]
    data = bytes(i * 7 % 251 for i in range(2_000_000))
    came: list[Channel] = []
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            brittle = partial(Brittle, came=came, last=5)
            await nursery.start(partial(serve_jobs, home, brittle))
            done = await trio.run_process(command, stdin=data, capture_stdout=True)
            assert len(came) == 5
            assert done.stdout == data
            nursery.cancel_scope.cancel()


async def test_ctrl_c_leaves_at_once_when_nobody_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "home")
    monkeypatch.setenv("LOOPSY_HOME", str(home.root))
    command = [sys.executable, "-m", "loopsy_cli", "exec", "local", "--", "sh", "-c"]
    came: list[Channel] = []

    def only_once(channel: Channel) -> Channel:
        came.append(channel)
        if len(came) > 1:
            raise Gone("nobody is there any more")
        return channel

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_jobs, home, only_once))
            process = await trio.lowlevel.open_process(
                [*command, "echo up; exec sleep 1000"], stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.receive_some() == b"up\n"
            await came[0].aclose()
            await eventually(lambda: len(came) > 2)  # it tries again, in vain
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            nursery.cancel_scope.cancel()


async def serve_jobs(
    home: Home, over: Callable[[Channel], Channel], *, task_status: trio.TaskStatus[None]
) -> None:
    """Answer for jobs at a home's socket, each time over what `over` makes of the channel."""
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(home.root)}
    async with open_jobs(ExecutionConfig(denylist=()), surroundings) as jobs:

        async def answer(asked: Asked) -> object:
            return await jobs.answer(asked, None)

        async def serve(channel: Channel) -> None:
            async with open_conversation(over(channel), opener=False, answer=answer) as calls:
                await calls.wait_closed()

        async with trio.open_nursery() as nursery:
            await nursery.start(serve_local, home.node_socket, serve)
            task_status.started()


class Brittle(Channel):
    """A channel that breaks once 300 000 bytes have come over it; only the last one does not."""

    def __init__(self, channel: Channel, came: list[Channel], last: int) -> None:
        came.append(self)
        self._channel = channel
        self._left = 300_000 if len(came) < last else math.inf

    async def send(self, messages: Sequence[bytes]) -> None:
        await self._channel.send(messages)

    async def receive(self) -> list[bytes]:
        messages = await self._channel.receive()
        self._left -= sum(map(len, messages))
        if self._left < 0:
            raise Gone("the wire broke")
        return messages

    async def aclose(self, why: str = "bye") -> None:
        await self._channel.aclose(why)
