"""Process groups: all of one can be signalled, and its end is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import trio

from loopsy_core.kit import groups, signal_group, wait_group_empty
from tests.world import PATIENCE


async def started(script: str) -> trio.Process:
    """Start a script that leads a group, and wait until it says that it is up."""
    process: trio.Process = await trio.lowlevel.open_process(
        ["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert await process.stdout.receive_some(3) == b"up\n"
    return process


def zombie() -> int:
    """Leave a process behind that leads a group and has ended; its parent is to reap it."""
    pid = os.posix_spawn("/bin/true", ["true"], {}, setpgroup=0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


async def test_a_signal_reaches_everybody_and_then_nobody_is_there() -> None:
    with trio.fail_after(PATIENCE):
        process = await started("sleep 1000 & sleep 1000 & echo up; wait")
        assert signal_group(process.pid, 0)
        assert signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        await wait_group_empty(process.pid)
        if not groups._only_zombies(process.pid):  # noqa: SLF001 - nobody reaps here
            assert not signal_group(process.pid, 0)


async def test_a_group_is_not_empty_while_its_leader_is_gone_and_another_is_there() -> None:
    with trio.fail_after(PATIENCE):
        process = await started("sleep 1000 & echo up")
        await process.wait()
        with trio.move_on_after(0.05) as waited:
            await wait_group_empty(process.pid)
        assert waited.cancelled_caught
        assert signal_group(process.pid, signal.SIGKILL)
        await wait_group_empty(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_what_nobody_reaps_counts_as_gone() -> None:
    with trio.fail_after(PATIENCE):
        pid = zombie()
        assert signal_group(pid, 0)
        await wait_group_empty(pid)
        assert signal_group(pid, 0)
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222
