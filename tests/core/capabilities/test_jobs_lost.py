"""A job whose connection is lost waits for its asker, who comes back to all that it missed."""

from __future__ import annotations

import random
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.capabilities import job as job_module
from loopsy_core.capabilities import jobs as jobs_module
from loopsy_core.client import Output
from loopsy_core.errors import BadRequest, Busy, Gone, NotFound
from loopsy_core.wire import JobEnd, JobInfo, ListJobs
from tests.core.capabilities.jobs_stage import (
    Line,
    Stage,
    alive_in_group,
    open_stage,
    read_all,
    read_until,
)
from tests.world import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import RunningJob
    from loopsy_core.wire import OutputName

COUNT = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); echo $i; done"


async def lost_job(
    stage: Stage, *argv: str, until: bytes = b"up\n", stdin: bool = False
) -> tuple[RunningJob, bytes]:
    """Start a job, read its output `until` this has come, and lose the connection."""
    async with stage.line() as line:
        with suppress(Gone):
            async with line.client.start_job(argv, stdin=stdin) as job:
                got = await read_until(job, until)
                line.cut()
                while isinstance(await job.receive(), Output):  # what had come already
                    pass
    return job, got


async def info(line: Line, job: RunningJob) -> JobInfo | None:
    jobs = (await line.client.ask(ListJobs())).jobs
    return next((each for each in jobs if each.id == job.id), None)


async def written(line: Line, job: RunningJob) -> int:
    found = await info(line, job)
    assert found is not None
    assert not found.attached
    return found.stdout


