"""`loopsy up`: from nothing to a link and a code, and an orderly end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import open_client
from tests.cli.command_line import PATIENCE
from tests.machine import pair_phone

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine, Screen

KEYS = {"app_url", "pair_url", "code", "expires_at", "home", "node_id", "relay_url"}

LAN_ADDRESS = "192.0.2.7"  # from a range that is kept for documentation (RFC 5737)
NO_NETWORK = 77
# A network namespace of its own: what listens there can be reached from nowhere else.
OWN_NETWORK = [
    "unshare",
    "--net",
    "/bin/sh",
    "-c",
    f"""
    ip link set lo up && ip link add lan type veth peer name far &&
    ip link set far up && ip link set lan up &&
    ip addr add {LAN_ADDRESS}/24 dev lan && ip route add default dev lan || exit {NO_NETWORK}
    exec "$@"
    """,
    "sh",
]
REGISTER = """
import sys, urllib.error, urllib.request
kind = {"Content-Type": "application/json"}
asked = urllib.request.Request(sys.argv[1] + "/api/v1/devices", b'{"name": "x"}', kind)
try:
    print(urllib.request.urlopen(asked, timeout=10).status, end="")
except urllib.error.HTTPError as refused:
    print(refused.code, end="")
"""


def begin(loopsy: CommandLine, *words: str) -> tuple[Screen, str]:
    """Start `up` on a terminal; return it and the relay's address."""
    screen = loopsy.on_terminal("up", "--port", "0", "--no-browser", *words)
    screen.expect(rb"Loopsy is up: (\S+)/app\r\n")
    url = screen.child.match.group(1).decode()
    screen.expect(rb"Ctrl-C stops it")
    return screen, url


def test_json_is_one_line_with_all_that_is_needed(loopsy: CommandLine) -> None:
    up = loopsy.start("up", "--json", "--port", "0")
    assert up.stdout is not None
    facts = json.loads(up.stdout.readline())
    assert set(facts) == KEYS
    assert facts["home"] == str(loopsy.home.root)
    assert re.fullmatch(r"\d{4}", facts["code"])
    assert facts["pair_url"].startswith(f"{facts['app_url']}#1,")
    assert facts["app_url"] == f"{facts['relay_url']}/app"
    with urllib.request.urlopen(f"{facts['relay_url']}/health", timeout=10) as reply:
        assert json.load(reply)["nodes"] == 1
    up.send_signal(signal.SIGINT)
    rest, complaints = up.communicate(timeout=30)
    assert (up.returncode, rest, complaints) == (0, "", "")


def test_ctrl_c_ends_it_and_names_what_lives_on(loopsy: CommandLine) -> None:
    screen, _ = begin(loopsy)
    loopsy.session("cat", name="pet")
    screen.type(b"\x03")
    assert screen.exit_code() == 0
    assert b"This session lives on: pet" in screen.output
    assert b"loopsy stop --sessions" in screen.output
    loopsy.say("start")
    assert "pet" in loopsy.say("list")


def test_the_screen_shows_a_qr_the_link_and_the_code(loopsy: CommandLine) -> None:
    screen, url = begin(loopsy)
    text = re.sub(rb"\x1b\[[0-9;]*m", b"", screen.output).decode()
    drawn = [line for line in text.splitlines() if re.fullmatch("[ █▀▄]{40,80}", line)]
    assert len(drawn) > 20
    assert f"{url}/app#1," in text
    assert re.search(r"type the code \d \d \d \d within 15m", text)
    assert "No other device can open it" in text
    assert "loopsy up --lan" in text


def test_what_happens_is_told_as_it_happens(loopsy: CommandLine) -> None:
    screen, _url = begin(loopsy)

    async def pair() -> None:
        with trio.fail_after(30):
            async with open_client(loopsy.home) as client:
                await pair_phone(client)

    trio.run(pair)
    screen.expect(b"phone is paired")
    screen.expect(b"phone is connected")
    screen.expect(b"phone has left")
    listed = loopsy.json("phone", "list")
    assert isinstance(listed, list)
    assert [phone["name"] for phone in listed] == ["phone"]
    assert listed[0]["id"][:8] in loopsy.say("phone", "list")
    loopsy.say("phone", "revoke", listed[0]["id"][:6])
    screen.expect(b"phone is revoked")
    assert loopsy.json("phone", "list") == []


