"""Files between this machine and another, which our node carries itself where it can."""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.client import Moving, Progress, Pulling, Sending, keep_moving
from loopsy_core.client import files as files_of_client
from loopsy_core.errors import BadRequest, NotFound, Refused
from loopsy_core.wire import SendFiles
from tests.core.node.machines_world import Machine, home_of, open_machine, pair, reached
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

LARGE: Final = os.urandom(1_000_000) * 30 + b"the end"


@asynccontextmanager
async def two_machines(root: Path) -> AsyncGenerator[tuple[Machine, Machine]]:
    """Open two that are paired, which may move files anywhere."""
    for name in ("near", "far"):
        (root / f"{name}-files").mkdir()
        with home_of(root, name).config.open("a", encoding="utf-8") as config:
            config.write(f"transfer: {{allowedPaths: [{root}]}}\n")
    async with open_machine(root, "near") as near, open_machine(root, "far") as far:
        await pair(far, near)
        await near.peer(reached)
        yield near, far


def asked_of(machine: Machine) -> list[str]:
    """Return what was asked of a machine about files, by its audit log."""
    lines = machine.home.audit_log.read_text(encoding="utf-8").splitlines()
    ops = [str(json.loads(line)["op"]) for line in lines]
    return [op for op in ops if op.startswith("files.")]


def ways(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return whence and where it goes, by direction."""
    here, there = root / "near-files", root / "far-files"
    return {"send": (here, there), "pull": (there, here)}


async def move(near: Machine, way: str, paths: list[Path], dest: Path, **more: object) -> object:
    far = near.client.peer("far")
    return await (far.send if way == "send" else far.pull)(paths, dest, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["send", "pull"])
async def test_our_node_moves_what_its_user_would_hand_to_it(tmp_path: Path, way: str) -> None:
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, far):
            source, dest = ways(tmp_path)[way]
            (source / "tree").mkdir()
            (source / "tree" / "large").write_bytes(LARGE)
            (source / "tree" / "large").chmod(0o666)
            for number in range(40):
                (source / "tree" / f"small-{number}").write_bytes(b"%d" % number)
                os.mkfifo(source / "tree" / f"pipe-{number}")
            steps: list[Progress] = []
            moved = await move(
                near,
                way,
                [source / "tree"],
                dest,
                on_progress=lambda now: steps.append(Progress(now.files, now.bytes)),
            )
            assert (dest / "tree" / "large").read_bytes() == LARGE
            assert (dest / "tree" / "small-7").read_bytes() == b"7"
            assert (moved.files, len(moved.skipped)) == (41, 40)
            assert steps[-1].files == 41
            assert (
                steps[-1].bytes == moved.bytes == len(LARGE) + sum(len(str(n)) for n in range(40))
            )
            assert asked_of(near) == [f"files.{'send' if way == 'send' else 'fetch'}"]
            assert asked_of(far) == ["files.push" if way == "send" else "files.pull"]


@pytest.mark.parametrize("way", ["send", "pull"])
async def test_who_sees_other_files_than_the_node_moves_them_as_well(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_of_client, "sight", lambda: "a box of its own")
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, _):
            source, dest = ways(tmp_path)[way]
            (source / "one").write_bytes(LARGE)
            await move(near, way, [source / "one"], dest)
            assert (dest / "one").read_bytes() == LARGE
            asked = asked_of(near)
            assert asked == (
                ["files.send", "files.push"] if way == "send" else ["files.fetch", "files.pull"]
            )


@pytest.mark.parametrize("way", ["send", "pull"])
async def test_it_goes_on_where_a_lost_connection_has_left_it(tmp_path: Path, way: str) -> None:
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, far):
            source, dest = ways(tmp_path)[way]
            (source / "one").write_bytes(LARGE)
            cuts = 0

            def cut(now: Progress) -> None:
                nonlocal cuts
                if now.bytes > len(LARGE) // 4 and cuts < 2:
                    cuts += 1
                    far.node.door.presence.cut(near.node.identity.id)

            moving: Moving = (Sending if way == "send" else Pulling)(
                [source / "one"], dest, on_progress=cut
            )

            @asynccontextmanager
            async def reach() -> AsyncGenerator[object]:
                await near.peer(reached)
                yield near.client.peer("far")

            moved = await keep_moving(moving, reach)  # type: ignore[arg-type]
            assert (dest / "one").read_bytes() == LARGE
            assert (moved.files, moved.bytes) == (1, len(LARGE))
            assert cuts
            assert len(asked_of(near)) > 1


async def test_paths_begin_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, _):
            here, there = ways(tmp_path)["send"]
            (here / "one").write_bytes(b"1")
            monkeypatch.chdir(here)
            far = near.client.peer("far")
            await far.send(["one"], there)
            await far.pull([there / "one"], "two")
            assert (here / "two").read_bytes() == b"1"
            monkeypatch.setattr(os, "getcwdb", lambda: os.stat("/gone"))
            with pytest.raises(NotFound, match="current folder"):
                await far.send(["one"], there)


async def test_what_comes_here_has_the_modes_that_its_user_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_of_client, "umask", lambda: 0o027)
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, _):
            there, here = ways(tmp_path)["pull"]
            (there / "one").write_bytes(b"1")
            (there / "one").chmod(0o666)
            await near.client.peer("far").pull([there / "one"], here)
            assert (here / "one").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("way", ["send", "pull"])
async def test_what_cannot_be_moved_is_told_in_words(tmp_path: Path, way: str) -> None:
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, _):
            source, dest = ways(tmp_path)[way]
            with pytest.raises(NotFound, match="nothing"):
                await move(near, way, [source / "nothing"], dest)
            (source / "one").write_bytes(b"1")
            with pytest.raises((NotFound, BadRequest), match="nowhere"):
                await move(near, way, [source / "one"], dest / "nowhere" / "at all")
            denied = near.home.identity if way == "send" else near.home.root / "new"
            paths = [denied] if way == "send" else [source / "one"]
            with pytest.raises(Refused):
                await move(near, way, paths, dest if way == "send" else denied)


async def test_nobody_else_has_a_node_carry_files(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with two_machines(tmp_path) as (near, _):
            order = SendFiles(paths=[b"/etc/hosts"], dest=b"x", sight="")
            with pytest.raises(Refused, match="carried"):
                await near.client.ask(order)
            conversation = near.node.machines.reach("far")
            with pytest.raises(Refused, match="grant"):
                await conversation.ask(order)
