"""What the doctor says of a machine that is not reached: why, and what to try."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_cli.doctor import look_at_peer
from loopsy_cli.finding import Finding, Verdict
from loopsy_core.errors import Gone
from loopsy_core.links import tcp
from loopsy_core.node import calling, keeper
from loopsy_core.wire import ConfigureRelay, GrantPeer, Hello, Introduction, greeting
from tests.core.node.machines_world import away, open_machine, pair, reached
from tests.core.node.strange_machines import StrangeMachine
from tests.machine import running_relay
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.core.node.machines_world import Machine

KAI: Final = StrangeMachine("kai")
START_IT: Final = "run `loopsy restart --lan` there"
STILL_KNOWN: Final = "see by `loopsy peers` there whether it knows this machine"


async def finding(machine: Machine, part: str) -> Finding:
    """Wait until the doctor of `machine` says `part` of its only peer, which is not reached."""
    found = await machine.peer(lambda peer: away(peer) and part in (peer.problem or ""))
    [one] = look_at_peer(found)
    assert one.verdict is Verdict.BAD
    assert one.said.startswith("kai is not reached: ")
    return one


async def said_of(root: Path, address: str | None, part: str) -> str:
    """Return the mend when kai is called at `address`, and `part` is said of that."""
    with trio.fail_after(PATIENCE):
        async with open_machine(root, "mac", lan=False) as mac:
            await KAI.known_to(mac, address)
            return (await finding(mac, part)).mend or ""


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncGenerator[int]:
    """Listen for whoever calls, and say this; with None nothing, for ever."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer is None:
            await trio.sleep_forever()
        else:
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def closed_port() -> int:
    async with answering(b"") as port:
        return port


# Directly.


async def test_one_that_was_never_met(tmp_path: Path) -> None:
    assert START_IT in await said_of(tmp_path, None, "no address of it is known")


async def test_one_that_takes_no_calls(tmp_path: Path) -> None:
    address = f"127.0.0.1:{await closed_port()}"
    mend = await said_of(tmp_path, address, "Connection refused")
    assert mend.startswith("it is on, but Loopsy takes no calls there")


async def test_one_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "CONNECTING", 0.2)
    # The system drops calls while as many wait as may.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        address = full.getsockname()
        with suppress(TimeoutError):
            for _ in range(4):
                waiting.enter_context(socket.create_connection(address, timeout=0.1))
        mend = await said_of(tmp_path, f"127.0.0.1:{address[1]}", "it does not answer")
    assert "on, awake and in the same network" in mend


async def test_a_name_that_there_is_not(tmp_path: Path) -> None:
    mend = await said_of(tmp_path, "kai.invalid", "there is no machine of that name")
    assert "see that the name is right" in mend


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\5hello", None])
async def test_an_address_where_something_else_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    monkeypatch.setattr(calling, "HANDSHAKE", 0.5)
    async with answering(answer) as port:
        mend = await said_of(tmp_path, f"127.0.0.1:{port}", "not the machine that we are paired")
    assert mend.startswith("something else listens there")


async def test_an_address_where_another_key_answers(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "other") as other:
            part = "another machine is there now, its key has changed"
            mend = await said_of(tmp_path, other.address, part)
    assert mend.startswith(STILL_KNOWN)


@pytest.mark.parametrize("over", [False, True])
async def test_one_that_has_forgotten_us_or_our_time_there_is_over(
    tmp_path: Path, over: bool
) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.peer(reached)
            if over:
                await kai.client.ask(GrantPeer(peer="mac", expires=time.time() + 0.3))
            else:
                await kai.node.machines.remove("mac")
            found = await finding(mac, "it has forgotten us")
            assert found.mend is not None
            assert found.mend.startswith(f"{STILL_KNOWN}, and until when; if not, pair anew")
            assert f"(known at {kai.address})" in found.said


