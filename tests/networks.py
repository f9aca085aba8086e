"""Networks of the tests' own: Linux network namespaces, joined by links that can be cut.

Two machines share a LAN, and each reaches a third, where a relay is, on a way of its own:

    kai 10.77.0.1 ------ LAN ------ 10.77.0.2 mac
    kai 10.77.1.2 -- 10.77.1.1 outside 10.77.2.1 -- 10.77.2.2 mac      outside is 10.77.9.1 as well
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["OUTSIDE", "Networks", "open_networks"]

OUTSIDE: Final = "10.77.9.1"
LAN: Final = {"kai": "10.77.0.1", "mac": "10.77.0.2"}


class Networks:
    """The namespaces; each test run has its own."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def inside(self, name: str) -> list[str]:
        """Return the command that runs another command in a namespace."""
        return ["ip", "netns", "exec", self._names[name]]

    def ip(self, name: str, *words: str) -> None:
        """Run `ip` in a namespace."""
        subprocess.run(["ip", "-n", self._names[name], *words], check=True, capture_output=True)

    def cut_lan(self) -> None:
        """Cut the LAN: what is sent there is lost."""
        self.ip("mac", "link", "set", "lan", "down")

    def heal_lan(self) -> None:
        """Bring the LAN back."""
        self.ip("mac", "link", "set", "lan", "up")

    def _join(self, one: str, one_link: str, two: str, two_link: str) -> None:
        names = self._names
        # fmt: off
        subprocess.run(
            ["ip", "link", "add", one_link, "netns", names[one],
             "type", "veth", "peer", "name", two_link, "netns", names[two]],
            check=True, capture_output=True,
        )
        # fmt: on

    def build(self) -> None:
        """Join the namespaces."""
        self._join("kai", "lan", "mac", "lan")
        for number, name in enumerate(LAN, 1):
            self._join(name, "wan", "outside", name)
            self.ip(name, "addr", "add", f"{LAN[name]}/24", "dev", "lan")
            self.ip(name, "addr", "add", f"10.77.{number}.2/24", "dev", "wan")
            self.ip("outside", "addr", "add", f"10.77.{number}.1/24", "dev", name)
            self.ip("outside", "link", "set", name, "up")
            for link in ("lo", "lan", "wan"):
                self.ip(name, "link", "set", link, "up")
            self.ip(name, "route", "add", "default", "via", f"10.77.{number}.1")
        self.ip("outside", "link", "set", "lo", "up")
        self.ip("outside", "addr", "add", f"{OUTSIDE}/32", "dev", "lo")


@contextmanager
def open_networks() -> Generator[Networks]:
    """Make the networks, or skip the test where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("networks of one's own need root and iproute2")
    names = {name: f"loopsy-{os.getpid()}-{name}" for name in ("kai", "mac", "outside")}
    made: list[str] = []
    try:
        for name in names.values():
            done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
            if done.returncode:
                pytest.skip(f"network namespaces are not allowed: {done.stderr.decode().strip()}")
            made.append(name)
        networks = Networks(names)
        networks.build()
        yield networks
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
