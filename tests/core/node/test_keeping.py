"""Machines that are paired stay reached: they come back, change their way, and are cut off."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio

from loopsy_core.errors import Gone, LoopsyError, NotFound, PeerLeft, Refused
from loopsy_core.links import open_conversation
from loopsy_core.node import acquaintance
from loopsy_core.wire import (
    AddPeer,
    ConfigureRelay,
    Event,
    GrantPeer,
    Hello,
    PeerLost,
    PeerReached,
    PeerRemoved,
    RemovePeer,
    RenamePeer,
)
from tests.core.node.machines_world import away, home_of, open_machine, pair, reached
from tests.core.node.strange_machines import StrangeMachine
from tests.machine import running_relay
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from loopsy_core.client import Client
    from loopsy_core.links import Asked, SealedChannel
    from tests.core.node.machines_world import Machine

E = TypeVar("E")


def fix_port(root: Path, name: str, port: int | None) -> None:
    """Have a machine listen where it listened before."""
    assert port is not None
    config = home_of(root, name).config
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("port: 0", f"port: {port - 1}"), encoding="utf-8")


async def first(events: AsyncIterator[Event], kind: type[E]) -> E:
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events have ended")


@contextmanager
def lost() -> Generator[None]:
    """Expect that a machine is lost in the middle of a call."""
    with pytest.raises(PeerLeft):
        yield


async def test_a_machine_that_comes_back_is_reached_within_five_seconds(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac", lan=False) as mac:
            async with open_machine(tmp_path, "kai") as kai:
                await pair(kai, mac)
                await mac.peer(reached)
                fix_port(tmp_path, "kai", kai.node.port)
            await mac.peer(away)
            await trio.sleep(3)  # so that it has tried in vain a few times
            async with open_machine(tmp_path, "kai"):
                began = trio.current_time()
                await mac.peer(reached)
                assert trio.current_time() - began < 5


async def test_calls_under_way_fail_with_a_word_of_their_own(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac", lan=False) as mac, trio.open_nursery() as nursery:
            async with open_machine(tmp_path, "kai") as kai:
                await pair(kai, mac)
                await mac.peer(reached)
                began = trio.Event()
                nursery.start_soon(watch_until_lost, mac.client.peer("kai"), began)
                await began.wait()
            await mac.peer(away)
            with pytest.raises(Gone, match="kai is not reached"):
                await mac.client.peer("kai").ask(Hello())


async def watch_until_lost(client: Client, began: trio.Event) -> None:
    with lost():
        async with client.watch_sessions() as lists:
            async for _ in lists:
                began.set()


async def test_a_machine_that_is_removed_is_cut_off_at_once_and_no_other(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
            open_machine(tmp_path, "pi", lan=False) as pi,
            trio.open_nursery() as nursery,
        ):
            await pair(kai, mac)
            await pair(kai, pi)
            await mac.peer(reached)
            await pi.peer(reached)
            began = trio.Event()
            nursery.start_soon(watch_until_lost, mac.client.peer("kai"), began)
            await began.wait()
            async with pi.client.peer("kai").watch_sessions() as lists:
                await anext(lists)
                async with kai.client.watch_events() as events:
                    removed = await kai.client.ask(RemovePeer(peer="mac"))
                    assert removed.id == mac.id
                    assert (await first(events, PeerRemoved)).id == mac.id
                peer = await mac.peer(lambda peer: "forgotten us" in (peer.problem or ""))
                assert away(peer)
                await pi.client.peer("kai").start(["true"], name="still here")
                assert "still here" in [each.name for each in (await anext(lists)).sessions]
            with pytest.raises(NotFound):
                await kai.client.peer("mac").sessions()


async def test_grants_hold_for_the_next_request(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.peer(reached)
            changed = await kai.client.ask(GrantPeer(peer="mac", remove=["type"]))
            assert "type" not in changed.grants
            with pytest.raises(Refused, match="needs 'type'"):
                await insist(mac.client.peer("kai"))
            await kai.client.ask(GrantPeer(peer="mac", add=["type"]))
            await insist(mac.client.peer("kai"))


async def insist(client: Client) -> None:
    """Start a session, however often the connection is made anew meanwhile."""
    while True:
        try:
            await client.start(["true"])
        except Gone:
            await trio.sleep(0.02)
        else:
            return


async def test_a_pairing_ends_when_its_time_is_over(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.peer(reached)
            await kai.client.ask(GrantPeer(peer="mac", expires=time.time() + 1.5))
            await mac.peer(reached)
            await mac.peer(away)
            with pytest.raises(LoopsyError):
                await mac.client.peer("kai").sessions()


async def test_a_machine_is_called_what_its_user_likes(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await mac.client.ask(RenamePeer(peer="kai", name="workstation"))
            await mac.peer(reached)
            assert (await mac.client.peer("workstation").status()).name == "kai"
            for name in ("a:b", "a/b", "-x", " ", "mac\n"):
                with pytest.raises(LoopsyError):
                    await mac.client.ask(RenamePeer(peer="workstation", name=name))


async def test_the_relay_takes_over_and_gives_back(tmp_path: Path) -> None:
    with trio.fail_after(2 * PATIENCE), running_relay(tmp_path) as (relay, _):
        async with open_machine(tmp_path, "mac", lan=False) as mac:
            async with open_machine(tmp_path, "kai") as kai:
                await kai.client.ask(ConfigureRelay(url=relay))
                await pair(kai, mac)
                await mac.peer(reached)
                book = mac.node.door.book
                await eventually(lambda: book.all("machine")[0].relay_bearer is not None)
                fix_port(tmp_path, "kai", kai.node.port)
            async with mac.client.watch_events() as events:
                async with open_machine(tmp_path, "kai", lan=False) as kai:
                    assert (await first(events, PeerReached)).way == "relay"
                    assert (await mac.client.peer("kai").status()).name == "kai"
                    assert (await kai.client.peer("mac").status()).name == "mac"
                await first(events, PeerLost)
                async with open_machine(tmp_path, "kai"):
                    while (await first(events, PeerReached)).way != "lan":
                        pass
                    assert (await mac.client.peer("kai").status()).name == "kai"


async def test_an_account_that_its_relay_forgot_is_made_anew_when_the_machine_is_met(
    tmp_path: Path,
) -> None:
    with trio.fail_after(2 * PATIENCE), running_relay(tmp_path) as (relay, _):
        async with open_machine(tmp_path, "mac", lan=False) as mac:
            book = mac.node.door.book
            async with open_machine(tmp_path, "kai") as kai:
                await kai.client.ask(ConfigureRelay(url=relay))
                await pair(kai, mac)
                await eventually(lambda: book.all("machine")[0].relay_bearer is not None)
                former = book.all("machine")[0]
                fix_port(tmp_path, "kai", kai.node.port)
                for phone in await relay_phones(kai):
                    await kai.node.relaying.forget_client(phone, "mac")
            async with open_machine(tmp_path, "kai", lan=False):
                peer = await mac.peer(lambda peer: "by its relay" in (peer.problem or ""))
                assert "does not know us any more" in (peer.problem or "")
                await eventually(lambda: book.all("machine")[0].relay_bearer is None)
            async with open_machine(tmp_path, "kai"):
                await mac.peer(reached)
                await eventually(lambda: book.all("machine")[0].relay_bearer is not None)
                assert book.all("machine")[0].relay_bearer != former.relay_bearer
            async with open_machine(tmp_path, "kai", lan=False):
                await mac.peer(lambda peer: peer.way == "relay")


async def test_who_is_forgotten_behind_a_relay_is_told_so_in_words(tmp_path: Path) -> None:
    with trio.fail_after(2 * PATIENCE), running_relay(tmp_path) as (relay, _):
        async with open_machine(tmp_path, "mac", lan=False) as mac:
            book = mac.node.door.book
            async with open_machine(tmp_path, "kai") as kai:
                await kai.client.ask(ConfigureRelay(url=relay))
                await pair(kai, mac)
                await eventually(lambda: book.all("machine")[0].relay_bearer is not None)
                fix_port(tmp_path, "kai", kai.node.port)
            async with open_machine(tmp_path, "kai", lan=False) as kai:
                await kai.node.door.book.remove(mac.node.identity.id)
                peer = await mac.peer(
                    lambda peer: "by its relay: it refuses" in (peer.problem or "")
                )
                assert "forgotten us" in (peer.problem or "")


async def relay_phones(machine: Machine) -> list[str]:
    """Return the accounts at a machine's relay."""
    api = machine.node.relaying.api()
    request = urllib.request.Request(f"{api.url}/api/v1/phones")
    request.add_header("Authorization", f"Bearer {api.secret}")

    def fetch() -> list[str]:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return [phone["id"] for phone in json.load(response)["phones"]]

    return await trio.to_thread.run_sync(fetch)


