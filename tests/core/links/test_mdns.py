"""What the network says of machines is a hint, whatever anybody says there, however often."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone
from loopsy_core.links import mdns
from loopsy_core.links.mdns import SERVICE, Found, open_mdns
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from zeroconf import Zeroconf

KAI = "k" * 52
MAC = "m" * 52


class Info:
    """Where a machine says that it is."""

    def __init__(self, *addresses: str, port: int | None = 19533) -> None:
        self.port = port
        self._addresses = addresses

    def parsed_scoped_addresses(self) -> list[str]:
        return list(self._addresses)


class Network:
    """Stands for zeroconf: it is asked where machines are, and may fail at it."""

    def __init__(self) -> None:
        self.infos: dict[str, Info | Exception | None] = {}
        self.asked: list[str] = []
        self.say: Callable[[str], None]
        self.closed = False

    def get_service_info(self, _: str, name: str, *, timeout: int) -> Info | None:
        self.asked.append(name)
        info = self.infos.get(name)
        if isinstance(info, Exception):
            raise info
        return info

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()

    def opened(_: object, on_change: Callable[[str], None]) -> Zeroconf:
        network.say = on_change
        return cast("Zeroconf", network)

    monkeypatch.setattr(mdns, "_open", opened)
    return network


def name(peer: str) -> str:
    return f"{peer}.{SERVICE}"


async def heard(network: Network, *names: str, asked: int) -> list[Found]:
    """Return what is told after `names` were heard, and so many machines asked."""
    found: list[Found] = []
    async with open_mdns(None, lambda peer: peer in (KAI, MAC), found.append):
        for each in names:
            await trio.to_thread.run_sync(network.say, each)
        await eventually(lambda: len(network.asked) >= asked)
        await wait_all_tasks_blocked(0.02)
    assert network.closed
    return found


async def test_a_machine_is_found_at_its_addresses_ipv4_first(network: Network) -> None:
    network.infos[name(KAI)] = Info("fe80::1%2", "192.0.2.7")
    found = await heard(network, name(KAI), asked=1)
    assert found == [Found(KAI, ("192.0.2.7:19533", "[fe80::1%2]:19533"))]


async def test_a_flood_of_made_up_machines_asks_nobody(network: Network) -> None:
    strangers = [f"{number:a<52}." + SERVICE for number in map(str, range(22222, 22722))]
    oddities = ["", "." + SERVICE, "K" * 52 + "." + SERVICE, "\0" * 300, name(KAI) + "x", "\ud800"]
    network.infos[name(KAI)] = Info("192.0.2.7")
    found = await heard(network, *strangers, *oddities, name(KAI), asked=1)
    assert network.asked == [name(KAI)]
    assert [each.id for each in found] == [KAI]


async def test_a_place_that_no_other_machine_can_have_is_not_called(network: Network) -> None:
    network.infos[name(KAI)] = Info("127.0.0.1", "::1", "0.0.0.0", "224.0.0.251", "ff02::fb%3")
    network.infos[name(MAC)] = Info("127.0.0.1", "192.0.2.8")
    found = await heard(network, name(KAI), name(MAC), asked=2)
    assert found == [Found(MAC, ("192.0.2.8:19533",))]


async def test_no_more_places_than_a_few_are_believed(network: Network) -> None:
    network.infos[name(KAI)] = Info(*(f"192.0.2.{number}" for number in range(1, 200)))
    [found] = await heard(network, name(KAI), asked=1)
    assert len(found.addresses) == mdns.MAX_ADDRESSES


async def test_a_machine_that_was_heard_before_it_mattered_is_looked_for(network: Network) -> None:
    network.infos[name(KAI)] = Info("192.0.2.7")
    known: list[str] = []
    found: list[Found] = []
    async with open_mdns(None, known.__contains__, found.append) as looking:
        network.say(name(KAI))
        await wait_all_tasks_blocked(0.02)
        assert not network.asked
        known.append(KAI)
        looking.look_for(KAI)
        await eventually(lambda: bool(found))
    assert [each.id for each in found] == [KAI]


async def test_a_goodbye_changes_nothing_for_anybody_may_say_it(network: Network) -> None:
    network.infos[name(KAI)] = None
    network.infos[name(MAC)] = Info("192.0.2.8", port=None)
    assert await heard(network, name(KAI), name(MAC), asked=2) == []


@pytest.mark.logs_errors
async def test_what_zeroconf_stumbles_over_is_a_line_of_the_log_and_the_next_is_found(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network.infos[name(KAI)] = ValueError("a packet that no parser likes")
    network.infos[name(MAC)] = Info("192.0.2.8")
    found = await heard(network, name(KAI), name(MAC), asked=2)
    assert [each.id for each in found] == [MAC]
    assert "a packet that no parser likes" in caplog.text


async def test_a_machine_that_does_not_answer_delays_no_other(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event

    release = Event()
    answer = network.get_service_info

    def slowly(service: str, which: str, *, timeout: int) -> Info | None:
        if which == name(KAI):
            assert release.wait(10)
        return answer(service, which, timeout=timeout)

    monkeypatch.setattr(network, "get_service_info", slowly)
    network.infos[name(MAC)] = Info("192.0.2.8")
    told = trio.Event()
    async with open_mdns(None, lambda _: True, lambda _: told.set()):
        network.say(name(KAI))
        network.say(name(MAC))
        try:
            with trio.fail_after(5):
                await told.wait()
        finally:
            release.set()


def test_a_network_that_is_missing_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import zeroconf

    def fails(*_: object, **__: object) -> None:
        raise zeroconf.NonUniqueNameException

    monkeypatch.setattr(mdns, "_open_zeroconf", fails)
    with pytest.raises(Gone, match="no mDNS here: NonUniqueNameException"):
        mdns._open(None, lambda _: None)  # noqa: SLF001 - the edge itself
    try:
        raise OSError(101, "Network is unreachable")
    except OSError as error:
        logging.getLogger("zeroconf").warning("Error with socket 9", exc_info=error)
    assert "Error with socket 9" in caplog.text
    assert "Traceback" not in caplog.text
