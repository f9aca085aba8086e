"""One conversation of two agents on two machines, played from a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from tests.mcp.agents_world import PATIENCE, Agent, open_agent, open_two_machines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BUILD: Final = """\
printf 'which flavour? '; read flavour
echo "compiling $flavour"; sleep 0.3
mkdir -p out; seq 1 100000 > out/app-$flavour
echo "BUILD SUCCEEDED in 0.3 s"
"""


async def lead(agent: Agent, here: Path) -> None:
    """Build on the other machine, fetch the result, have it tested there, and hear of it."""
    assert [peer["name"] for peer in (await agent.data("list_peers"))["peers"]] == ["kai"]

    # A build that asks something runs as a session.
    build = {"session": "build", "peer": "kai"}
    started = await agent.data(
        "session_start", command=BUILD, name="build", peer="kai", cwd="~/there"
    )
    asked = await agent.data(
        "session_wait", **build, pattern=r"flavour\? ", after=started["cursor"]
    )
    await agent.data("session_write", **build, keys="debug<Enter>")
    built = await agent.data(
        "session_wait", **build, pattern="BUILD (SUCCEEDED|FAILED)", after=asked["cursor"]
    )
    assert built["groups"] == ["SUCCEEDED"]
    assert (await agent.data("session_wait", **build, after=built["cursor"]))["exit_code"] == 0
    await agent.data("session_remove", **build)

    # The artefact comes here, whole.
    pulled = await agent.data(
        "transfer_file",
        peer="kai",
        direction="pull",
        paths=["there/out/app-debug"],
        dest=str(here / "app"),
    )
    assert pulled["files"] == 1
    ours = await agent.data("execute", command=f"wc -l < {here / 'app'}")
    assert ours["stdout"].strip() == "100000"

    # The agent there is told, and says that it has read it.
    told = await agent.data("send_message", to="kai", body="built: out/app-debug", type="request")
    assert (await agent.data("check_ack", id=told["id"], wait=30))["state"] == "read"
    (answer,) = (await agent.data("check_inbox", wait=30, reply_to=told["id"]))["messages"]
    assert answer["body"] == "ready to test"
    await agent.data("ack_message", id=answer["id"])

    # It gets work, and its result comes back.
    tested = await agent.data(
        "task_add", body="test out/app-debug", kind="test", peer="kai", wait=30
    )
    assert (tested["state"], tested["result"]) == ("done", "ok: 100000 lines")
    found = await agent.data("context_get", key="tested:app-debug", peer="kai")
    assert found["value"] == "ok"


async def help_out(agent: Agent) -> None:
    """Wait for word, answer it, then take the work and do it."""
    (request,) = (await agent.data("check_inbox", wait=30))["messages"]
    assert request["type"] == "request"
    await agent.data(
        "send_message",
        to=request["from"],
        body="ready to test",
        type="response",
        reply_to=request["id"],
    )
    await agent.data("ack_message", id=request["id"])
    task = (await agent.data("task_claim", kind="test", wait=30))["task"]
    lines = await agent.data("execute", command="wc -l < there/out/app-debug")
    await agent.data("context_set", key="tested:app-debug", value="ok")
    result = f"ok: {lines['stdout'].strip()} lines"
    await agent.data("task_complete", id=task["id"], result=result)


async def test_an_agent_builds_fetches_tells_and_hands_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with trio.fail_after(PATIENCE):
        async with (
            open_two_machines(tmp_path) as (desk, kai),
            open_agent(desk.home) as leader,
            open_agent(kai.home) as helper,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(help_out, helper)
            await lead(leader, here)
