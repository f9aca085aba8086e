"""Agents copy files between machines, and look at what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines, text_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A folder on each machine, both within the home directory, as the settings want it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    return here, there


async def test_files_and_folders_are_sent_fetched_and_listed(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    here, there = folders
    (here / "a.bin").write_bytes(os.urandom(300_000))
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            sent = await agent.data(
                "transfer_file", peer="kai", direction="send", paths=["~/here"], dest="there/"
            )
            assert (sent["files"], sent["bytes"], sent["skipped"]) == (1, 300_000, [])
            listed = await agent.data("list_remote_files", peer="kai", path="there/here")
            assert [(one["name"], one["size"]) for one in listed["entries"]] == [("a.bin", 300_000)]
            await agent.data(
                "transfer_file",
                peer="kai",
                direction="pull",
                paths=[str(there / "here" / "a.bin")],
                dest=str(here / "b.bin"),
            )
            assert (here / "a.bin").read_bytes() == (here / "b.bin").read_bytes()


async def test_what_cannot_be_copied_is_told(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    here, _ = folders
    (here / "a").write_text("x", encoding="utf-8")
    os.mkfifo(here / "pipe")
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            call = {"peer": "kai", "direction": "send"}
            gone = await agent.complaint("transfer_file", **call, paths=["~/none"], dest="there/")
            assert "none" in gone
            assert "NUL" in await agent.complaint("transfer_file", **call, paths=["a\0"], dest="x")
            denied = await agent.complaint("transfer_file", **call, paths=["~/here/a"], dest="/x")
            assert "transfer.allowedPaths" in denied
            some = await agent.data("transfer_file", **call, paths=["~/here"], dest="there/")
            assert some["files"] == 1
            assert "pipe" in some["skipped"][0]["why"]
            missing = await agent.complaint("list_remote_files", peer="kai", path="there/none")
            assert "none" in missing


async def test_a_large_folder_is_listed_in_parts(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    _, there = folders
    for number in range(30):
        (there / f"{number:02}").touch()
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            page = await agent.data("list_remote_files", path="there", skip=20, limit=5)
            assert [entry["name"] for entry in page["entries"]] == ["20", "21", "22", "23", "24"]
            assert page["total"] == 30
            beyond = await agent.call("list_remote_files", path="there", skip=99)
            assert text_of(beyond) == "there on desk has 30 entries"
