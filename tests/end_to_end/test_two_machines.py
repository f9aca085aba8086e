"""Two machines in networks of their own: paired by two users, found by mDNS, cut and healed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest

from bench._figures import resident
from tests.cli.command_line import CommandLine
from tests.networks import LAN, OUTSIDE, Networks, open_networks

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.cli.command_line import Screen

ROOT: Final = Path(__file__).parents[2]
PORT: Final = 19533
RELAY: Final = f"http://{OUTSIDE}:19534"
SLOWLY: Final = 30.0
"""Seconds for what the machines find out by themselves."""


@pytest.fixture
def networks() -> Generator[Networks]:
    with open_networks() as networks:
        yield networks


class Machine:
    """A machine in its network, and its user at the command line."""

    def __init__(self, networks: Networks, folder: Path, name: str) -> None:
        folder.mkdir()
        self.loopsy = CommandLine(folder, networks.inside(name))
        self.loopsy.run("init")
        config = self.loopsy.home.config
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("name: null", f"name: {name}"), encoding="utf-8")

    def peer(self) -> dict[str, object]:
        peers = cast("list[dict[str, object]]", self.loopsy.json("peers"))
        assert len(peers) == 1
        return peers[0]

    def wait_for(self, way: str | None, seconds: float = SLOWLY) -> float:
        """Wait until the other machine is reached that way; return how many seconds it took."""
        began = time.monotonic()
        while (peer := self.peer())["way"] != way:
            assert time.monotonic() - began < seconds, peer
            time.sleep(0.1)
        return time.monotonic() - began

    def wait_for_address(self, address: str) -> None:
        """Wait until it is known that the other machine is found there."""
        deadline = time.monotonic() + SLOWLY
        while address not in str((peer := self.peer())["addresses"]):
            assert time.monotonic() < deadline, peer
            time.sleep(0.1)


@pytest.fixture
def kai(networks: Networks, tmp_path: Path) -> Generator[Machine]:
    machine = Machine(networks, tmp_path / "kai", "kai")
    yield machine
    machine.loopsy.close()


@pytest.fixture
def mac(networks: Networks, tmp_path: Path) -> Generator[Machine]:
    machine = Machine(networks, tmp_path / "mac", "mac")
    yield machine
    machine.loopsy.close()


def pair(kai: Machine, mac: Machine) -> None:
    """Pair as two people do: one reads the code out, both compare."""
    host = kai.loopsy.on_terminal("pair")
    host.expect(rb"The code is (\d{3}) (\d{3})\.")
    code = b"".join(host.child.match.groups())
    host.expect(f"loopsy pair {LAN['kai']}:{PORT}".encode())
    guest = mac.loopsy.on_terminal("pair", LAN["kai"])
    guest.expect(b"The code: ")
    guest.type(code[:3] + b" " + code[3:] + b"\r")
    assert number(host) == number(guest)
    host.type(b"y\r")
    guest.type(b"y\r")
    host.expect(b"paired with mac")
    guest.expect(b"paired with kai")
    assert host.exit_code() == guest.exit_code() == 0


def number(screen: Screen) -> bytes:
    screen.expect(rb"\n    (\d{3} \d{3})\r")
    shown: bytes = screen.child.match.group(1)
    screen.expect(rb"Is it the same there\? \[y/n\] ")
    return shown


def test_two_users_pair_two_machines_which_find_each_other_whatever_is_cut(
    networks: Networks, kai: Machine, mac: Machine
) -> None:
    relay = networks.inside("outside")
    outside = CommandLine(kai.loopsy.folder.parent / "outside", relay)
    outside.folder.mkdir()
    try:
        outside.start("relay", "serve", "--host", OUTSIDE)
        kai.loopsy.run("start", "--lan")
        mac.loopsy.run("start")
        pair(kai, mac)
        mac.wait_for("lan")
        kai.wait_for("lan")

        # A relay is set later, on one side only: the other learns of it by itself.
        kai.loopsy.run("relay", "configure", RELAY)
        time.sleep(8)

        networks.cut_lan()
        mac.wait_for("relay")
        kai.wait_for("relay")
        networks.heal_lan()
        assert mac.wait_for("lan") < 10

        # Another address, which nobody was told: mDNS finds it.
        networks.ip("kai", "addr", "flush", "dev", "lan")
        networks.ip("kai", "addr", "add", "10.77.0.55/24", "dev", "lan")
        mac.wait_for_address("10.77.0.55:19533")
        mac.wait_for("lan")
    finally:
        outside.close()


def trust(kai: Machine, mac: Machine) -> None:
    """Have both trust the other's key; where it is they find out."""
    here, there = (
        cast("dict[str, str]", machine.loopsy.json("status"))["node_id"] for machine in (kai, mac)
    )
    kai.loopsy.run("peers", "add", "192.0.2.1", "--key", there, "--name", "mac")
    mac.loopsy.run("peers", "add", "192.0.2.1", "--key", here, "--name", "kai")


def log_of(machine: Machine) -> str:
    return machine.loopsy.home.node_log.read_text(encoding="utf-8", errors="replace")


def test_machines_that_start_without_a_network_find_each_other_once_there_is_one(
    networks: Networks, kai: Machine, mac: Machine
) -> None:
    for name in ("kai", "mac"):
        for link in ("lan", "wan"):
            networks.ip(name, "link", "set", link, "down")
    kai.loopsy.run("start", "--lan")
    mac.loopsy.run("start", "--lan")
    trust(kai, mac)
    assert mac.peer()["way"] is None
    for name in ("kai", "mac"):
        networks.ip(name, "link", "set", "lan", "up")
    mac.wait_for("lan")
    kai.wait_for("lan")
    for machine in (kai, mac):
        assert "Traceback" not in log_of(machine)


def test_a_flood_of_announcements_harms_nobody(
    networks: Networks, kai: Machine, mac: Machine
) -> None:
    kai.loopsy.run("start", "--lan")
    mac.loopsy.run("start", "--lan")
    trust(kai, mac)
    mac.wait_for("lan")
    status = cast("dict[str, str]", mac.loopsy.json("status"))
    pid = int(mac.loopsy.home.node_lock.read_text(encoding="ascii"))
    before = resident(pid)
    flood = [sys.executable, "-m", "tests.end_to_end.mdns_flood"]
    seconds = 6
    with subprocess.Popen(
        [*networks.inside("mac"), *flood, LAN["mac"], str(seconds), status["node_id"]],
        cwd=ROOT,
    ) as process:
        kai.loopsy.run("restart")  # so that it has to be found again in the midst of it
        waits = []
        while process.poll() is None:
            began = time.monotonic()
            mac.peer()
            waits.append(time.monotonic() - began)
    assert process.returncode == 0
    assert max(waits) < 3, waits
    assert mac.wait_for("lan") < 6
    kai.wait_for("lan")
    assert resident(pid) - before < 60 << 20
    for machine in (kai, mac):
        assert "Traceback" not in log_of(machine)
        assert len(log_of(machine).splitlines()) < 60, log_of(machine)
