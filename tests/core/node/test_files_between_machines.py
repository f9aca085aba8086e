"""Files between two paired machines, sealed over TCP: confined, and gone on with after a cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import Refused
from loopsy_core.wire.transfer import RESUMABLE
from tests.core.capabilities.files_world import Machine as Folders
from tests.core.capabilities.files_world import tree, when_bytes
from tests.core.node.machines_world import open_machine, pair, reached
from tests.core.node.test_keeping import fix_port
from tests.world import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 20 * RESUMABLE


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """Two folders in a home directory, which is what machines may reach of one another."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return Folders(tmp_path, None, None)


async def test_a_folder_goes_to_another_machine_and_back(folders: Folders, tmp_path: Path) -> None:
    for size in (0, 10, 100_000, LARGE):
        folders.make(f"in/{size}", size)
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            await pair(kai, mac)
            await mac.peer(reached)
            there = mac.client.peer("kai")
            await there.send([folders.here / "in"], "there")
            await there.pull(["there/in"], folders.here / "back")
            names = [entry.name for entry in await there.list_files("~/there/in")]
    assert tree(folders.there / "in") == tree(folders.here / "in")
    assert tree(folders.here / "back") == tree(folders.here / "in")
    assert names == [b"0", b"10", b"100000", b"%d" % LARGE]


async def test_another_machine_reaches_what_is_allowed(folders: Folders, tmp_path: Path) -> None:
    folders.make("a")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            await pair(kai, mac)
            await mac.peer(reached)
            there = mac.client.peer("kai")
            with pytest.raises(Refused, match="outside of the folders"):
                await there.send([folders.here / "a"], "/")
            with pytest.raises(Refused, match="denied"):
                await there.pull([kai.home.identity], folders.here)
    assert not (folders.there / "a").exists()


async def test_a_file_goes_on_when_the_other_machine_comes_back(
    folders: Folders, tmp_path: Path
) -> None:
    data = folders.make("in", LARGE)
    half = trio.Event()
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac", lan=False) as mac, trio.open_nursery() as nursery:
            async with open_machine(tmp_path, "kai") as kai:
                await pair(kai, mac)
                await mac.peer(reached)
                fix_port(tmp_path, "kai", kai.node.port)

                async def send() -> None:
                    there = mac.client.peer("kai")
                    on_progress = when_bytes(LARGE // 2, half.set)
                    await there.send([folders.here / "in"], "there", on_progress=on_progress)

                nursery.start_soon(send)
                await half.wait()
            assert not (folders.there / "in").exists()
            async with open_machine(tmp_path, "kai"):
                while not (folders.there / "in").exists():  # noqa: ASYNC110
                    await trio.sleep(0.05)
                nursery.cancel_scope.deadline = trio.current_time() + 5
                while nursery.child_tasks:  # noqa: ASYNC110
                    await trio.sleep(0.05)
    assert (folders.there / "in").read_bytes() == data
