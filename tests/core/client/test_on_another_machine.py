"""A script's session on another machine, whose node goes away and comes back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import open_client
from loopsy_core.kit import one_error
from loopsy_core.node import open_node
from loopsy_core.sessions.host import serve_host
from tests.core.node.machines_world import Machine, away, home_of, open_machine, pair, reached
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.home import Home


@asynccontextmanager
async def node_of(home: Home) -> AsyncGenerator[Machine]:
    """Run the node of a home whose session host runs already."""
    with one_error():
        async with open_node(home, lan=True) as node, open_client(home) as client:
            yield Machine(home, node, client)


SCRIPT: Final = "stty -echo; printf '#'; read a; echo got $a; read b; echo got $b; exit 3"


async def talk(mac: Machine, said_one: trio.Event, away: trio.Event) -> int | None:
    """Talk to a program on kai, and go on while nobody is there."""
    kai = mac.client.peer("kai")
    async with kai.start_session(["sh", "-c", SCRIPT]) as session:
        await session.expect_exact("#")
        await session.send_line("one")
        await session.expect_exact("got one\r\n")
        said_one.set()
        await away.wait()
        await session.send_line("two")
        await session.expect_exact("got two\r\n", timeout=PATIENCE)
        assert session.before == ""
        return await session.wait_ended()


async def test_a_session_on_another_machine_outlives_the_node_there(tmp_path: Path) -> None:
    home = home_of(tmp_path, "kai")
    said_one, gone = trio.Event(), trio.Event()
    with trio.fail_after(PATIENCE):
        async with (
            trio.open_nursery() as nursery,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await nursery.start(serve_host, home)
            async with trio.open_nursery() as talking:

                async def check_talk() -> None:
                    assert await talk(mac, said_one, gone) == 3
                    talking.cancel_scope.cancel()

                async with node_of(home) as kai:
                    await pair(kai, mac)
                    await mac.peer(reached)
                    port = kai.node.port
                    talking.start_soon(check_talk)
                    await said_one.wait()
                fix_port(home, port)
                await mac.peer(away)
                gone.set()
                async with node_of(home):
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()


def fix_port(home: Home, port: int | None) -> None:
    """Have the node of `home` listen where it listened before."""
    assert port is not None
    config = home.config.read_text(encoding="utf-8")
    home.config.write_text(config.replace("port: 0", f"port: {port - 1}"), encoding="utf-8")