def test_stop_ends_it_too(loopsy: CommandLine) -> None:
    screen, _ = begin(loopsy)
    loopsy.say("stop")
    assert screen.exit_code() == 0
    assert b"no session runs" in screen.output


def test_the_lan_sees_its_address_and_strangers_cannot_register(loopsy: CommandLine) -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nsenter") is None:
        pytest.skip("a network of one's own to listen on needs root, ip and nsenter")
    up = loopsy.start("up", "--lan", "--json", "--port", "0", inside=OWN_NETWORK)
    assert up.stdout is not None
    line = up.stdout.readline()
    if not line and up.wait() == NO_NETWORK:
        pytest.skip("this machine does not let us make a network namespace")
    url = json.loads(line)["relay_url"]
    assert url.startswith(f"http://{LAN_ADDRESS}:")
    asked = subprocess.run(
        ["nsenter", f"--target={up.pid}", "--net", sys.executable, "-c", REGISTER, url],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert asked.stdout in {"401", "403"}


def test_without_a_network_the_lan_cannot_be_served(loopsy: CommandLine) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to be without a network needs root and unshare")
    up = loopsy.start("up", "--lan", "--json", "--port", "0", inside=["unshare", "--net"])
    said, complained = up.communicate(timeout=PATIENCE)
    assert up.returncode == 1
    assert "no network" in complained
    assert "Traceback" not in said + complained


def test_what_the_relay_keeps_is_private(loopsy: CommandLine) -> None:
    begin(loopsy)
    folder = loopsy.home.relay_dir
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "registration.secret").stat().st_mode) == 0o600


def test_a_taken_port_is_named_with_the_way_out(loopsy: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = loopsy.complaint("up", "--json", "--port", str(port), exit_code=1)
    assert f"port {port} is taken" in said
    assert "--port 0" in said


def test_a_second_one_is_told_what_to_do(loopsy: CommandLine) -> None:
    begin(loopsy)
    said = loopsy.complaint("up", "--port", "0", exit_code=1)
    assert "`loopsy mobile pair`" in said
    assert "`loopsy stop`" in said


def test_another_relay_is_not_given_up_silently(loopsy: CommandLine) -> None:
    loopsy.say("init")
    loopsy.home.config.write_text("relay: {url: 'https://relay.example'}\n")
    assert "https://relay.example" in loopsy.complaint("up", "--port", "0", exit_code=1)


def test_the_browser_gets_a_private_file_and_no_secret(loopsy: CommandLine) -> None:
    told = loopsy.folder / "told"
    browser = loopsy.folder / "browser"
    browser.write_text(
        f'#!/bin/sh\nstat -c %a "${{1#file://}}" > {told}.new\necho "$1" >> {told}.new\n'
        f'cat "${{1#file://}}" >> {told}.new\nmv {told}.new {told}\n'
    )
    browser.chmod(0o700)
    loopsy.environment |= {"DISPLAY": ":99", "BROWSER": f"{browser} %s &"}
    loopsy.environment.pop("SSH_CONNECTION", None)
    screen = loopsy.on_terminal("up", "--port", "0")
    screen.expect(rb"(http://\S+/app)#(1,\S+)\r\n")
    app, secret = (group.decode() for group in screen.child.match.groups())
    deadline = time.monotonic() + 30
    while not told.exists() and time.monotonic() < deadline:
        screen.pause()
    mode, address, *page = told.read_text().splitlines()
    assert mode == "600"
    assert address.startswith("file:///")
    assert f'content="0;url={app}#{secret}"' in "\n".join(page)
    screen.type(b"\x03")
    assert screen.exit_code() == 0
    assert not (loopsy.home.relay_dir / "open.html").exists()


def test_coming_back_keeps_the_pairing(loopsy: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    screen = loopsy.on_terminal("up", "--port", port, "--no-browser")
    screen.expect(b"Ctrl-C stops it")

    async def pair() -> None:
        with trio.fail_after(30):
            async with open_client(loopsy.home) as client:
                await pair_phone(client)

    trio.run(pair)
    screen.type(b"\x03")
    assert screen.exit_code() == 0
    loopsy.say("start")
    said = loopsy.say("status")
    assert f"http://127.0.0.1:{port}, not connected" in said
    assert "1 paired" in said
    loopsy.say("stop")
    again = loopsy.on_terminal("up", "--port", port, "--no-browser")
    again.expect(b"Ctrl-C stops it")
    listed = loopsy.json("phone", "list")
    assert isinstance(listed, list)
    assert len(listed) == 1
