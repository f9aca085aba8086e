"""`loopsy key`, and that the keys it shows are those that count."""

from __future__ import annotations

import http.client
import socket
import stat
from typing import TYPE_CHECKING

from tests.cli.command_line import PATIENCE

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


def ask(port: int, key: str) -> int:
    """Return the status of a request with `key`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/api/v1/health", headers={"Authorization": f"Bearer {key}"})
    status = connection.getresponse().status
    connection.close()
    return status


def start(loopsy: CommandLine) -> int:
    """Start the daemon on a free port, and return that as a script finds it."""
    loopsy.say("init")
    text = loopsy.home.config.read_text()
    loopsy.home.config.write_text(text.replace("port: 19532", "port: 0    "))
    loopsy.say("start")
    status = loopsy.json("status")
    assert isinstance(status, dict)
    port = status["http_port"]
    assert f"http://127.0.0.1:{port}/api/v1" in loopsy.say("status")
    assert isinstance(port, int)
    return port


def test_key_show_tells_the_public_key_and_only_where_the_secret_is(loopsy: CommandLine) -> None:
    node_id = made["node_id"] if isinstance(made := loopsy.json("init"), dict) else ""
    secret = loopsy.home.api_key.read_text().strip()
    done = loopsy.run("key", "show")
    assert done.stdout == f"{node_id}\n"
    assert str(loopsy.home.api_key) in done.stderr
    assert secret not in done.stdout + done.stderr
    shown = loopsy.json("key", "show")
    assert shown == {"public_key": node_id, "api_key_file": str(loopsy.home.api_key)}


def test_key_show_http_tells_the_secret(loopsy: CommandLine) -> None:
    loopsy.say("init")
    secret = loopsy.home.api_key.read_text().strip()
    assert loopsy.say("key", "show", "--http") == f"{secret}\n"
    shown = loopsy.json("key", "show", "--http")
    assert isinstance(shown, dict)
    assert shown["api_key"] == secret


def test_key_generate_counts_at_once_for_the_daemon_that_runs(loopsy: CommandLine) -> None:
    port = start(loopsy)
    old = loopsy.home.api_key.read_text().strip()
    assert ask(port, old) == 200
    said = loopsy.say("key", "generate")
    new = loopsy.home.api_key.read_text().strip()
    assert new not in said
    assert (ask(port, old), ask(port, new)) == (401, 200)
    assert loopsy.json("key", "generate") == {"api_key_file": str(loopsy.home.api_key)}


def test_key_generate_works_without_a_daemon_and_mends_what_is_no_key(loopsy: CommandLine) -> None:
    loopsy.say("init")
    loopsy.home.api_key.write_text("nonsense")
    loopsy.say("key", "generate")
    assert len(loopsy.home.api_key.read_text().strip()) == 64
    assert stat.S_IMODE(loopsy.home.api_key.stat().st_mode) == 0o600
    assert ask(start(loopsy), loopsy.home.api_key.read_text().strip()) == 200


def test_key_without_a_home_says_what_to_do(loopsy: CommandLine) -> None:
    for words in (("key", "show"), ("key", "generate")):
        done = loopsy.run(*words, exit_code=1)
        assert "loopsy init" in done.stderr


def test_a_daemon_whose_port_is_taken_says_so(loopsy: CommandLine) -> None:
    loopsy.say("init")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        text = loopsy.home.config.read_text()
        loopsy.home.config.write_text(text.replace("port: 19532", f"port: {number}"))
        done = loopsy.run("start")
        assert f"port {number} on 127.0.0.1 is taken" in done.stderr
        assert f"port {number} on 127.0.0.1 is taken" in loopsy.say("status")


def test_a_daemon_listens_for_this_machine_only(loopsy: CommandLine) -> None:
    loopsy.say("init")
    text = loopsy.home.config.read_text()
    loopsy.home.config.write_text(text.replace("host: 127.0.0.1", "host: 0.0.0.0  "))
    done = loopsy.run("start", exit_code=1)
    assert "server.host must be an address of this machine alone" in done.stderr
    assert "loopsy start --lan" in done.stderr