async def test_one_whose_time_here_is_over(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac", lan=False) as mac, KAI.listening() as address:
            await KAI.known_to(mac, address)
            await mac.peer(reached)
            await mac.client.ask(GrantPeer(peer="kai", expires=time.time() + 0.2))
            mend = (await finding(mac, "its time here is over")).mend
    assert mend == "run `loopsy peers grant kai --expires 30d` here, or never, or pair anew"


@pytest.mark.parametrize(
    ("newest", "oldest", "part", "mend"),
    [
        (3, 2, "newer protocol", "run `loopsy update` here"),
        (1, 1, "older protocol", "run `loopsy update` there"),
    ],
)
async def test_one_of_another_protocol_whoever_calls(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    newest: int,
    oldest: int,
    part: str,
    mend: str,
) -> None:
    if newest == 1:  # nothing older has ever been
        monkeypatch.setattr(greeting, "PROTOCOL", 2)
        monkeypatch.setattr(greeting, "OLDEST", 2)
    kai = StrangeMachine("kai", newest=newest, oldest=oldest)
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac") as mac:
            mac.node.door.introduction = Introduction(
                "mac", "9.9", greeting.PROTOCOL, greeting.OLDEST
            )
            await kai.known_to(mac)
            with pytest.raises(Gone):
                async with kai.talk(mac) as talking:
                    await talking.ask(Hello())
            assert (await finding(mac, part)).mend == mend
    async with kai.listening() as address:
        with trio.fail_after(PATIENCE):
            async with open_machine(tmp_path, "mac") as mac:
                [known] = mac.node.door.book.all("machine")
                await mac.node.door.book.note_way(known.id, address=address)
                assert (await finding(mac, part)).mend == mend


# By relay.


async def said_by_relay(root: Path, relay: str, part: str) -> Finding:
    """Return what is found when kai is known by `relay` alone."""
    with trio.fail_after(PATIENCE):
        async with open_machine(root, "mac", lan=False) as mac:
            await KAI.known_to(mac)
            await mac.node.door.book.note_way(KAI.id, relay=(relay, "a-secret"))
            return await finding(mac, f"no address of it is known; by its relay: {part}")


async def test_only_by_relay_and_the_relay_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "DIRECT_FIRST", 0.0)
    url = f"http://127.0.0.1:{await closed_port()}"
    found = await said_by_relay(
        tmp_path, url, f"the relay {url} cannot be reached: Connection refused"
    )
    assert found.mend == "see that the relay runs, and that this machine has a network"


async def test_what_answers_in_the_relays_place_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "DIRECT_FIRST", 0.0)
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        url = f"http://127.0.0.1:{port}"
        found = await said_by_relay(tmp_path, url, f"{url} does not answer like a Loopsy relay")
    assert found.mend == "see that the relay runs, and that this machine has a network"


async def test_our_key_is_refused_by_the_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "DIRECT_FIRST", 0.0)
    with running_relay(tmp_path) as (relay, _):
        found = await said_by_relay(tmp_path, relay, "the relay does not know us any more")
    assert found.mend is not None
    assert found.mend.startswith("its relay knows this machine no more")


async def test_neither_directly_nor_by_its_relay(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running_relay(tmp_path) as (relay, _):
        async with open_machine(tmp_path, "mac", lan=False) as mac:
            async with open_machine(tmp_path, "kai") as kai:
                await kai.client.ask(ConfigureRelay(url=relay))
                await pair(kai, mac)
                book = mac.node.door.book
                await eventually(lambda: book.all("machine")[0].relay_bearer is not None)
            found = await finding(mac, "by its relay: the machine is not connected to its relay")
    assert "Connection refused" in found.said
    assert found.mend == (
        "it is on, but Loopsy takes no calls there: run `loopsy restart --lan` there;"
        " or start Loopsy there: it has no link to its relay"
    )


# Reached, and all the same.


@pytest.mark.parametrize(("ahead", "which"), [(7200.0, "ahead of"), (-90_000.0, "behind")])
async def test_a_clock_that_is_far_off(tmp_path: Path, ahead: float, which: str) -> None:
    kai = StrangeMachine("kai")
    kai.hello["clock"] = time.time() + ahead
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac", lan=False) as mac, kai.listening() as address:
            await kai.known_to(mac, address)
            peer = await mac.peer(lambda peer: peer.clock_ahead is not None)
    good, clock = look_at_peer(peer)
    assert good.verdict is Verdict.GOOD
    assert "kai is reached directly" in good.said
    assert (clock.what, clock.verdict) == ("clock", Verdict.BAD)
    assert f"s {which} this machine's" in clock.said


async def test_clocks_that_agree_are_worth_no_word(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            peer = await mac.peer(lambda peer: peer.clock_ahead is not None)
            assert abs(peer.clock_ahead or 1.0) < 1.0
            assert len(list(look_at_peer(peer))) == 1