async def test_it_goes_on_and_is_picked_up_from_where_its_asker_was(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        job, got = await lost_job(stage, "sh", "-c", f"echo up; {COUNT}; echo done >&2; exit 3")
        offsets = job.offsets
        async with line.client.attach_job(job.id, **offsets) as again:
            rest, end = await read_all(again)
        whole = b"up\n" + b"".join(b"%d\n" % i for i in range(1, 50_001))
        assert whole[: offsets["stdout"]] + rest["stdout"] == whole
        assert got == whole[: len(got)]
        assert (rest["stderr"], end) == (b"done\n", JobEnd(3))


@pytest.mark.parametrize("seed", range(3))
async def test_cut_anywhere_and_often_nothing_is_missing_or_doubled(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    script = f"{COUNT} & ({COUNT}) >&2 & wait; exit 7"
    got: dict[OutputName, bytes] = {"stdout": b"", "stderr": b""}
    end = job = None
    async with open_stage(tmp_path) as stage:
        while end is None:
            async with stage.line() as line:
                opened = (
                    line.client.start_job(["bash", "-c", script])
                    if job is None
                    else line.client.attach_job(job.id, **job.offsets)
                )
                try:
                    async with opened as job:
                        left = chance.randrange(1, 30) if chance.random() < 0.8 else 10**6
                        while not isinstance(piece := await job.receive(), JobEnd):
                            assert not piece.lost
                            got[piece.stream] += piece.data
                            left -= 1
                            if not left:
                                line.cut()  # what has come already can still be received
                        end = piece
                except Gone:
                    continue
    whole = b"".join(b"%d\n" % i for i in range(1, 50_001))
    assert got == {"stdout": whole, "stderr": whole}
    assert end == JobEnd(7)


async def test_its_input_goes_on_with_the_byte_that_it_was_not_given(tmp_path: Path) -> None:
    data = bytes(i * 7 % 251 for i in range(2_000_000))
    chance = random.Random(1)
    got = b""
    job: RunningJob | None = None
    async with open_stage(tmp_path) as stage:
        ended = False
        while not ended:
            async with stage.line() as line:
                opened = (
                    line.client.start_job(["cat"], stdin=True)
                    if job is None
                    else line.client.attach_job(job.id, **job.offsets)
                )
                try:
                    async with opened as job, trio.open_nursery() as nursery:
                        nursery.start_soon(_send, job, data)
                        left = chance.randrange(3, 20)
                        while isinstance(piece := await job.receive(), Output):
                            got += piece.data
                            left -= 1
                            if not left:
                                line.cut()
                        ended = True
                        assert piece == JobEnd(0)
                except* Gone:
                    pass
    assert got == data


async def _send(job: RunningJob, data: bytes) -> None:
    await job.send(data[job.taken :])
    job.end_input()


async def test_a_flood_of_one_that_is_lost_stands_still_and_is_there_afterwards(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        script = f"echo up; {COUNT}; {COUNT}; {COUNT}; {COUNT}"
        job, _ = await lost_job(stage, "sh", "-c", script)
        before = -1
        while before != (now := await written(line, job)):
            before = now
            await trio.sleep(0.2)
        assert now < 1_000_000  # of more
        async with line.client.attach_job(job.id, **job.offsets) as again:
            rest, end = await read_all(again)
        assert job.offsets["stdout"] + len(rest["stdout"]) == 3 + 4 * 288_894
        assert end == JobEnd(0)


async def test_one_that_nobody_comes_back_to_ends_with_all_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "PICK_UP", 0.1)
    async with open_stage(tmp_path) as stage, stage.line() as line:
        job, _ = await lost_job(stage, "sh", "-c", "sleep 1000 & echo up; wait")
        await eventually(lambda: not alive_in_group(job.pid))
        while (ended := await info(line, job)) and ended.exit_code is None:  # noqa: ASYNC110
            await trio.sleep(0.01)
        assert ended is not None
        assert (ended.exit_code, ended.cancelled) == (-signal.SIGTERM, True)


async def test_one_that_is_picked_up_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "PICK_UP", 0.3)
    async with open_stage(tmp_path) as stage, stage.line() as line:
        job, _ = await lost_job(stage, "sh", "-c", "echo up; cat", stdin=True)
        async with line.client.attach_job(job.id, stdout=3) as again:
            await trio.sleep(0.5)
            await again.send(b"still here")
            assert await again.receive() == Output("stdout", b"still here")
            again.end_input()
            assert await again.receive() == JobEnd(0)


async def test_its_own_time_is_up_also_when_it_is_lost(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        async with stage.line() as first:
            with suppress(Gone):
                async with first.client.start_job(["sleep", "1000"], timeout=0.3) as job:
                    first.cut()
                    await job.receive()
        async with line.client.attach_job(job.id) as again:
            _, end = await read_all(again)
        assert end == JobEnd(-signal.SIGTERM, timed_out=True)


async def test_one_that_ended_meanwhile_tells_how_and_what_it_wrote(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        job, _ = await lost_job(stage, "sh", "-c", "echo up; echo more; exit 9")
        await eventually(lambda: not stage.jobs.running)
        for _ in range(2):  # the answer may be lost, too
            async with line.client.attach_job(job.id, stdout=3) as again:
                got, end = await read_all(again)
            assert (got["stdout"], end) == (b"more\n", JobEnd(9))


async def test_an_ended_one_is_kept_for_a_while_and_not_more_than_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        for _ in range(jobs_module.MOST_ENDED + 5):
            await line.client.run(["true"])
        await trio.testing.wait_all_tasks_blocked()
        assert len((await line.client.ask(ListJobs())).jobs) == jobs_module.MOST_ENDED
        monkeypatch.setattr(jobs_module, "PICK_UP", 0.05)
        job, _ = await lost_job(stage, "sh", "-c", "echo up; exit 9")
        while await info(line, job) is not None:  # noqa: ASYNC110
            await trio.sleep(0.01)
        with pytest.raises(NotFound, match="kept for a minute"):
            async with line.client.attach_job(job.id):
                pass


async def test_whoever_comes_back_gets_it_although_the_loss_was_not_noticed(
    tmp_path: Path,
) -> None:
    async with (
        open_stage(tmp_path) as stage,
        stage.line() as old,
        stage.line() as new,
        trio.open_nursery() as nursery,
        old.client.start_job(["cat"], stdin=True) as job,
    ):
        await job.send(b"one")
        assert await job.receive() == Output("stdout", b"one")

        async def be_told() -> None:
            with pytest.raises(Busy, match="another connection"):
                await job.receive()

        nursery.start_soon(be_told)
        async with new.client.attach_job(job.id, **job.offsets) as again:
            assert again.taken == 3
            await again.send(b"two")
            assert await again.receive() == Output("stdout", b"two")
            old.cut()
            await trio.testing.wait_all_tasks_blocked()
            await again.send(b"three")
            assert await again.receive() == Output("stdout", b"three")
            again.end_input()
            assert await again.receive() == JobEnd(0)


async def test_whoever_lost_it_to_another_cannot_end_it_by_leaving(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as old, stage.line() as new:
        async with old.client.start_job(["cat"], stdin=True) as job:
            opened = new.client.attach_job(job.id)
            again = await opened.__aenter__()
        await trio.testing.wait_all_tasks_blocked()
        await again.send(b"here")
        assert await again.receive() == Output("stdout", b"here")
        again.end_input()
        assert await again.receive() == JobEnd(0)
        await opened.__aexit__(None, None, None)


async def test_a_late_reader_is_told_how_much_is_lost_to_it(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        script = f"echo gone >&2; {COUNT}; {COUNT}; {COUNT}; {COUNT}; {COUNT}"
        async with line.client.start_job(["sh", "-c", script]) as job:
            whole, _ = await read_all(job)
        lost: dict[OutputName, int] = {"stdout": 0, "stderr": 0}
        got: dict[OutputName, bytes] = {"stdout": b"", "stderr": b""}
        async with line.client.attach_job(job.id) as again:
            while isinstance(piece := await again.receive(), Output):
                lost[piece.stream] += piece.lost
                got[piece.stream] += piece.data
        assert lost["stderr"] == 5
        assert 0 < len(got["stdout"]) <= 1 << 20
        assert whole["stdout"][lost["stdout"] :] == got["stdout"]


@pytest.mark.parametrize("offsets", [{"stdout": 4}, {"stderr": 1}])
async def test_an_offset_that_never_was_is_refused_and_the_job_goes_on(
    tmp_path: Path, offsets: dict[OutputName, int]
) -> None:
    async with open_stage(tmp_path) as stage, stage.line() as line:
        job, _ = await lost_job(stage, "sh", "-c", "echo up; exec cat", stdin=True)
        with pytest.raises(BadRequest, match="bytes, so none from"):
            async with line.client.attach_job(job.id, **offsets):
                pass
        async with line.client.attach_job(job.id, stdout=3) as again:
            again.end_input()
            assert await again.receive() == JobEnd(0)
