"""The guard: what a killed node leaves behind is ended, and nothing else ever is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.capabilities import guard
from loopsy_core.capabilities import guarding as guarding_module
from loopsy_core.client import open_client, start_daemon
from loopsy_core.errors import Gone
from loopsy_core.home import Home, create_identity, create_private
from tests.core.capabilities.jobs_stage import STUBBORN, alive_in_group, open_stage, read_until
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from loopsy_core.capabilities.guarding import Guard

FAMILY = "(sleep 1000 & sleep 1000) & sleep 1000 & echo up; wait"
"""A script with a child, and grandchildren of which nobody is told."""


@contextmanager
def group(script: str, **env: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a script as a job runs, until it has said `up`."""
    with subprocess.Popen(
        ["sh", "-c", script],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def hearing(*lines: str) -> Generator[subprocess.Popen[str]]:
    """Have a guard hear these lines and then the end."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in lines))
        process.stdin.close()
        try:
            yield process
        finally:
            process.kill()


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    assert process.wait(30) == 0
    return process.stderr.read()


def test_what_runs_is_ended_with_children_and_grandchildren() -> None:
    with group(FAMILY) as one, group(FAMILY) as two, group("echo up; kill -STOP $$") as stopped:
        jobs = (one, two, stopped)
        with hearing(*(f"run {i} {job.pid}" for i, job in enumerate(jobs))) as process:
            for job in jobs:
                assert job.wait(10) == -signal.SIGTERM
                assert not alive_in_group(job.pid)
            assert process.stderr is not None
            assert "without its jobs" in process.stderr.readline()


def test_what_does_not_want_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 0.2)
    with group(STUBBORN) as job:
        guard.end_groups({job.pid: guard.birth(job.pid)})
        assert job.wait(5) == -signal.SIGKILL


def test_what_has_ended_is_left_alone() -> None:
    with group(FAMILY) as job:
        with hearing(f"run a {job.pid}", "end a", "start b", "end b") as process:
            assert said_by(process) == ""
        assert job.poll() is None


def test_one_whose_start_was_under_way_is_found_by_its_mark() -> None:
    with group(FAMILY, LOOPSY_JOB="a1") as ours, group(FAMILY, LOOPSY_JOB="a2") as other:
        with hearing("start a1"):
            assert ours.wait(10) == -signal.SIGTERM
        assert not alive_in_group(ours.pid)
        assert other.poll() is None


def test_members_are_ended_whose_leader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with group("sleep 1000 >&2 & echo up") as job:
        born = guard.birth(job.pid)
        job.wait()
        assert alive_in_group(job.pid)
        monkeypatch.setattr(guard, "PATIENCE", 0.2)  # nobody may be there to reap them
        guard.end_groups({job.pid: born})
        assert not alive_in_group(job.pid)


def test_a_number_that_was_given_to_another_program_is_left_alone() -> None:
    with group("sleep 1000 >&2 & echo up; wait") as another:
        for born in ("12345", None):  # when its leader of the time was born, if that was seen
            guard.end_groups({another.pid: born})
        assert another.poll() is None
        assert len(alive_in_group(another.pid)) == 2


def test_lines_that_are_none_do_no_harm() -> None:
    with hearing("", "run", "walk a 1", "start a b c") as process:
        assert said_by(process) == ""


# As jobs have it.


def guard_of(jobs: object) -> Guard:
    found: Guard = jobs._guard  # type: ignore[attr-defined]  # noqa: SLF001 - its process is killed here
    return found


def pid_of(watching: Guard) -> int:
    assert watching._process is not None  # noqa: SLF001
    return watching._process[0]  # noqa: SLF001


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_guard_that_is_killed_or_stopped_is_replaced_and_knows_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(guarding_module, "PAUSE", 0.0)
    async with (
        open_stage(tmp_path) as stage,
        stage.line() as line,
        line.client.start_job(["sh", "-c", FAMILY]) as job,
    ):
        await read_until(job, b"up\n")
        watching = guard_of(stage.jobs)
        first = pid_of(watching)
        os.kill(first, number)
        with trio.fail_after(60):
            while watching._process is None or pid_of(watching) == first:  # noqa: SLF001
                if number == signal.SIGKILL:
                    assert (await line.client.run(["true"])).exit_code == 0
                else:
                    with watching.watching("x" * 2000):  # its pipe is full, sooner or later
                        pass
        assert alive_in_group(job.pid)
        second = pid_of(watching)
        # It hears the end of the pipe as it would if we were killed.
        watching.hang_up()
        await eventually(lambda: not alive_in_group(job.pid))
        os.kill(second, signal.SIGKILL)  # it may wait for somebody to reap what it ended
        await trio.to_thread.run_sync(os.waitpid, second, 0)


async def test_without_a_guard_jobs_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        assert (await line.client.run(["echo", "hi"])).stdout == b"hi\n"
    assert "would outlive this node" in caplog.text


async def test_a_job_knows_its_id_whatever_its_asker_says(tmp_path: Path) -> None:
    async with (
        open_stage(tmp_path) as stage,
        stage.line() as line,
        line.client.start_job(["sh", "-c", "echo $LOOPSY_JOB"], env={"LOOPSY_JOB": "a lie"}) as job,
    ):
        assert await read_until(job, b"\n") == f"{job.id}\n".encode()


async def test_no_job_survives_a_node_that_is_killed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    create_identity(home)
    create_private(home.config, b"server: {port: 0}\ndiscovery: {enabled: false}\n")
    with trio.fail_after(60):
        node = await start_daemon(home)
        groups: list[int] = []
        try:
            with suppress(Gone):
                async with open_client(home) as client, AsyncExitStack() as stack:
                    # Neither reads nor writes anything by which it could see that nobody is there.
                    for _ in range(3):
                        running = client.start_job(["sh", "-c", FAMILY])
                        job = await stack.enter_async_context(running)
                        groups.append(job.pid)
                        await read_until(job, b"up\n")
                    os.kill(node, signal.SIGKILL)
                    await job.receive()
        finally:
            with suppress(ProcessLookupError):
                os.kill(node, signal.SIGKILL)
            await trio.to_thread.run_sync(os.waitpid, node, 0)
        assert len(groups) == 3
        await eventually(lambda: not any(map(alive_in_group, groups)))
        assert "without its jobs: ending 3" in home.node_log.read_text()
