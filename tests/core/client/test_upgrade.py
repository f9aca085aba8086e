"""An upgrade: another copy of the program finds the sessions of the one before it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import trio

import loopsy_core
from loopsy_core.client import Viewing, open_client, start_daemon
from loopsy_core.errors import Gone
from loopsy_core.wire import StopNode
from tests.conftest import ROOT
from tests.world import PATIENCE, eventually, holder_of

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import Attached
    from loopsy_core.home import Home

NEWER = "99.0"


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A folder with a copy of the program that says it is newer."""
    ignore = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(ROOT / "loopsy_core", tmp_path / "newer" / "loopsy_core", ignore=ignore)
    init = copy / "__init__.py"
    said = init.read_text()
    line = f'__version__ = "{loopsy_core.__version__}"'
    assert line in said
    init.write_text(said.replace(line, f'__version__ = "{NEWER}"'))
    return copy.parent


async def shows(attached: Attached, text: bytes) -> None:
    seen = b""
    while text not in seen:
        piece = await attached.receive()
        seen += piece if isinstance(piece, bytes) else b""


async def test_an_upgraded_node_finds_the_old_host_and_later_has_one_of_its_own(
    home: Home, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(PATIENCE):
        await start_daemon(home)
        async with open_client(home) as client:
            session = await client.start(["cat"], name="pet")
            viewing = Viewing(session.id)
            async with client.attach(viewing, cols=80, rows=24) as (attached, drawn):
                assert drawn is not None
                await attached.type(b"before\r")
                await shows(attached, b"before\r\nbefore\r\n")
                host = holder_of(home.host_lock)
                await client.ask(StopNode())
                with pytest.raises(Gone):
                    await shows(attached, b"nothing more")
        await eventually(lambda: holder_of(home.node_lock) is None)

        monkeypatch.setenv("PYTHONPATH", str(newer))
        await start_daemon(home)

        async with open_client(home) as client:
            status = await client.status()
            assert status.version == NEWER
            assert status.host is not None
            assert (status.host.pid, status.host.version) == (host, loopsy_core.__version__)
            async with client.attach(viewing, cols=80, rows=24) as (attached, drawn):
                assert drawn is None, "the output goes on where it was"
                await attached.type(b"after\r")
                await shows(attached, b"after\r\nafter\r\n")
            await client.end_session(session.id)
            fresh = await client.start(["cat"])
            status = await client.status()
            assert status.host is not None
            assert status.host.version == NEWER
            assert status.host.pid != host
            ended, alive = await client.sessions()
            assert (ended.id, ended.alive, ended.lost) == (session.id, False, None)
            assert (alive.id, alive.alive) == (fresh.id, True)
            await client.end_session(fresh.id)
