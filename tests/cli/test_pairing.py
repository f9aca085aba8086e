"""Two users pair two machines at their terminals, and do what people do: mistype, leave, say no."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.cli.command_line import CommandLine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cli.command_line import Screen

SETTINGS = "server: {{port: 0, name: {name}}}\ndiscovery: {{enabled: false}}\n"
QUESTION = rb"Is it the same there\? \[y/n\] "


def machine(folder: Path, name: str) -> CommandLine:
    """Return the command line of a machine whose daemon does not run yet."""
    folder.mkdir()
    loopsy = CommandLine(folder)
    loopsy.run("init")
    loopsy.home.config.write_text(SETTINGS.format(name=name), encoding="utf-8")
    return loopsy


@pytest.fixture
def kai(tmp_path: Path) -> Generator[CommandLine]:
    loopsy = machine(tmp_path / "kai", "kai")
    yield loopsy
    loopsy.close()


@pytest.fixture
def mac(tmp_path: Path) -> Generator[CommandLine]:
    loopsy = machine(tmp_path / "mac", "mac")
    yield loopsy
    loopsy.close()


def invite(kai: CommandLine) -> tuple[Screen, str, str]:
    """Run `loopsy pair`; return its terminal, the code, and an address to call."""
    kai.run("start", "--lan")
    host = kai.on_terminal("pair")
    code = code_on(host)
    status = cast("dict[str, object]", kai.json("status"))
    return host, code, f"127.0.0.1:{status['port']}"


def code_on(host: Screen) -> str:
    host.expect(rb"The code is (\d{3}) (\d{3})\.")
    code = b"".join(host.child.match.groups()).decode()
    host.expect(rb"Ctrl-C takes it back\.")
    return code


def join(mac: CommandLine, address: str, code: str) -> Screen:
    guest = mac.on_terminal("pair", address)
    guest.expect(b"The code: ")
    guest.type(f"{code}\r".encode())
    return guest


def number_on(screen: Screen) -> bytes:
    screen.expect(rb"\n    (\d{3} \d{3})\r")
    number: bytes = screen.child.match.group(1)
    screen.expect(QUESTION)
    return number


def peers(loopsy: CommandLine) -> list[str]:
    return [peer["name"] for peer in cast("list[dict[str, str]]", loopsy.json("peers"))]


def test_without_daemons_they_are_started_and_only_one_is_open(
    kai: CommandLine, mac: CommandLine
) -> None:
    host = kai.on_terminal("pair")
    host.expect(rb"The daemon does not run\. Start it, open to machines on your network\? \[Y/n\] ")
    host.type(b"\r")
    code = code_on(host)
    port = cast("dict[str, object]", kai.json("status"))["port"]
    guest = mac.on_terminal("pair", f"127.0.0.1:{port}")
    guest.expect(b"The daemon runs now.")
    guest.expect(b"The code: ")
    guest.type(f"{code[:3]}-{code[3:]}\r".encode())
    assert number_on(host) == number_on(guest)
    guest.type(b"yes\r")
    guest.expect(b"waiting for the user there")
    host.type(b"maybe\r")
    host.expect(QUESTION)
    host.type(b"y\r")
    host.expect(b"paired with mac; try: loopsy exec mac")
    guest.expect(b"paired with kai; try: loopsy exec kai")
    assert host.exit_code() == guest.exit_code() == 0
    assert cast("dict[str, object]", mac.json("status"))["port"] is None
    assert (peers(kai), peers(mac)) == (["mac"], ["kai"])


def test_a_daemon_that_lets_nobody_in_is_restarted_if_its_user_wants(kai: CommandLine) -> None:
    kai.run("start")
    host = kai.on_terminal("pair")
    host.expect(rb"lets no machine in.*Restart it, open to machines on your network\? \[Y/n\] ")
    host.type(b"n\r")
    host.expect(b"nobody can come in then")
    assert host.exit_code() == 4
    host = kai.on_terminal("pair")
    host.expect(rb"\[Y/n\] ")
    host.type(b"y\r")
    code_on(host)
    host.type(b"\x03")
    assert host.exit_code() == 130
    assert cast("dict[str, object]", kai.json("status"))["port"] is not None


def test_a_wrong_code_is_asked_for_again_and_the_host_is_told(
    kai: CommandLine, mac: CommandLine
) -> None:
    host, code, address = invite(kai)
    guest = join(mac, address, "12")
    guest.expect(b"the code has 6 digits")
    guest.expect(b"The code: ")
    guest.type(f"{(int(code) + 1) % 1_000_000:06}\r".encode())
    guest.expect(b"the code is wrong, or no invitation is open")
    host.expect(b"4 tries are left")
    guest.expect(b"The code: ")
    guest.type(f"{code}\r".encode())
    assert number_on(host) == number_on(guest)
    guest.type(b"n\r")
    guest.expect(b"you said that the numbers differ")
    host.expect(b"the user there said that the numbers differ")
    assert host.exit_code() == guest.exit_code() == 4
    assert peers(kai) == peers(mac) == []


@pytest.mark.parametrize("leave", ["ctrl-c", "close"])
def test_who_leaves_has_not_said_no_and_may_come_again(
    kai: CommandLine, mac: CommandLine, leave: str
) -> None:
    host, code, address = invite(kai)
    guest = join(mac, address, code)
    number_on(host)
    number_on(guest)
    if leave == "ctrl-c":
        guest.type(b"\x03")
        assert guest.exit_code() == 130
    else:
        guest.child.close(force=True)
    host.expect(b"mac was lost; the code still stands")
    guest = join(mac, address, code)
    assert number_on(host) == number_on(guest)
    host.type(b"\x03")
    assert host.exit_code() == 130
    guest.expect(b"loopsy: the connection was closed")
    assert guest.exit_code() == 1


def test_what_was_typed_before_the_number_was_shown_does_not_confirm_it(
    kai: CommandLine, mac: CommandLine
) -> None:
    host, code, address = invite(kai)
    host.type(b"y\ry\r")
    guest = join(mac, address, code)
    assert number_on(host) == number_on(guest)
    guest.type(b"y\r")
    guest.expect(b"waiting for the user there")
    guest.pause()
    assert peers(mac) == []
    host.type(b"y\r")
    host.expect(b"paired with mac")
    guest.expect(b"paired with kai")


def test_grants_and_ends_are_changed(kai: CommandLine, mac: CommandLine) -> None:
    for loopsy in (kai, mac):
        loopsy.run("start", "--lan")
    there = cast("dict[str, str]", kai.json("status"))
    mac.run("peers", "add", f"127.0.0.1:{there['port']}", "--key", there["node_id"])
    name = f"machine-{there['node_id'][:4]}"
    assert peers(mac) == [name]
    mac.run("peers", "rename", name, "kai")
    assert "local" in mac.complaint("peers", "rename", "kai", "local", exit_code=2)
    said = mac.say("peers", "grant", "kai", "-exec", "no-task", "+admin", "--expires", "30d")
    assert said == "kai may now: admin context files.read files.write message type view\n"
    changed = cast("dict[str, object]", mac.json("peers", "grant", "kai", "--expires", "never"))
    assert changed["expires_at"] is None
    assert "there is no grant 'sing'" in mac.complaint("peers", "grant", "kai", "sing", exit_code=2)
    mac.complaint("peers", "grant", "kai", "--expires", "soon", exit_code=2)
    for command in (("grant", "pixel", "+exec"), ("rename", "pixel", "phone")):
        assert "no phone 'pixel'" in mac.complaint("phone", *command, exit_code=5)
