"""Agents run commands on other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from loopsy_core.wire import GrantPeer
from tests.mcp.agents_world import (
    PATIENCE,
    open_agent,
    open_two_machines,
    text_of,
    wait_jobs,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_command_runs_on_another_machine(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            (tmp_path / "there").mkdir()
            ran = await agent.call(
                "execute",
                command='cat; echo "$A $PWD"; echo no >&2; exit 3',
                peer="kai",
                cwd=str(tmp_path / "there"),
                env={"A": "b"},
                stdin="in\n",
            )
            assert not ran.is_error
            data = ran.structured_content
            assert data is not None
            assert data["stdout"] == f"in\nb {tmp_path / 'there'}\n"
            assert data["stderr"] == "no\n"
            assert (data["exit_code"], data["machine"], data["running"]) == (3, "kai", False)
            assert "exit code 3" in text_of(ran)
            exact = await agent.data("execute", command=["echo", "$HOME", "a b"])
            assert exact["stdout"] == "$HOME a b\n"


async def test_a_long_command_is_waited_for_in_several_calls(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            gate = tmp_path / "gate"
            waiting = f"echo one; while ! test -e {gate}; do sleep 0.05; done; echo two"
            first = await agent.data("execute", command=waiting, peer="kai", timeout=1)
            assert (first["running"], first["stdout"], first["exit_code"]) == (True, "one\n", None)
            gate.touch()
            rest = await agent.data("execute", job=first["job"], timeout=30)
            assert (rest["running"], rest["stdout"], rest["exit_code"]) == (False, "two\n", 0)


async def test_a_job_can_be_ended_and_others_are_not(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai), open_agent(desk.home) as agent:
            one = await agent.data("execute", command="sleep 1000", peer="kai", timeout=0)
            two = await agent.data("execute", command="sleep 1001", peer="kai", timeout=0)
            ended = await agent.data("execute", job=one["job"], cancel=True)
            assert (ended["running"], ended["error"]) == (False, "cancelled")
            assert (await agent.data("execute", job=two["job"], timeout=0))["running"]
            await wait_jobs(kai, lambda running: len(running) == 1)


async def test_cancelling_the_call_ends_the_command(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai), open_agent(desk.home) as agent:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: agent.call("execute", command="sleep 999", peer="kai"))
                await wait_jobs(kai, bool)
                nursery.cancel_scope.cancel()
            await wait_jobs(kai, lambda running: not running)
            assert (await agent.data("execute", command="echo alive"))["stdout"] == "alive\n"


async def test_an_agent_that_leaves_takes_its_commands_along(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai):
            async with open_agent(desk.home) as agent:
                await agent.data("execute", command="sleep 998", peer="kai", timeout=0)
            await wait_jobs(kai, lambda running: not running)


async def test_whoever_waits_hears_how_far_it_is(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await agent.data("execute", command="sleep 1000", peer="kai", timeout=3)
            assert agent.progress == ["sleep 1000 on kai, 2 s"]


async def test_fifty_megabytes_of_output_are_cut_and_can_be_read_on(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            flood = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last"
            ran = await agent.call("execute", command=flood, peer="kai", max_chars=2000)
            assert len(text_of(ran)) < 2300
            data = ran.structured_content
            assert data is not None
            assert data["stdout"].startswith("first\nxxx")
            assert data["stdout"].endswith("xxx\nlast\n")
            left_out = data["stdout_left_out"]
            assert left_out["bytes"] == 50_000_012 - 2000
            page = await agent.data(
                "execute", job=data["job"], offset=left_out["offset"], max_chars=500
            )
            assert page["stdout"] == "x" * 500
            assert page["offset"] == left_out["offset"] + 500
            end = await agent.data("execute", job=data["job"], offset=50_000_000, max_chars=500)
            assert str(end["stdout"]).endswith("xxxxx\nlast\n")


async def test_a_job_survives_the_loss_of_the_connection(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai), open_agent(desk.home) as agent:
            gate = tmp_path / "gate"
            waiting = f"echo one; while ! test -e {gate}; do sleep 0.05; done; echo two"
            job = (await agent.data("execute", command=waiting, peer="kai", timeout=1))["job"]
            # Whoever has other grants than before is cut off, and calls again.
            await kai.client.ask(GrantPeer(peer="desk", add=["view"]))
            gate.touch()
            rest = await agent.data("execute", job=job, timeout=30)
            assert (rest["stdout"], rest["exit_code"]) == ("two\n", 0)
