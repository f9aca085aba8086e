"""Jobs on another machine: as here, also when a connection on the way is lost."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import Completed, Output, open_client
from loopsy_core.errors import Gone, Refused
from loopsy_core.wire import GrantPeer, JobEnd, ListJobs, RemovePeer
from tests.core.capabilities.jobs_stage import alive_in_group, read_all, read_until
from tests.core.node.machines_world import open_machine, pair, reached
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.node.machines_world import Machine


async def jobs_of(machine: Machine) -> list[bool]:
    """Return of each of a machine's jobs whether somebody attends to it."""
    return [job.attached for job in (await machine.client.ask(ListJobs())).jobs]


async def test_a_command_runs_there_with_all_its_streams(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.peer(reached)
            there = mac.client.peer("kai")
            data = bytes(range(256)) * 8000
            script = "cat; echo err >&2; exit 3"
            done = await there.run(["sh", "-c", script], stdin=data)
            assert done == Completed(3, data, b"err\n", id=done.id)
            with pytest.raises(Refused, match="denylist"):
                await there.run(["rm", "x"])
            async with there.start_job(["sh", "-c", "echo up; sleep 1000"]) as job:
                await read_until(job, b"up\n")
                *_, info = (await kai.client.ask(ListJobs())).jobs
                assert (info.id, info.owner) == (job.id, mac.id)
            await eventually(lambda: not alive_in_group(job.pid))  # dropped on the whole way


async def test_one_whose_asker_is_lost_on_the_way_waits_for_it(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.peer(reached)
            async with open_client(mac.home) as program:
                with suppress(Gone):
                    async with program.peer("kai").start_job(["cat"], stdin=True) as job:
                        await job.send(b"one")
                        assert await job.receive() == Output("stdout", b"one")
                        await program._conversation._channel.aclose()  # noqa: SLF001 - it crashes
                        await job.receive()
            while await jobs_of(kai) != [False]:  # noqa: ASYNC110
                await trio.sleep(0.01)
            there = mac.client.peer("kai")
            async with there.attach_job(job.id, stdout=3) as again:
                assert again.taken == 3
                await again.send(b"two")
                again.end_input()
                assert (await read_all(again)) == ({"stdout": b"two", "stderr": b""}, JobEnd(0))


@pytest.mark.parametrize("how", [RemovePeer(peer="mac"), GrantPeer(peer="mac", remove=["exec"])])
async def test_a_machine_that_may_no_more_has_its_jobs_ended(
    tmp_path: Path, how: RemovePeer | GrantPeer
) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.peer(reached)
            script = "echo up; exec sleep 1000"
            with suppress(Gone):  # it may be told how the command ends, or be cut off before
                async with mac.client.peer("kai").start_job(["sh", "-c", script]) as job:
                    await read_until(job, b"up\n")
                    await kai.client.ask(how)
                    await read_all(job)
            await eventually(lambda: not alive_in_group(job.pid))
