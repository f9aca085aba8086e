"""A node in its home, reached through its socket: calls, events, floods, garbage, stopping."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.client import open_client
from loopsy_core.errors import BadRequest, Busy, Gone, LoopsyError, Misconfigured, NoDaemon
from loopsy_core.links import connect_local
from loopsy_core.node import open_node
from loopsy_core.wire import (
    ALL_GRANTS,
    ConfigureRelay,
    EndSession,
    Hello,
    ListPhones,
    OfferPairing,
    PhoneConnected,
    PhonePaired,
    RelayChanged,
    RelayStatus,
    ShowRelay,
    StopNode,
    UnsetRelay,
    WrongCode,
)
from tests.core.node.phones_world import word
from tests.world import PATIENCE, MemoryRelay, Phone, holder_of, open_phone, wrong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import NoReturn

    from loopsy_core.home import Home
    from loopsy_core.wire import Event

NOBODY = "http://127.0.0.1:1"
"""A relay that is not there."""


async def test_a_node_says_who_and_how_it_is(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home) as node, open_client(home) as client:
            hello = await client.ask(Hello())
            status = await client.status()

    assert hello.node_id == status.node_id == node.identity.id
    assert hello.contact == "local"
    assert hello.grants == sorted(ALL_GRANTS)
    assert (status.sessions, status.phones) == (0, 0)
    assert status.relay == RelayStatus(None, connected=False)
    assert 0 <= status.uptime < PATIENCE


async def test_whoever_watches_sees_a_phone_try_pair_and_come(home: Home) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_node(home) as node, open_client(home) as client:
            node.relaying = MemoryRelay().account()  # type: ignore[assignment]
            async with client.watch_events() as events:
                await client.ask(Hello())  # answered later than the watch began
                offer = await client.ask(OfferPairing())
                bad = phone.with_code(offer.pair_url, wrong(offer.code)).first_message
                await word(node.serve_phone, bad)
                greeting = phone.with_code(offer.pair_url, offer.code)
                async with open_phone(node.serve_phone, greeting):
                    seen = [await next_about_phones(events) for _ in range(3)]
                    (info,) = (await client.ask(ListPhones())).phones

    assert seen == [
        WrongCode(2),
        PhonePaired(phone.id, "pixel"),
        PhoneConnected(phone.id, "pixel"),
    ]
    assert (info.id, info.connected) == (phone.id, True)


async def next_about_phones(events: AsyncIterator[Event]) -> Event:
    while isinstance(event := await anext(events), RelayChanged):
        pass
    return event


async def test_two_hundred_calls_at_once_are_all_answered(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home) as node, open_client(home) as client:
            answers: list[str] = []

            async def ask() -> None:
                answers.append((await client.ask(Hello())).node_id)

            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(ask)
            assert answers == [node.identity.id] * 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x01\x90",
        b"\x00\x10\x00\x00" + b"\xdd" * 4096,
        b"\x00",
        b"",
    ],
)
async def test_garbage_on_the_socket_costs_nobody_else_anything(home: Home, garbage: bytes) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as before:
            stream = await trio.open_unix_socket(str(home.node_socket))
            async with stream:
                await send_all_that_is_taken(stream, garbage)
            async with open_client(home) as after:
                assert await after.status()
            assert await before.status()


async def send_all_that_is_taken(stream: trio.SocketStream, data: bytes) -> None:
    try:
        if data:
            await stream.send_all(data)
        await stream.send_eof()
        while await stream.receive_some(1000):
            pass
    except trio.BrokenResourceError:
        pass


async def test_stop_is_answered_before_the_node_goes(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_until_stopped, home)
            async with open_client(home) as client:
                assert (await client.ask(StopNode())).sessions == 0
        with pytest.raises(NoDaemon):
            await connect(home)
        assert not home.node_socket.exists()
        async with open_node(home), open_client(home) as client:
            assert await client.status(), "the next one can start at once"


async def run_until_stopped(home: Home, task_status: trio.TaskStatus[None]) -> None:
    async with open_node(home) as node:
        task_status.started()
        await node.wait_stopped()


async def test_stop_does_not_wait_for_ever_for_whoever_asked(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home) as node, open_client(home) as client:
            await client.ask(StopNode())
            with trio.fail_after(5):
                await node.wait_stopped()


async def test_where_no_node_runs_the_client_says_how_to_start_one(home: Home) -> None:
    with pytest.raises(NoDaemon, match="loopsy start"):
        await connect(home)


async def connect(home: Home) -> None:
    async with open_client(home) as client:
        await client.status()


async def test_a_second_node_in_the_same_home_is_busy_and_the_first_goes_on(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client:
            with pytest.raises(Busy, match=str(os.getpid())):
                await run(home)
            assert await client.status()
            async with open_client(home) as another:
                assert await another.status()


async def run(home: Home) -> NoReturn:
    """Run the node of `home`, which is not expected to come up."""
    async with open_node(home):
        pytest.fail("the node came up")
    raise AssertionError("unreachable")


async def test_a_setting_that_is_wrong_is_named_with_its_line(home: Home) -> None:
    write(home.config, b"server:\n  name: kai\nrelay:\n  uurl: https://relay.test\n")
    with pytest.raises(Misconfigured) as said:
        await run(home)
    assert f"{home.config} line 4" in str(said.value)
    assert "relay.uurl" in str(said.value)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
async def test_a_home_that_others_can_enter_is_not_used(home: Home, mode: int) -> None:
    home.root.chmod(mode)
    with pytest.raises(Misconfigured, match=f"chmod 700 {home.root}"):
        await run(home)
    assert not home.database.exists()


async def test_a_key_that_others_can_read_is_not_used(home: Home) -> None:
    home.identity.chmod(0o644)
    with pytest.raises(Misconfigured, match=f"chmod 600 {home.identity}"):
        await run(home)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"url": 5}', b'{"url": "http://x"}', b"\xff\xfe\x00", b"null"]
)
async def test_a_broken_account_at_the_relay_is_named_and_left_alone(
    home: Home, content: bytes
) -> None:
    write(home.relay_credential, content)
    with trio.fail_after(PATIENCE), pytest.raises(Misconfigured, match=r"relay\.json"):
        await run(home)
    assert home.relay_credential.read_bytes() == content


async def test_a_broken_database_is_named_and_left_alone(home: Home) -> None:
    content = b"this is no database, but somebody's shopping list " * 100
    write(home.database, content)
    with trio.fail_after(PATIENCE), pytest.raises(Misconfigured, match=r"node\.db"):
        await run(home)
    assert home.database.read_bytes() == content
    assert holder_of(home.node_lock) is None


def write(path: object, content: bytes) -> None:
    descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)


async def test_a_relay_that_is_not_there_is_not_used(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client:
            before = listing(home)
            with pytest.raises(Gone, match="cannot be reached"):
                await client.ask(ConfigureRelay(url=NOBODY))
            for nonsense in ("relay", "ftp://relay", "https://me:word@relay", "https://"):
                with pytest.raises(BadRequest):
                    await client.ask(ConfigureRelay(url=nonsense))
            assert await client.ask(ShowRelay()) == RelayStatus(None, connected=False)
            assert listing(home) == before


async def test_a_relay_that_is_not_there_does_not_replace_the_one_in_use(home: Home) -> None:
    account = b'{"url": "http://127.0.0.1:9", "device": "d", "secret": "s"}'
    write(home.relay_credential, account)
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client:
            with pytest.raises(Gone):
                await client.ask(ConfigureRelay(url=NOBODY))
            assert home.relay_credential.read_bytes() == account
            assert (await client.ask(ShowRelay())).url == "http://127.0.0.1:9"


async def test_a_relay_can_be_left_although_it_is_not_there(home: Home) -> None:
    write(home.relay_credential, b'{"url": "http://127.0.0.1:9", "device": "d", "secret": "s"}')
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client:
            assert await client.ask(UnsetRelay()) == RelayStatus(None, connected=False)
            assert not home.relay_credential.exists()
            assert await client.ask(UnsetRelay()) == RelayStatus(None, connected=False)
            with pytest.raises(Misconfigured, match="loopsy relay configure"):
                await client.ask(OfferPairing())


async def test_asking_for_sessions_starts_no_host(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client:
            assert await client.sessions() == []
            with pytest.raises(LoopsyError, match="no session"):
                await client.ask(EndSession(session="s"))
            assert (await client.status()).sessions == 0
            assert (await client.ask(StopNode())).sessions == 0
        assert holder_of(home.host_lock) is None
        assert not home.host_socket.exists()


async def test_only_its_own_user_may_touch_what_a_node_makes(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client:
            await client.status()
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in home.root.iterdir()}
    assert modes
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes


async def test_whoever_does_not_read_its_events_is_cut_off_with_a_word(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(home) as node, open_client(home) as client:
            async with client.watch_events() as events:
                await client.ask(Hello())
                for number in range(20_000):
                    node.events.publish(WrongCode(number))
                    if number % 50 == 0:
                        await wait_all_tasks_blocked()
                with pytest.raises(Busy, match="missed"):
                    await read_all(events)
            assert await client.status()


async def read_all(events: AsyncIterator[Event]) -> None:
    async for _ in events:
        pass


async def test_a_socket_that_nobody_serves_is_replaced(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(str(home.node_socket))
        sock.close()
        with pytest.raises(Gone):
            await connect_local(home.node_socket)
        async with open_node(home), open_client(home) as client:
            assert await client.status()


def listing(home: Home) -> dict[str, bytes]:
    """Return what lies in the home, but for the database's own files."""
    return {
        path.name: path.read_bytes()
        for path in home.root.iterdir()
        if path.is_file() and not path.name.startswith("node.db")
    }
