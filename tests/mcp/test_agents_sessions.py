"""Agents start programs on terminals, read them, type, and wait for what they say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

import trio

from tests.mcp.agents_world import PATIENCE, open_agent, open_two_machines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ASKS: Final = 'printf "name? "; read n; echo "hello $n"; printf "sure? "; read s; exit 7'


async def test_an_agent_answers_what_a_program_asks(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            started = await agent.data(
                "session_start", command=ASKS, name="ask", peer="kai", cols=60, rows=5
            )
            there = {"session": "ask", "peer": "kai"}
            asked = await agent.data(
                "session_wait", **there, pattern=r"name\? $", after=started["cursor"]
            )
            assert (asked["why"], asked["match"]) == ("matched", "name? ")
            typed = await agent.data("session_write", **there, text="<b>", keys=" you<Enter>")
            greeted = await agent.data(
                "session_wait", **there, pattern=r"^hello (.*)$", after=typed["cursor"]
            )
            assert greeted["groups"] == ["<b> you"]
            # The next question may have come in the same piece: the cursor is before it.
            await agent.data("session_wait", **there, pattern="sure", after=greeted["cursor"])
            screen = await agent.data("session_read", **there)
            assert screen["text"] == "name? <b> you\nhello <b> you\nsure?"
            assert (screen["cursor_row"], screen["cursor_col"]) == (2, 6)
            await agent.data("session_write", **there, keys="<Enter>")
            ended = await agent.data("session_wait", **there, after=greeted["cursor"])
            assert (ended["why"], ended["exit_code"], ended["alive"]) == ("ended", 7, False)
            everything = await agent.data("session_read", **there, after="0")
            assert everything["text"] == "name? <b> you\nhello <b> you\nsure? \n"
            assert not everything["more"]


async def test_an_agent_is_started_by_its_name_and_named_keys_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nprintf \'<%s>\' "$@"; echo; read line; echo "you said $line"\n'
        "exec sleep 1000\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            status = await agent.data("peer_status", peer="kai")
            assert "claude" in cast("list[str]", status["agents"])
            there = {"session": "c", "peer": "kai"}
            new = {"agent": "claude", "args": ["fix it"], "name": "c"}
            refused = await agent.complaint("session_start", **new, peer="kai", auto_approve=True)
            assert "may not have agents approve" in refused
            here = await agent.data("session_start", **new, auto_approve=True)
            argv = cast("list[str]", here["argv"])
            assert argv[1:] == ["--dangerously-skip-permissions", "fix it"]
            started = await agent.data("session_start", **new, peer="kai")
            assert (started["kind"], started["machine"]) == ("claude", "kai")
            shown = await agent.data("session_wait", **there, pattern="^<fix it>$", after="0")
            assert shown["why"] == "matched"
            typed = await agent.data("session_write", **there, keys="hi<Enter>", wait=0)
            after = typed["cursor"]
            said = await agent.data("session_wait", **there, pattern="^you said hi$", after=after)
            assert said["why"] == "matched"
            await agent.data("session_write", **there, keys="<C-c>", wait=0)
            ended = await agent.data("session_wait", **there, after=after)
            assert (ended["why"], ended["exit_code"]) == ("ended", -2)


async def test_a_wait_ends_when_it_is_quiet_or_the_time_is_over(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await agent.data("session_start", command="echo up; exec sleep 1000", name="s")
            quiet = await agent.data("session_wait", session="s", quiet=0.2, after="0")
            assert quiet["why"] == "quiet"
            late = await agent.data("session_wait", session="s", pattern="never", timeout=0.2)
            assert (late["why"], late["alive"]) == ("timeout", True)


async def test_sessions_are_listed_stopped_and_removed(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            there = {"session": "long", "peer": "kai"}
            await agent.data("session_start", command=["sleep", "1000"], name="long", peer="kai")
            listed = await agent.data("session_list", peer="kai")
            assert [info["session"] for info in listed["sessions"]] == ["long"]
            assert "still runs" in await agent.complaint("session_remove", **there)
            stopped = await agent.data("session_stop", **there)
            assert (stopped["alive"], stopped["exit_code"]) == (False, -1)
            assert "nobody reads" in await agent.complaint("session_write", **there, text="x")
            await agent.data("session_remove", **there)
            assert "there are: none" in await agent.complaint("session_read", **there)


async def test_a_flood_is_read_to_its_end_and_searched_on_the_way(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            flood = "sleep 0.5; seq 1 200000; echo needle; seq 1 100; exec sleep 1000"
            await agent.data("session_start", command=flood, name="f", peer="kai")
            found = await agent.data(
                "session_wait", session="f", peer="kai", pattern="^needle$", after="0"
            )
            assert found["why"] == "matched"
            rest = await agent.data(
                "session_wait", session="f", peer="kai", pattern="^100$", after=found["cursor"]
            )
            assert rest["text"] == "\n".join(map(str, range(1, 101)))
            cursor, read, more = "0", "", True
            while more:
                page = await agent.data("session_read", session="f", peer="kai", after=cursor)
                read, cursor, more = read + page["text"], page["cursor"], page["more"]
                assert len(page["text"]) <= 16_000
            numbers = [*range(1, 200_001), "needle", *range(1, 101)]
            assert read == "".join(f"{number}\n" for number in numbers)
            long = await agent.data("session_read", session="f", peer="kai", history=5000)
            assert "characters left out" in long["text"]
            assert len(str(long["text"])) < 16_200


async def test_output_that_is_not_kept_any_more_is_told_of(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            flood = "head -c 9000000 /dev/zero | tr '\\0' x; echo; echo end; exec sleep 1000"
            await agent.data("session_start", command=flood, name="f")
            await agent.data("session_wait", session="f", pattern="^end$", after="0")
            old = await agent.data("session_read", session="f", after="0")
            assert "not kept" in str(old["text"])
            assert old["more"]
            foreign = await agent.data("session_read", session="f", after="0123456789abcdef:5")
            assert "not kept" in str(foreign["text"])


async def test_two_agents_on_one_session_both_type_and_both_see(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_two_machines(tmp_path) as (desk, kai),
            open_agent(desk.home) as far,
            open_agent(kai.home) as near,
        ):
            await near.data("session_start", command="cat", name="c")
            async with trio.open_nursery() as nursery:
                for agent, peer, word in ((far, "kai", "far"), (near, None, "near")):
                    for number in range(5):
                        nursery.start_soon(
                            lambda agent=agent, peer=peer, word=word, number=number: agent.data(
                                "session_write",
                                session="c",
                                peer=peer,
                                keys=f"{word} {number}<Enter>",
                                wait=0,
                            )
                        )
            await near.data("session_stop", session="c")
            seen = await near.data("session_read", session="c", after="0")
            lines = str(seen["text"]).split("\n")
            for word in ("far", "near"):
                assert {line for line in lines if line.startswith(word)} == {
                    f"{word} {number}" for number in range(5)
                }