async def test_a_machine_is_found_where_the_settings_say(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            config = home_of(tmp_path, "mac").config
            text = config.read_text(encoding="utf-8")
            places = f"['127.0.0.1:{unused_port()}', '{kai.address}']"
            config.write_text(text.replace("false}", f"false, manualPeers: {places}}}"))
            async with open_machine(tmp_path, "mac", lan=False) as mac:
                await kai.client.ask(AddPeer(key=mac.id, address=None, name="mac"))
                await mac.client.ask(AddPeer(key=kai.id, address=None, name="kai"))
                await mac.peer(reached)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def test_a_machine_that_falls_silent_is_away_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquaintance, "BEAT", 0.1)
    monkeypatch.setattr(acquaintance, "PATIENCE", 0.3)
    pi = StrangeMachine("pi")
    asleep = False

    async def answer(asked: Asked) -> object:
        if asleep:  # or its cable is pulled
            await trio.sleep_forever()
        return await pi.answer(asked)

    async def serve(channel: SealedChannel) -> None:
        async with open_conversation(channel, opener=False, answer=answer) as conversation:
            await conversation.wait_closed()

    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "mac", lan=False) as mac,
            pi.listening(serve) as address,
        ):
            await pi.known_to(mac, address)
            await mac.peer(reached)
            asleep = True
            await mac.peer(lambda peer: away(peer) and "no sign of life" in (peer.problem or ""))
            asleep = False
            await mac.peer(reached)
