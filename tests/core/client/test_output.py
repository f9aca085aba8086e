"""Reading what a session writes, from a position that anybody may have kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import BEGINNING, Client, open_client
from loopsy_core.errors import BadRequest, NoDaemon
from tests.core.node.machines_world import home_of, open_machine
from tests.core.sessions.stage import open_stage

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import SessionOutput
    from loopsy_core.wire import SessionInfo

COUNT = (
    "stty -echo; printf 'ready;'; i=0;"
    " while read line; do i=$((i+1)); printf '%s:%s;' $i $line; done"
)


async def started(client: Client, command: str) -> SessionInfo:
    return await client.start(["sh", "-c", command])


async def until(output: SessionOutput, end: bytes) -> bytes:
    """Receive until what came ends so."""
    data = b""
    while not data.endswith(end):
        piece = await output.receive()
        assert piece, data
        data += piece
    return data


async def test_a_reader_goes_on_where_another_has_stopped() -> None:
    async with open_stage() as stage, stage.client.start_session(["sh", "-c", COUNT]) as typing:
        (info,) = await stage.client.sessions()
        await typing.expect_exact("ready;")
        await typing.send_line("one")
        async with stage.client.output(info, after=BEGINNING) as output:
            assert await until(output, b"one;") == b"ready;1:one;"
            position = output.position
            assert output.position_before(4).endswith(":8")
        await typing.send_line("two")
        await typing.expect_exact("2:two;")
        async with stage.client.output(info) as output:
            assert output.caught_up
            await typing.send_line("three")
            assert await until(output, b";") == b"3:three;"
        async with stage.client.output(info, after=position) as output:
            assert not output.caught_up
            assert await until(output, b"three;") == b"2:two;3:three;"
            assert output.caught_up
            assert (output.missed, output.lost) == (0, False)


async def test_a_reader_sees_the_end_and_what_came_before_it() -> None:
    async with open_stage() as stage:
        info = await started(stage.client, "printf done; exit 3")
        async with stage.client.output(info, after=BEGINNING) as output:
            assert await until(output, b"done") == b"done"
            assert await output.receive() == b""
            assert await output.receive() == b""
            assert output.ended is not None
            assert output.ended.exit_code == 3


async def test_a_reader_leaves_the_terminal_to_those_who_look() -> None:
    async with open_stage() as stage:
        info = await stage.client.start(["sh", "-c", "read x"], cols=70, rows=20)
        async with stage.client.output(info):
            (now,) = await stage.client.sessions()
            assert (now.cols, now.rows) == (70, 20)


async def test_what_is_not_kept_any_more_is_counted() -> None:
    async with open_stage() as stage:
        flood = "head -c 9000000 /dev/zero | tr '\\0' x; printf end; read x"
        info = await started(stage.client, flood)
        async with stage.client.output(info, after=BEGINNING) as output:
            data = await until(output, b"end")
            assert len(data) + output.missed == 9_000_003
        async with stage.client.output(info, after="0123456789abcdef:7") as output:
            assert output.lost
            assert output.caught_up


@pytest.mark.parametrize("position", ["", "x", ":5", "a:", "a:-1", "a:b", "a:" + "9" * 30])
async def test_what_is_no_position_is_refused(position: str) -> None:
    async with open_stage() as stage:
        info = await started(stage.client, "read x")
        with pytest.raises(BadRequest, match="no position"):
            async with stage.client.output(info, after=position):
                pass


async def test_a_client_that_connects_later_waits_for_its_first_call(tmp_path: Path) -> None:
    with trio.fail_after(30):
        home = home_of(tmp_path, "desk")
        async with open_client(home, later=True) as client:
            with pytest.raises(NoDaemon):
                await client.status()
            async with open_machine(tmp_path, "desk"):
                assert (await client.status()).name == "desk"
