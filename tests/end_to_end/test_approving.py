"""Phones that really wait, and their machine's user, who answers at a real terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from loopsy_core.errors import Refused
from loopsy_core.wire import StartSession
from tests.cli.command_line import CommandLine
from tests.machine import Phone, running_relay, take_offer

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from loopsy_core.client import Client
    from tests.cli.command_line import Screen

PATIENCE = 60.0
ASK = StartSession(kind="claude", auto_approve=True)


@pytest.fixture
def loopsy(tmp_path: Path) -> Generator[CommandLine]:
    """A command line with a fake agent on its PATH."""
    command_line = CommandLine(tmp_path)
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    path = command_line.environment["PATH"]
    command_line.environment["PATH"] = f"{program.parent}:{path}"
    yield command_line
    command_line.close()


class Desk:
    """The command line, for a test that has phones to listen to meanwhile."""

    def __init__(self, loopsy: CommandLine) -> None:
        self._loopsy = loopsy

    async def pair(self) -> Phone:
        offer = await trio.to_thread.run_sync(self._loopsy.json, "mobile", "pair")
        assert isinstance(offer, dict)
        return await take_offer(offer["pair_url"], offer["code"])

    async def say(self, *words: str) -> str:
        return await trio.to_thread.run_sync(self._loopsy.say, *words)

    async def waiting(self, number: int) -> list[dict[str, object]]:
        while True:
            listed = await trio.to_thread.run_sync(self._loopsy.json, "approve")
            requests = cast("list[dict[str, object]]", listed)
            if len(requests) == number:
                return requests

    async def answer(self, *typed: bytes) -> Screen:
        """Type an answer at each question of `loopsy approve`, and wait for its end."""

        def answer() -> Screen:
            screen = self._loopsy.on_terminal("approve")
            for keys in typed:
                screen.expect(rb"\[y/N\]")
                screen.type(keys)
            assert screen.exit_code() == 0
            return screen

        return await trio.to_thread.run_sync(answer)


async def is_allowed(client: Client) -> None:
    session = await client.ask(ASK)
    assert session.auto_approve
    assert session.argv[1:] == ["--dangerously-skip-permissions"]


async def is_refused(client: Client) -> None:
    with pytest.raises(Refused, match="has said no"):
        await client.ask(ASK)


async def test_a_phone_that_waits_gets_what_its_user_types_and_it_is_taken_back(
    loopsy: CommandLine, tmp_path: Path
) -> None:
    desk = Desk(loopsy)
    with trio.fail_after(PATIENCE), running_relay(tmp_path) as (relay, _):
        await desk.say("start")
        await desk.say("relay", "configure", relay)
        phone = await desk.pair()
        async with phone.connected() as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(is_allowed, client)
                [request] = await desk.waiting(1)
                screen = await desk.answer(b"\x04")  # the end of the input is no answer
                assert str(request["id"]).encode() in screen.output
                assert str(request["contact"])[:8].encode() in screen.output
                assert await desk.waiting(1) == [request]
                screen = await desk.answer(b"y\r")
                assert b"may start agents that approve by themselves" in screen.output
            [_, row] = (await desk.say("phone", "list")).splitlines()
            assert row.split()[5] == "yes"
            await is_allowed(client)

            denied = await desk.say("approve", "--deny", str(request["contact"])[:8])
            assert "may not" in denied
            [_, row] = (await desk.say("phone", "list")).splitlines()
            assert row.split()[5] == "asks"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(is_refused, client)
                await desk.waiting(1)
                screen = await desk.answer(b"n\r")
                assert b"may not" in screen.output


async def test_what_was_typed_before_a_question_was_seen_is_no_answer_to_it(
    loopsy: CommandLine, tmp_path: Path
) -> None:
    desk = Desk(loopsy)
    with trio.fail_after(PATIENCE), running_relay(tmp_path) as (relay, _):
        await desk.say("start")
        await desk.say("relay", "configure", relay)
        first, second = await desk.pair(), await desk.pair()
        async with (
            first.connected() as one,
            second.connected() as other,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(is_allowed, one)
            await desk.waiting(1)
            nursery.start_soon(is_refused, other)
            await desk.waiting(2)
            await desk.answer(b"y\ry\r", b"n\r")
