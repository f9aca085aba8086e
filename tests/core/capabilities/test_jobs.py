"""Jobs: a command runs as it would here, and when it ends nothing is left of it."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.capabilities import job as job_module
from loopsy_core.client import Completed, Output
from loopsy_core.errors import BadRequest, Busy, Gone, NotFound, Refused
from loopsy_core.home import ExecutionConfig
from loopsy_core.wire import CancelJob, JobEnd, ListJobs, RunJob
from tests.core.capabilities.jobs_stage import (
    STUBBORN,
    alive_in_group,
    open_stage,
    read_all,
    read_until,
)
from tests.world import eventually

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_it_writes_is_told_apart_and_so_is_how_it_ends(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert done == Completed(3, b"out\n", b"err\n", id=done.id)
        killed = await line.client.run(["sh", "-c", "kill -9 $$"])
        assert killed == Completed(-signal.SIGKILL, b"", b"", id=killed.id)


async def test_it_runs_in_the_home_or_where_it_should(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    async with open_stage(tmp_path) as stage, stage.line() as line:
        for cwd, where in ((None, tmp_path), ("~/a b", tmp_path / "a b"), ("/", "/")):
            done = await line.client.run(["sh", "-c", "pwd; echo $PWD"], cwd=cwd)
            assert done.stdout == f"{where}\n{where}\n".encode()


async def test_it_has_the_environment_of_the_node_and_what_is_added(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run(["sh", "-c", "echo $HOME $A"], env={"A": "ä b"})
        assert done.stdout == f"{tmp_path} ä b\n".encode()


async def test_its_input_is_what_is_sent_and_without_it_nothing(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    async with open_stage(tmp_path) as stage, stage.line() as line:
        assert (await line.client.run(["cat"], stdin=data)).stdout == data
        assert (await line.client.run(["cat"], stdin=b"")).stdout == b""
        assert (await line.client.run(["cat"])).stdout == b""


async def test_bytes_that_are_no_text_pass_through(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    async with open_stage(tmp_path) as stage, stage.line() as line:
        script = "mkdir \"$(printf '\\377')\"; ls; cd ./*; pwd"
        done = await line.client.run(["sh", "-c", script], cwd="x")
        assert done.stdout == b"\xff\n" + bytes(tmp_path) + b"/x/\xff\n"


async def test_it_leads_a_session_and_inherits_three_descriptors(tmp_path: Path) -> None:
    script = "import os; print(os.getsid(0) == os.getpgrp() == os.getpid(), os.listdir('/dev/fd'))"
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run([sys.executable, "-I", "-S", "-c", script])
        assert done.stdout == b"True ['0', '1', '2', '3']\n"  # and the folder that it reads


# Ends.


async def test_time_is_up(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run(["sleep", "1000"], timeout=0.05)
        assert done == Completed(-signal.SIGTERM, b"", b"", timed_out=True, id=done.id)


async def test_the_time_that_settings_give_is_up_too(tmp_path: Path) -> None:
    settings = ExecutionConfig(denylist=(), default_timeout=0.05)
    async with open_stage(tmp_path, settings) as stage, stage.line() as line:
        assert (await line.client.run(["sleep", "1000"])).timed_out


async def test_a_cancelled_command_may_clean_up_and_its_last_words_come(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done"
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with line.client.start_job(["sh", "-c", script]) as job:
            await read_until(job, b"up\n")
            await job.cancel()
            got, end = await read_all(job)
        assert got["stdout"] == b"bye\n"
        assert end == JobEnd(5, cancelled=True)


async def test_one_that_wants_no_end_is_killed_with_all_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "PATIENCE", 0.3)
    script = f"(trap '' TERM; sleep 1000) & {STUBBORN}"
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with line.client.start_job(["sh", "-c", script]) as job:
            await read_until(job, b"up\n")
            await job.cancel()
            assert not alive_in_group(job.pid)
            _, end = await read_all(job)
        assert end == JobEnd(-signal.SIGKILL, cancelled=True)


async def test_a_stopped_command_ends_too(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run(["sh", "-c", "kill -STOP $$"], timeout=0.2)
        assert (done.exit_code, done.timed_out) == (-signal.SIGTERM, True)


async def test_whoever_leaves_ends_the_command_and_its_group(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with line.client.start_job(["sh", "-c", "sleep 1000 & echo up; wait"]) as job:
            await read_until(job, b"up\n")
            assert len(alive_in_group(job.pid)) == 2
        await eventually(lambda: not alive_in_group(job.pid))


async def test_cancelling_a_run_ends_the_command(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with open_stage(tmp_path) as stage, stage.line() as line, trio.open_nursery() as nursery:
        command = [
            "sh",
            "-c",
            f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 1000",
        ]
        nursery.start_soon(line.client.run, command)
        await eventually(pid_file.exists)
        group = int(pid_file.read_text())
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await eventually(lambda: not alive_in_group(group))


@pytest.mark.parametrize("left", ["sleep 1000 & echo hi", "sleep 1000 >/dev/null 2>&1 & echo hi"])
async def test_a_command_that_exits_is_over_and_what_it_leaves_behind_too(
    tmp_path: Path, left: str
) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with line.client.start_job(["sh", "-c", left]) as job:
            got, end = await read_all(job)
        assert (got["stdout"], end) == (b"hi\n", JobEnd(0))
        assert not alive_in_group(job.pid)


async def test_one_that_is_left_behind_may_say_its_last_words(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        script = "(read x; echo $x; sleep 0.02; echo last) <<E &\nfirst\nE\n"
        done = await line.client.run(["sh", "-c", script])
        assert done.stdout == b"first\nlast\n"


async def test_one_that_is_left_behind_cannot_talk_for_ever(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run(["sh", "-c", "yes & exit 4"])
        assert done.exit_code == 4
        assert len(done.stdout) < 4 << 20


TALKER = "setsid sh -c 'echo up; while echo hm && sleep 0.05; do :; done' &"
"""A script that ends, and leaves one outside of its group that talks on while anybody reads."""


async def test_talking_on_outside_the_group_ends_with_the_commands_time(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        with trio.fail_after(5):
            done = await line.client.run(["sh", "-c", TALKER], timeout=0.5)
        assert done.exit_code == 0


async def test_one_that_talks_on_outside_the_group_can_be_cancelled(tmp_path: Path) -> None:
    async with (
        open_stage(tmp_path) as stage,
        stage.line() as line,
        line.client.start_job(["sh", "-c", TALKER]) as job,
    ):
        await read_until(job, b"hm\nhm\nhm\nhm\nhm\nhm\nhm\nhm\n")
        with trio.fail_after(5):
            await job.cancel()
            assert (await read_all(job))[1].exit_code == 0


async def test_when_the_jobs_end_their_askers_are_told(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with line.client.start_job(["sh", "-c", "echo up; exec sleep 1000"]) as job:
            await read_until(job, b"up\n")
            await stage.jobs.end_all()
            assert not alive_in_group(job.pid)
            assert (await read_all(job))[1] == JobEnd(-signal.SIGTERM, cancelled=True)
        with pytest.raises(Gone, match="leaving"):
            await line.client.run(["true"])


async def test_a_node_that_is_cut_short_ends_its_jobs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "PATIENCE", 0.2)
    groups: list[int] = []
    with trio.CancelScope() as scope:
        async with open_stage(tmp_path) as stage, stage.line() as line:
            for script in (STUBBORN, "echo up; exec sleep 1000"):
                async with line.client.start_job(["sh", "-c", script]) as job:
                    await read_until(job, b"up\n")
                    groups.append(job.pid)
                    scope.cancel()
                    await trio.sleep_forever()
    assert groups
    assert not [args for group in groups for args in alive_in_group(group)]


# Output that is not read.


async def test_a_flood_that_nobody_reads_waits_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with line.client.start_job(["seq", "3000000"]) as job:
            first = await read_until(job, b"\n")
            before, written = -1, 0
            while before != written:  # until it stands still
                await trio.sleep(0.2)
                (info,) = (await line.client.ask(ListJobs())).jobs
                before, written = written, info.stdout
            assert written < 1_200_000  # of 23 MB
            got, end = await read_all(job)
        assert end == JobEnd(0)
        assert first + got["stdout"] == b"".join(b"%d\n" % i for i in range(1, 3_000_001))


async def test_more_than_is_to_be_kept_ends_the_command(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        with pytest.raises(BadRequest, match="more than 1000 bytes"):
            await line.client.run(["yes"], most=1000)
        assert (await line.client.run(["head", "-c1000", "/dev/zero"], most=1000)).exit_code == 0
        await eventually(lambda: not stage.jobs.running)


async def test_input_for_a_command_that_has_closed_it_holds_nothing_up(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        done = await line.client.run(["sh", "-c", "exec <&-; echo hi"], stdin=bytes(3_000_000))
        assert done == Completed(0, b"hi\n", b"", id=done.id)
        done = await line.client.run(["head", "-c", "3"], stdin=bytes(3_000_000))
        assert done.stdout == bytes(3)


async def test_what_is_no_data_is_refused_and_the_command_may_be_picked_up(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        request = RunJob(argv=["cat"], stdin=True)
        async with line.client.open_call(request) as call:
            await call.send_item(request)
            with pytest.raises(BadRequest, match="is Data"):
                await call.answer()
        (info,) = (await line.client.ask(ListJobs())).jobs
        assert not info.attached
        async with line.client.attach_job(info.id) as job:
            await job.send(b"hi")
            assert await job.receive() == Output("stdout", b"hi")


# What cannot be.


@pytest.mark.parametrize(
    ("argv", "more", "says"),
    [
        (["no-such-program"], {}, "'no-such-program' is not to be found"),
        ([""], {}, "the command is empty"),
        (["a\0b"], {}, "NUL"),
        (["true"], {"env": {"A=B": "c"}}, "holds no '='"),
        (["true"], {"env": {"": "c"}}, "not empty"),
        (["true"], {"env": {"A": "\0"}}, "NUL"),
        (["true"], {"cwd": "/no/such/folder"}, "/no/such/folder is not there"),
        (["true"], {"cwd": "/etc/passwd"}, "is no directory"),
        (["true"], {"cwd": "a\0b"}, "NUL"),
        (["./script"], {}, "script cannot be started: Exec format error"),
        (["./interpreter"], {}, "No such file or directory; its first line"),
        (["./data"], {}, "may not be executed"),
        (["true", "x" * 131_072], {}, "true cannot be started: Argument list too long"),
        (["true"], {"timeout": 0.0}, "at `timeout`"),
        ([], {}, "at `argv`"),
        (["true", *["x" * 100_000] * 100], {}, "10000"),
    ],
)
async def test_what_cannot_be_started_says_why(
    tmp_path: Path, argv: list[str], more: dict[str, object], says: str
) -> None:
    for name, text in (("script", "echo hi"), ("interpreter", "#!/no/such"), ("data", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600 if name == "data" else 0o700)
    async with open_stage(tmp_path) as stage, stage.line() as line:
        with pytest.raises(BadRequest, match=says):
            await line.client.run(argv, **more)  # type: ignore[arg-type]
        assert not stage.jobs.running
        assert (await line.client.run(["true"])).exit_code == 0


async def test_what_is_denied_is_refused_before_it_starts(tmp_path: Path) -> None:
    async with open_stage(tmp_path, ExecutionConfig()) as stage, stage.line() as line:
        with pytest.raises(Refused, match="denylist"):
            await line.client.run(["sh", "-c", f"cd {tmp_path} && rm -rf x"])


async def test_at_most_so_many_run_at_once(tmp_path: Path) -> None:
    settings = ExecutionConfig(denylist=(), max_concurrent=2)
    async with (
        open_stage(tmp_path, settings) as stage,
        stage.line() as line,
        line.client.start_job(["sleep", "1000"]) as one,
        line.client.start_job(["sleep", "1000"]),
    ):
        for _ in range(300):
            with pytest.raises(Busy, match=r"2 jobs run .* try again"):
                await line.client.run(["true"])
        await one.cancel()
        await read_all(one)
        assert (await line.client.run(["true"])).exit_code == 0


async def test_contacts_keep_one_another_waiting_but_not_the_machines_user(tmp_path: Path) -> None:
    settings = ExecutionConfig(denylist=(), max_concurrent=1)
    async with (
        open_stage(tmp_path, settings) as stage,
        stage.line("ann") as ann,
        stage.line("bob") as bob,
        stage.line() as user,
        ann.client.start_job(["sleep", "1000"]),
        user.client.start_job(["sleep", "1000"]) as job,
    ):
        for line in (ann, bob, user):
            with pytest.raises(Busy, match=r"1 jobs run .* try again"):
                await line.client.run(["true"])
        await job.cancel()
        await read_all(job)
        assert (await user.client.run(["true"])).exit_code == 0


async def test_a_job_counts_until_its_output_is_read(tmp_path: Path) -> None:
    settings = ExecutionConfig(denylist=(), max_concurrent=1)
    async with (
        open_stage(tmp_path, settings) as stage,
        stage.line() as line,
        line.client.start_job(["head", "-c", "400000", "/dev/zero"]) as job,
    ):
        await eventually(lambda: not alive_in_group(job.pid))
        with pytest.raises(Busy):
            await line.client.run(["true"])
        got, _ = await read_all(job)
        assert len(got["stdout"]) == 400_000
        assert (await line.client.run(["true"])).exit_code == 0


# Whose they are.


async def test_others_jobs_are_not_there_but_for_the_machines_user(tmp_path: Path) -> None:
    async with (
        open_stage(tmp_path) as stage,
        stage.line("ann") as ann,
        stage.line("bob") as bob,
        stage.line() as user,
        ann.client.start_job(["sleep", "1000"]) as job,
    ):
        assert not (await bob.client.ask(ListJobs())).jobs
        for asks in (CancelJob(job=job.id), CancelJob(job="x")):
            with pytest.raises(NotFound, match="no job"):
                await bob.client.ask(asks)
        with pytest.raises(NotFound):
            async with bob.client.attach_job(job.id):
                pass
        for each in (ann, user):
            (info,) = (await each.client.ask(ListJobs())).jobs
            assert (info.id, info.owner, info.pid) == (job.id, "ann", job.pid)
            assert (info.argv, info.cwd) == (["sleep", "1000"], str(tmp_path))
            assert (info.attached, info.exit_code) == (True, None)
        ended = await user.client.ask(CancelJob(job=job.id))
        assert (ended.exit_code, ended.cancelled) == (-signal.SIGTERM, True)
        assert (await read_all(job))[1].cancelled


async def test_the_jobs_of_a_contact_that_is_forgotten_end(tmp_path: Path) -> None:
    async with (
        open_stage(tmp_path) as stage,
        stage.line("ann") as ann,
        stage.line("bob") as bob,
        ann.client.start_job(["sleep", "1000"]) as hers,
        bob.client.start_job(["cat"], stdin=True) as his,
    ):
        stage.jobs.cancel_all_of("ann")
        assert (await read_all(hers))[1].cancelled
        await his.send(b"hi")
        assert await his.receive() == Output("stdout", b"hi")


async def test_a_list_of_odd_jobs_fits_and_can_be_sent(tmp_path: Path) -> None:
    odd = tmp_path / "\udcff"
    odd.mkdir()
    async with (
        open_stage(odd) as stage,
        stage.line() as line,
        line.client.start_job(["sh", "-c", "cat", "x" * 100_000], stdin=True),
    ):
        (info,) = (await line.client.ask(ListJobs())).jobs
    assert info.cwd == f"{tmp_path}/\\udcff"
    assert sum(map(len, info.argv)) <= 256
