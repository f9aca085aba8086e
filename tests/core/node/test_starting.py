"""Starting a node: nothing that lies around where it is started gets a say in it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import trio

from loopsy_core.client import open_client, start_daemon
from tests.world import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from loopsy_core.home import Home


async def test_a_folder_full_of_traps_is_no_danger_to_whoever_starts_a_node_in_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sprung = tmp_path / "sprung"
    folder = tmp_path / "somebody elses project"
    folder.mkdir()
    for module in ("trio", "random", "loopsy_core", "msgspec"):
        (folder / f"{module}.py").write_text(f"open({str(sprung)!r}, 'w').close()\n1 / 0\n")
    monkeypatch.chdir(folder)
    with trio.fail_after(PATIENCE):
        node = await start_daemon(home)
        async with open_client(home) as client:
            session = await client.start(["cat"])
            await client.end_session(session.id)
        os.kill(node, signal.SIGTERM)
        await trio.to_thread.run_sync(os.waitpid, node, 0)
    assert not sprung.exists()
