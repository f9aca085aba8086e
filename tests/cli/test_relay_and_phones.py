"""The relay and phones from the command line: serve, configure, show, unset, mobile pair."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

SECRET = "correct horse battery"


@pytest.fixture
def relay(loopsy: CommandLine) -> str:
    """The address of a relay that only takes machines which know the secret."""
    secret = loopsy.folder / "secret"
    secret.write_text(f"{SECRET}\n")
    database = loopsy.folder / "relay.db"
    served = loopsy.start(
        "relay", "serve", "--port", "0", "--json",
        "--secret-file", str(secret), "--database", str(database),
    )  # fmt: skip
    assert served.stdout is not None
    facts = json.loads(served.stdout.readline())
    assert set(facts) == {"url", "host", "port"}
    return str(facts["url"])


def test_configure_registers_with_a_secret_from_a_file(loopsy: CommandLine, relay: str) -> None:
    loopsy.say("start")
    assert "relay says" in loopsy.complaint("relay", "configure", relay, exit_code=4)
    secret = str(loopsy.folder / "secret")
    assert "connected" in loopsy.say("relay", "configure", relay, "--secret-file", secret)
    assert loopsy.json("relay", "show") == {"url": relay, "connected": True, "problem": None}
    assert f"{relay}, connected" in loopsy.say("status")
    assert "no relay is used" in loopsy.say("relay", "unset")
    assert "no relay is used" in loopsy.say("relay", "show")


def test_the_secret_may_come_by_standard_input_or_environment(
    loopsy: CommandLine, relay: str
) -> None:
    loopsy.say("start")
    by_input = subprocess.run(
        [sys.executable, "-m", "loopsy_cli", "relay", "configure", relay, "--secret-file", "-"],
        env=loopsy.environment,
        input=SECRET.encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert by_input.returncode == 0, by_input.stderr
    loopsy.say("relay", "unset")
    loopsy.run("relay", "configure", relay, LOOPSY_REGISTRATION_SECRET=SECRET)


def test_a_secret_that_is_none_is_refused(loopsy: CommandLine) -> None:
    empty = loopsy.folder / "empty"
    empty.write_bytes(b"\n")
    for words in (["relay", "configure", "http://127.0.0.1:9"], ["relay", "serve", "--port", "0"]):
        said = loopsy.complaint(*words, "--secret-file", str(empty), exit_code=2)
        assert "does not hold a secret" in said
        loopsy.complaint(*words, "--secret-file", "/nowhere", exit_code=1)


def test_addresses_that_cannot_be_are_refused(loopsy: CommandLine) -> None:
    loopsy.say("start")
    loopsy.complaint("relay", "configure", "ftp://relay.example", exit_code=2)
    assert "cannot be reached" in loopsy.complaint(
        "relay", "configure", "http://127.0.0.1:9", exit_code=1
    )
    assert "port 99999" in loopsy.complaint("relay", "serve", "--port", "99999", exit_code=1)
    assert "--port" in loopsy.complaint("relay", "serve", "--port", "many", exit_code=2)


def test_a_relay_without_a_secret_says_who_may_register(loopsy: CommandLine) -> None:
    served = loopsy.start("relay", "serve", "--port", "0")
    assert served.stdout is not None
    assert served.stderr is not None
    assert "the relay is at http://127.0.0.1:" in served.stdout.readline()
    assert "--secret-file" in served.stderr.readline()
    assert (loopsy.home.relay_dir / "relay.db").exists()
    served.send_signal(signal.SIGINT)
    served.communicate(timeout=30)
    assert served.returncode == 0


def test_mobile_pair_makes_an_offer(loopsy: CommandLine, relay: str) -> None:
    loopsy.say("start")
    assert "loopsy relay configure" in loopsy.complaint("mobile", "pair", exit_code=1)
    loopsy.run("relay", "configure", relay, LOOPSY_REGISTRATION_SECRET=SECRET)
    offer = loopsy.json("mobile", "pair", "--grant", "viewer", "--expires", "30d")
    assert isinstance(offer, dict)
    assert set(offer) == {"pair_url", "code", "expires_at"}
    picture = loopsy.folder / "qr.png"
    said = loopsy.say("mobile", "pair", "--ttl", "30s", "--png", str(picture))
    assert "within 30s" in said
    assert "\x1b" not in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    assert "nothing is overwritten" in loopsy.complaint(
        "mobile", "pair", "--png", str(picture), exit_code=4
    )
    for words in (["--ttl", "5x"], ["--ttl", "9h"], ["--grant", "king"], ["--expires", "soon"]):
        loopsy.complaint("mobile", "pair", *words, exit_code=2)


def test_phones_that_are_not_there_are_exit_code_5(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "`loopsy mobile pair`" in loopsy.say("phone", "list")
    assert loopsy.json("phone", "list") == []
    loopsy.complaint("phone", "revoke", "nobody", exit_code=5)
