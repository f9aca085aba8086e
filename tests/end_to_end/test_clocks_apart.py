"""Two machines whose clocks are hours apart, each a process with a time of its own."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.client import Client, open_client, start_daemon
from loopsy_core.home import Home, create_identity, create_private
from loopsy_core.wire import Confirm, Invited, InvitePeer, JoinPeer, ListPeers, PeerInfo, decode
from tests.core.node.machines_world import next_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

PATIENCE: Final = 60.0
ANOTHER_TIME: Final = """
import time
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + {ahead}
time.time_ns = lambda: real_ns() + {ahead} * 10**9
"""


@asynccontextmanager
async def running(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, ahead: int = 0
) -> AsyncGenerator[tuple[Home, Client]]:
    """Run the node of a home whose clock is some seconds ahead."""
    home = Home(root / "home")
    home.create()
    create_identity(home)
    config = f"server: {{name: {root.name}, port: 0}}\ndiscovery: {{enabled: false}}\n"
    create_private(home.config, config.encode())
    (root / "sitecustomize.py").write_text(ANOTHER_TIME.format(ahead=ahead))
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root), prepend=os.pathsep)
        pid = await start_daemon(home, loopback=True)
    try:
        async with open_client(home) as client:
            yield home, client
    finally:
        os.kill(pid, signal.SIGTERM)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(os.waitpid, pid, 0)


async def pair(host: Client, guest: Client) -> None:
    port = (await host.status()).port
    async with host.open_call(InvitePeer()) as inviting:
        invited = await next_of(inviting)
        assert isinstance(invited, Invited)
        request = JoinPeer(address=f"127.0.0.1:{port}", code=invited.code)
        async with guest.open_call(request) as joining:
            await next_of(joining)
            await next_of(inviting)
            await joining.send_item(Confirm(same=True))
            await inviting.send_item(Confirm(same=True))
            decode(await joining.answer(), PeerInfo)
            decode(await inviting.answer(), PeerInfo)


async def reached(client: Client) -> float:
    """Wait until the other machine is reached; return how far its clock is ahead."""
    while True:
        [peer] = (await client.ask(ListPeers())).peers
        if peer.way is not None and peer.clock_ahead is not None:
            return peer.clock_ahead
        await trio.sleep(0.05)


@pytest.mark.parametrize("ahead", [5 * 3600, -5 * 3600])
async def test_machines_whose_clocks_are_hours_apart_do_all_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    for name in ("kai", "mac"):
        (tmp_path / name).mkdir()
    with trio.fail_after(PATIENCE):
        async with (
            running(tmp_path / "kai", monkeypatch) as (_, here),
            running(tmp_path / "mac", monkeypatch, ahead=ahead) as (_, there),
        ):
            await pair(here, there)  # the invitation lasts five minutes
            assert await reached(here) == pytest.approx(ahead, abs=60)
            assert await reached(there) == pytest.approx(-ahead, abs=60)
            mac, kai = here.peer("mac"), there.peer("kai")

            done = await mac.run(["echo", "hi"], timeout=30)
            assert (done.stdout, done.timed_out) == (b"hi\n", False)

            await mac.context.set("k", "v", ttl=60)
            entry = await there.context.get("k")
            assert entry is not None
            assert entry.value == "v"

            for sender, to, inbox in ((here, "mac", there), (there, "kai", here)):
                async with inbox.messages.watch() as arrived:
                    await sender.messages.send(to, "for a minute", ttl=60)
                    assert (await anext(arrived)).body == "for a minute"

            task = await kai.tasks.add("build")
            async with here.tasks.claim(lease=30) as work:
                assert work is not None
                assert work.task.id == task.id
                await work.finish("built")
            assert (await kai.tasks.wait(task.id)).result == "built"
