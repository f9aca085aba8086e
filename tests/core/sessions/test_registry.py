"""All sessions of a host: names and references, the list and its changes, what is kept and lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, Gone, NotFound
from loopsy_core.sessions import registry
from loopsy_core.sessions.registry import MAX_ENDED
from loopsy_core.wire import (
    Ended,
    NodeStatus,
    RemoveSession,
    RenameSession,
    SessionInfo,
    StartSession,
)
from tests.core.sessions.stage import Drawing, Stage, open_stage

if TYPE_CHECKING:
    from pathlib import Path


def names(stage: Stage) -> list[str]:
    return [session.name for session in stage.sessions.list().sessions]


async def ended(stage: Stage, name: str | None = None) -> SessionInfo:
    session = await stage.start("true", name=name)
    return await stage.until(session, lambda now: not now.alive)


async def test_a_session_tells_about_itself(tmp_path: Path) -> None:
    async with open_stage() as stage:
        info = await stage.client.start(
            ["cat", "-u"], name="my cat", cwd=str(tmp_path), cols=90, rows=30
        )
        assert info == SessionInfo(
            id=info.id,
            name="my cat",
            kind="shell",
            alive=True,
            created_at=info.created_at,
            cols=90,
            rows=30,
            viewers=0,
            title="",
            exit_code=None,
            argv=info.argv,
            cwd=str(tmp_path),
        )
        assert info.argv[0].endswith("/cat")
        assert len(info.id) == 8
        assert [info] == stage.sessions.list().sessions


async def test_a_program_knows_its_session() -> None:
    async with open_stage() as stage:
        session = await stage.client.start(
            ["sh", "-c", 'printf "%s %s" "$LOOPSY_SESSION" "$MINE"; cat'],
            env={"MINE": "yes", "LOOPSY_SESSION": "a lie"},
        )
        async with stage.attach(session) as seat:
            expected = f"{session.id} yes".encode()
            if not (isinstance(seat.first, Drawing) and expected in seat.first.vt):
                await seat.until(expected)


async def test_sessions_without_a_name_are_named_after_their_program() -> None:
    async with open_stage() as stage:
        for _ in range(3):
            await stage.start("cat")
        assert names(stage) == ["cat", "cat-2", "cat-3"]


async def test_a_name_belongs_to_one_session() -> None:
    async with open_stage() as stage:
        await stage.start("cat", name="one")
        other = await stage.start("cat", name=" two ")
        assert other.name == "two"
        with pytest.raises(BadRequest, match="named 'one' already"):
            await stage.start("cat", name="one")
        with pytest.raises(BadRequest, match="named 'one' already"):
            await stage.client.ask(RenameSession(session="two", name="one"))
        assert (await stage.client.ask(RenameSession(session="two", name="two"))).name == "two"
        assert (await stage.client.ask(RenameSession(session="two", name="three"))).name == "three"
        assert names(stage) == ["one", "three"]


@pytest.mark.parametrize("name", [" ", "a\nb", "\x1b[31m", "", "x" * 65, "\u202eevil"])
async def test_a_name_is_printable_and_not_empty(name: str) -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        with pytest.raises(BadRequest):
            await stage.client.start(["cat"], name=name)
        with pytest.raises(BadRequest):
            await stage.client.ask(RenameSession(session=session.id, name=name))
        assert names(stage) == ["cat"]


async def test_a_session_is_found_by_id_by_name_and_by_a_unique_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = iter(["aaaa1111", "aaaa1111", "aaaa2222", "bbbb1111"])  # the second is taken

    def token_hex(size: int) -> str:
        return next(ids) if size == 4 else "epoch"

    monkeypatch.setattr(registry.secrets, "token_hex", token_hex)
    async with open_stage() as stage:
        for name in ("one", "two", "three"):
            await stage.start("cat", name=name)
        find = stage.sessions.find
        assert find("one").id == "aaaa1111"
        assert find("aaaa2").name == "two"
        assert find("b").name == "three"
        with pytest.raises(BadRequest, match="several sessions: aaaa1111, aaaa2222"):
            find("aaaa")
        with pytest.raises(NotFound, match="`loopsy list`"):
            find("d")
        # A name goes before the beginning of an id, an id before a name.
        stage.sessions.rename("two", "bb")
        assert find("bb").id == "aaaa2222"
        stage.sessions.rename("one", "bbbb1111")
        assert find("bbbb1111").name == "three"


async def test_only_an_ended_session_can_be_removed() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat", name="kitty")
        with pytest.raises(BadRequest, match="kitty still runs"):
            await stage.client.ask(RemoveSession(session="kitty"))
        await stage.client.end_session("kitty")
        await stage.client.ask(RemoveSession(session="kitty"))
        assert names(stage) == []
        with pytest.raises(NotFound):
            await stage.client.ask(RemoveSession(session=session.id))


async def test_the_list_comes_at_once_and_after_each_change() -> None:
    async with open_stage() as stage, stage.client.watch_sessions() as lists:
        assert (await anext(lists)).sessions == []
        session = await stage.start("cat")
        assert [each.id for each in (await anext(lists)).sessions] == [session.id]
        await stage.client.ask(RenameSession(session=session.id, name="kitty"))
        assert (await anext(lists)).sessions[0].name == "kitty"
        async with stage.attach(session):
            assert (await anext(lists)).sessions[0].viewers == 1
        assert (await anext(lists)).sessions[0].viewers == 0
        await stage.client.end_session(session.id)
        assert (await anext(lists)).sessions[0].alive is False


async def test_a_flood_of_changes_is_no_flood_of_lists() -> None:
    changes = 200
    async with open_stage() as stage, trio.open_nursery() as nursery:
        session = await stage.start("cat")
        seen: list[str] = []

        @nursery.start_soon
        async def watch() -> None:
            async with stage.client.watch_sessions() as lists:
                async for now in lists:
                    seen.append(now.sessions[0].name)
                    if seen[-1] == f"n{changes - 1}":  # the newest is never missed
                        return

        for number in range(changes):
            await trio.testing.wait_all_tasks_blocked()
            stage.sessions.rename(session.id, f"n{number}")
    assert len(seen) < changes / 2


async def test_a_program_that_cannot_start_leaves_no_session() -> None:
    async with open_stage() as stage:
        with pytest.raises(BadRequest, match="not to be found"):
            await stage.start("no-such-program")
        assert names(stage) == []


async def test_a_machine_without_terminals_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(28, "No space left on device")

    async with open_stage() as stage:
        monkeypatch.setattr("os.openpty", none_left)
        with pytest.raises(Busy, match="no terminal is to be had: No space left on device"):
            await stage.start("cat")
        assert names(stage) == []
        monkeypatch.undo()
        assert (await stage.start("cat")).alive


async def test_there_is_a_most_of_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_ALIVE", 2)
    async with open_stage() as stage:
        results: list[str] = []

        async def start() -> None:
            try:
                results.append((await stage.start("cat")).name)
            except Busy:
                results.append("busy")

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(start)
        assert sorted(results) == ["busy", "busy", "cat", "cat-2"]
        await stage.client.end_session("cat")
        assert (await stage.start("cat", name="room again")).alive


async def test_fifty_ended_sessions_are_kept() -> None:
    async with open_stage() as stage:
        for number in range(MAX_ENDED + 3):
            await ended(stage, name=f"n{number}")
        kept = names(stage)
        assert len(kept) == MAX_ENDED
        assert kept[0] == "n3"


async def test_a_session_that_has_just_ended_is_not_the_one_that_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "MAX_ENDED", 3)
    async with open_stage() as stage:
        old = await stage.start("cat", name="old")  # started first, ends last
        for number in range(3):
            await ended(stage, name=f"n{number}")
        async with stage.attach(old) as seat:
            await stage.client.end_session("old")
            assert isinstance(await seat.until_ended(), Ended)
        assert stage.info(old).alive is False
        assert "n0" not in names(stage)


async def test_a_viewer_that_lags_behind_a_removed_session_is_told_that_it_is_gone() -> None:
    async with open_stage() as stage:
        session = await stage.shell("seq 1 1000000")
        async with stage.attach(session) as quick, stage.attach(session) as slow:
            await quick.go()
            await quick.until_ended()
            await stage.client.ask(RemoveSession(session=session.id))
            with pytest.raises(Gone, match="the session was removed"):
                await slow.until_ended()


async def test_a_viewer_that_leaves_a_removed_session_breaks_nothing() -> None:
    async with open_stage() as stage:
        session = await stage.shell("seq 1 1000000")
        async with stage.attach(session, cols=90, rows=30) as slow:
            async with stage.attach(session, cols=70, rows=20) as quick:
                await quick.go()
                await quick.until_ended()
                await stage.client.ask(RemoveSession(session=session.id))
            with pytest.raises(Gone, match="the session was removed"):
                await slow.until_ended()


async def test_a_host_does_not_know_what_is_the_nodes() -> None:
    async with open_stage() as stage:
        with pytest.raises(BadRequest, match=r"version \S+ and does not know 'node.status'"):
            await stage.client.ask(NodeStatus())
        with pytest.raises(BadRequest, match="argv"):
            await stage.client.ask(StartSession(argv=[]))


async def test_a_command_of_a_megabyte_still_fits_a_list() -> None:
    async with open_stage() as stage:
        long = ["sh", "-c", "exec sleep 1000", "x" * 100_000, "y"]
        info = await stage.client.ask(StartSession(argv=long))
        assert info.argv[1:3] == ["-c", "exec sleep 1000"]
        assert info.argv[-1].endswith("…")
        assert sum(map(len, info.argv)) <= 256
