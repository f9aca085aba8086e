"""A relay's beginning and end."""

from __future__ import annotations

import logging
import socket
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

import loopsy_relay
from loopsy_core.errors import Busy, Misconfigured
from loopsy_relay import RelayConfig, serve_relay
from tests.relay.relay_world import PATIENCE, Relay, close_of, hear, open_relay, serve_starting

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shelf_holds_these_names() -> None:
    assert dir(loopsy_relay) == ["RelayAddress", "RelayConfig", "serve_relay"]
    assert all(getattr(loopsy_relay, name) for name in loopsy_relay.__all__)
    with pytest.raises(AttributeError):
        _ = loopsy_relay.nothing


def test_importing_the_shelf_loads_nothing() -> None:
    code = "import sys, loopsy_relay; print(*(m for m in sys.modules if m in {'trio', 'quart'}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == ""


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with trio.fail_after(PATIENCE), pytest.raises(Busy, match=str(port)):
            await serve_relay(RelayConfig(database=tmp_path / "db", port=port))


async def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    for host in ("192.0.2.1", "no such host"):
        config = RelayConfig(database=tmp_path / "db", port=0, host=host)
        with trio.fail_after(PATIENCE), pytest.raises(Misconfigured, match=host):
            await serve_relay(config)


async def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("hello" * 1000)
    with trio.fail_after(PATIENCE), pytest.raises(Misconfigured, match="db"):
        await serve_relay(RelayConfig(database=tmp_path / "db", port=0))


async def test_the_address_is_told_once_it_accepts(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        assert relay.address.port > 0
        assert relay.address.url == f"http://127.0.0.1:{relay.address.port}"
        assert (await relay.ask("GET", "/health")).status == 200
    async with open_relay(tmp_path, host="0.0.0.0", public_url="https://r.example/") as relay:
        assert relay.address.url == "https://r.example"
    async with open_relay(tmp_path, host="0.0.0.0") as relay:
        assert relay.address.url == f"http://127.0.0.1:{relay.address.port}"


async def test_stopping_tells_everybody_and_takes_little_time(tmp_path: Path) -> None:
    codes: list[int] = []
    config = RelayConfig(database=tmp_path / "db", port=0)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as clients, trio.open_nursery() as server:
            relay = Relay(await server.start(serve_starting, config))
            secret = await relay.register()
            _, bearer = await relay.pair(secret)
            connected = [trio.Event(), trio.Event()]

            async def be_node() -> None:
                async with relay.open_node(secret) as node:
                    connected[0].set()
                    await hear(node)
                    connected[1].set()
                    codes.append((await close_of(node))[0])

            async def be_phone() -> None:
                await connected[0].wait()
                async with relay.open_phone(bearer) as phone:
                    codes.append((await close_of(phone))[0])

            clients.start_soon(be_node)
            clients.start_soon(be_phone)
            idle = await trio.open_tcp_stream(relay.address.host, relay.address.port)
            await connected[1].wait()
            began = trio.current_time()
            server.cancel_scope.cancel()
    assert trio.current_time() - began < 2
    assert codes == [1001, 1001]
    await idle.aclose()
    with sqlite3.connect(tmp_path / "db") as db:
        assert db.execute("SELECT count(*) FROM phones").fetchone() == (1,)
    db.close()
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream(relay.address.host, relay.address.port)


async def test_somebody_who_does_not_read_cannot_hold_up_the_end(tmp_path: Path) -> None:
    from tests.relay.test_relay_sockets import connect_raw

    config = RelayConfig(database=tmp_path / "db", port=0)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as server:
            relay = Relay(await server.start(serve_starting, config))
            secret = await relay.register()
            _, bearer = await relay.pair(secret)
            async with relay.open_node(secret) as node:
                raw = await trio.to_thread.run_sync(connect_raw, relay, bearer, 4096)
                await hear(node)
                began = trio.current_time()
                server.cancel_scope.cancel()
    assert trio.current_time() - began < 3
    raw.close()


async def test_a_relay_can_start_again_at_once(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        port = relay.address.port
    async with open_relay(tmp_path, port=port) as relay, relay.open_node(secret) as node:
        await node.ping()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"port": -1}, "port"),
        ({"port": 65536}, "port"),
        ({"registration_secret": ""}, "registration secret"),
        ({"registration_secret": "ä"}, "registration secret"),
        ({"registration_secret": "a\nb"}, "registration secret"),
        ({"public_url": "relay.example"}, "public URL"),
        ({"public_url": "ftp://relay.example"}, "public URL"),
        ({"public_url": "https://"}, "public URL"),
        ({"public_url": "https://relay.example/path"}, "public URL"),
        ({"public_url": "https://me@relay.example"}, "public URL"),
        ({"public_url": "https://relay.example:99999"}, "public URL"),
        ({"public_url": "https://[::1"}, "public URL"),
    ],
)
def test_settings_that_cannot_be_are_named(
    tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    with pytest.raises(Misconfigured, match=named):
        RelayConfig(database=tmp_path / "db", **settings)  # type: ignore[arg-type]


def test_the_registration_secret_is_not_shown(tmp_path: Path) -> None:
    assert "sesame" not in repr(RelayConfig(database=tmp_path, registration_secret="sesame"))


async def test_starting_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_relay(tmp_path):
        pass
    assert [record.levelno for record in caplog.records] == [logging.INFO]
