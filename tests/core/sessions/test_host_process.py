"""The host as a process: started on demand, outliving its node, missed when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.client import Attached, Client, open_client, start_daemon
from loopsy_core.errors import Gone
from loopsy_core.sessions.records import Records
from tests.world import PATIENCE, eventually, holder_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import Home

SHORT_IDLE: Final = """
import sys
from pathlib import Path
from loopsy_core.sessions import host
host.IDLE = 0.3
host.main(Path(sys.argv[1]))
"""


@asynccontextmanager
async def running_node(home: Home) -> AsyncGenerator[tuple[int, Client]]:
    """Run the node of `home` as a process; whatever is left of it ends with the test."""
    pid = await start_daemon(home)
    try:
        async with open_client(home) as client:
            yield pid, client
    finally:
        stop(pid, signal.SIGTERM)


def stop(pid: int, number: signal.Signals) -> None:
    """Signal a child of ours and wait for its end."""
    try:
        os.kill(pid, number)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # somebody waited for it before


async def until(attached: Attached, text: bytes) -> None:
    seen = b""
    while text not in seen:
        shown = await attached.receive()
        seen += shown if isinstance(shown, bytes) else b""


async def test_a_host_is_started_when_it_is_needed_and_outlives_its_node(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (node, client):
            assert await client.sessions() == []
            assert (await client.status()).sessions == 0
            assert holder_of(home.host_lock) is None
            session = await client.start(["cat"])
            host = holder_of(home.host_lock)
            assert host not in (None, node, os.getpid())
            assert os.getsid(host or 0) == host
            if sys.platform == "linux":
                assert os.readlink(f"/proc/{host}/cwd") == "/"
            async with client.attach(session.id, cols=80, rows=24) as (attached, _):
                await attached.type(b"before\r")
                await until(attached, b"before\r\nbefore\r\n")
                stop(node, signal.SIGKILL)
                with pytest.raises(Gone):
                    await attached.receive()
        async with running_node(home) as (_, client):
            assert holder_of(home.host_lock) == host
            [found] = await client.sessions()
            assert (found.id, found.alive) == (session.id, True)
            assert (await client.status()).sessions == 1
            async with client.attach(session.id, cols=80, rows=24) as (attached, drawn):
                assert drawn is not None
                if b"before" not in drawn.vt:  # the host is so young that it shows all there was
                    await until(attached, b"before")
                await attached.type(b"after\r")
                await until(attached, b"after\r\nafter\r\n")
            await client.end_session(session.id)


async def test_a_killed_host_is_missed_and_the_next_start_has_a_new_one(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (_, client):
            session = await client.start(["sh", "-c", "echo $$; exec cat"])
            await eventually(Records(home.sessions).any)
            host = holder_of(home.host_lock)
            assert host is not None
            async with client.attach(session.id, cols=80, rows=24) as (attached, _):
                os.kill(host, signal.SIGKILL)
                with pytest.raises(Gone):
                    await until(attached, b"anything more")
            [lost] = await client.sessions()
            assert holder_of(home.host_lock) not in (None, host)
            assert (lost.id, lost.alive, lost.exit_code) == (session.id, False, None)
            assert lost.lost is not None
            assert (await client.status()).sessions == 0
            again = await client.start(["cat"])
            assert [each.id for each in await client.sessions()] == [lost.id, again.id]
            await client.end_session(again.id)


async def test_many_who_need_a_host_at_once_get_the_same_one(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (_, client):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(start_by_itself, home)
                nursery.start_soon(client.start, ["cat"])
            sessions = await client.sessions()
            assert len(sessions) == 4
            assert sorted(each.name for each in sessions) == ["cat", "cat-2", "cat-3", "cat-4"]


async def start_by_itself(home: Home) -> None:
    async with open_client(home) as client:
        await client.start(["cat"])


async def test_a_second_host_leaves_at_once(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (_, client):
            session = await client.start(["cat"])
            second = await trio.run_process(
                [sys.executable, "-m", "loopsy_core.sessions", str(home.root)],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            assert second.returncode == 1
            assert b"is held by process" in second.stderr
            assert b"Traceback" not in second.stderr
            assert second.stdout == b""
            assert [each.id for each in await client.sessions()] == [session.id]
            await client.end_session(session.id)


async def test_a_host_with_nothing_to_do_leaves(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            [sys.executable, "-c", SHORT_IDLE, str(home.root)],
            capture_stdout=True,
            capture_stderr=True,
        )
        assert done.stdout == b"ready\n"
        assert b"nothing runs here" in done.stderr
        assert not home.host_socket.exists()


async def test_a_host_that_is_told_to_leave_hangs_up_on_its_programs(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (_, client):
            left = home.root / "left"
            script = f"trap 'echo bye > {left}; exit' HUP; echo ok; while :; do sleep 0.01; done"
            session = await client.start(["sh", "-c", script])
            async with client.attach(session.id, cols=80, rows=24) as (attached, drawn):
                if drawn is None or b"ok" not in drawn.vt:
                    await until(attached, b"ok")
            host = holder_of(home.host_lock)
            assert host is not None
            os.kill(host, signal.SIGTERM)
            await eventually(left.exists)
            await eventually(lambda: holder_of(home.host_lock) is None)


async def test_a_host_that_cannot_start_is_told_with_the_way_to_its_log(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (_, client):
            home.host_socket.mkdir()  # in the way of the socket
            with pytest.raises(Exception, match=r"host\.log") as caught:
                await client.start(["cat"])
            assert "Traceback" not in str(caught.value)
            home.host_socket.rmdir()
            assert (await client.start(["cat"])).alive


async def test_the_node_keeps_no_zombies_of_hosts(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with running_node(home) as (node, client):
            for _ in range(2):
                await client.start(["cat"])
                host = holder_of(home.host_lock)
                assert host is not None
                os.kill(host, signal.SIGKILL)
                await eventually(lambda: holder_of(home.host_lock) is None)
            await client.sessions()
            children = subprocess.run(  # noqa: ASYNC221
                ["ps", "--ppid", str(node), "-o", "stat="], capture_output=True, check=False
            ).stdout.split()
            assert not [state for state in children if state.startswith(b"Z")]
