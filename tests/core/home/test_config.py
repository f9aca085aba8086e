"""Settings: defaults, every key, and errors that say where and what."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.errors import Misconfigured
from loopsy_core.home import Config, ContextConfig, default_config_text, load_config

if TYPE_CHECKING:
    from collections.abc import Callable

_ALL = """\
server: {host: "::1", port: 0, name: kai.home}
execution:
  denylist: [no, 010, "null"]
  allowlist: [make, git]
  maxConcurrent: 3
  defaultTimeout: 1.5h
transfer: {allowedPaths: [~, /srv], deniedPaths: [], maxFileSize: 2G}
rateLimits: {execute: 1, transfer: 2, context: 3}
context: {maxSize: 5M, maxEntries: 7, contactMaxSize: 64K, contactMaxEntries: 2}
discovery:
  enabled: off
  manualPeers: ["kai:19533", 10.0.0.7]
relay: {url: https://relay.example.org:8443/loopsy/}
mcp:
  deny: [execute,
    loopsy_session_write]
  peers: [kai]
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str | bytes], Config]:
    def load(content: str | bytes) -> Config:
        path = tmp_path / "config.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_config(path)

    return load


def test_the_file_that_init_writes_holds_the_defaults(
    load: Callable[[str | bytes], Config],
) -> None:
    assert load(default_config_text()) == Config()


def test_the_file_that_init_writes_names_every_setting(
    load: Callable[[str | bytes], Config],
) -> None:
    text = default_config_text()
    for line in _ALL.replace("{", "\n").replace(",", "\n").replace("}", "\n").splitlines():
        key, colon, _ = line.strip().partition(":")
        if colon and key.isalpha():
            assert f"{key}:" in text


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.yaml") == Config()


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "server:\nrelay: ~\n", "\ufeff{}"])
def test_an_empty_file_or_section_means_the_defaults(
    load: Callable[[str | bytes], Config], content: str
) -> None:
    assert load(content) == Config()


def test_every_setting_can_be_set(
    load: Callable[[str | bytes], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/kai")
    config = load(_ALL)
    assert (config.server.host, config.server.port, config.server.name) == ("::1", 0, "kai.home")
    assert config.execution.denylist == ("no", "010", "null")
    assert config.execution.allowlist == ("make", "git")
    assert config.execution.max_concurrent == 3
    assert config.execution.default_timeout == 5400.0
    assert config.transfer.allowed_paths == (Path("/home/kai"), Path("/srv"))
    assert config.transfer.denied_paths == ()
    assert config.transfer.max_file_size == 2 << 30
    assert config.context == ContextConfig(5 << 20, 7, 64 << 10, 2)
    limits = config.rate_limits
    assert (limits.execute, limits.transfer, limits.context) == (1, 2, 3)
    assert config.discovery.enabled is False
    assert config.discovery.manual_peers == ("kai:19533", "10.0.0.7")
    assert config.relay.url == "https://relay.example.org:8443/loopsy"
    assert config.mcp.deny == {"execute": 15, "loopsy_session_write": 16}
    assert (config.mcp.peers, config.mcp.peers_line) == (("kai",), 17)


def test_default_paths_follow_the_home_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/kai")
    assert Config().transfer.denied_paths == (Path("/home/kai/.ssh"), Path("/home/kai/.gnupg"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "server:\n  host: 127.0.0.1\n  port: abc",
            "line 3: server.port must be a number from 0 to 65535, not 'abc'",
        ),
        ("server: {port: 65536}", "line 1: server.port must be a number from 0 to 65535"),
        ("server: {port: }", "line 1: server.port must be a number from 0 to 65535, not nothing"),
        ("server: {port: [1]}", "from 0 to 65535, not a list"),
        ("server: {port: 1.5}", "not '1.5'"),
        ("server: {host: null}", "line 1: server.host must be an address of this machine alone, s"),
        ("server: {host: 0.0.0.0}", "come in by `loopsy pair` and `loopsy start --lan`, not '0.0"),
        ("server: {host: '::'}", "line 1: server.host must be an address of this machine alone"),
        ("server: {host: 192.0.2.1}", "line 1: server.host must be an address of this machine al"),
        ("server: {host: kai.local}", "line 1: server.host must be an address of this machine al"),
        ("server: {name: a/b}", "with a letter or digit first, or null, not 'a/b'"),
        ("server: {prot: 1}", "line 1: there is no setting server.prot; did you mean server.port?"),
        ("sever: {}", "line 1: there is no setting sever; did you mean server?"),
        ("zzz: {}", "no setting zzz; known here are server, execution, transfer, rateLimits, con"),
        ("relay:\n  url: x\n  url: y", "line 3: relay.url is set twice, first in line 2"),
        ("relay: {}\nrelay: {}", "line 2: relay is set twice, first in line 1"),
        (
            "mcp:\n  deny:\n  - exec",
            "line 3: each item of mcp.deny must be a tool or group such as execute, files or",
        ),
        ("mcp: {peers: kai}", "line 1: mcp.peers must be a list such as [one, two], or null, not"),
        ("relay: {url: ftp://x}", "must be an address such as https://relay.example.org, or null"),
        ("relay: {url: 'https://user:secret@x'}", "relay.url must be an address"),
        (
            "execution: {defaultTimeout: 300}",
            "must be a duration such as 30s, 5m, 2h or 7d, not '3",
        ),
        ("execution: {maxConcurrent: 0}", "must be a number from 1 to 10000, not '0'"),
        ("execution: {denylist: rm}", "execution.denylist must be a list such as [one, two], not"),
        (
            "execution: {denylist: [rm,\n {a: b}]}",
            "line 2: each item of execution.denylist must be",
        ),
        ("execution: {allowlist: rm}", "execution.allowlist must be a list such as [one, two], "),
        ("execution: {denylist: [null]}", "each item of execution.denylist must be a program's na"),
        ("context: {maxEntries: 0}", "context.maxEntries must be a number from 1 to 1000000000"),
        ("context: {maxSize: null}", "context.maxSize must be a size such as 64K, 500M or 2G, not"),
        ("transfer: {maxFileSize: big}", "must be a size such as 64K, 500M or 2G, or null, not 'b"),
        ("transfer: {deniedPaths: [.ssh]}", "must be a path that begins with / or ~, not '.ssh'"),
        ("transfer: {deniedPaths: [~nobody-here]}", "must be a path that begins with / or ~"),
        ("discovery: {enabled: 1}", "discovery.enabled must be true or false, not '1'"),
        ("- server", "line 1: the file must hold keys such as `name: value`, not a list"),
        ("hello", "line 1: the file must hold keys such as `name: value`, not 'hello'"),
        ("server: 8080", "server must hold keys such as `name: value`, not '8080'"),
        ("? [a]\n: b", "line 1: a key must be a word, not a list"),
        ("server:\n\tport: 1", "line 2: a tab cannot indent in YAML: use spaces"),
        ("server: {port: 1", "this is not YAML"),
        ("a: b: c", "line 1: this is not YAML"),
        ("--- {}\n--- {}", "line 2: this is not YAML"),
        ("server: *nowhere", "line 1: this is not YAML"),
        ("server:\n  name: \x1b[31m", "line 2: there is a control character here"),
        ('server: {name: "\\e[31m"}', "server.name must be 1 to 63 letters"),
        ('server: {name: "\\UFFFFFFFF"}', "is not YAML"),
        ("[" * 50_000, "is nested too deeply"),
        (b"server:\n  name: k\xe4i", "line 2: this is not UTF-8"),
        ("server: {}".encode("utf-16"), "line 1: this is not UTF-8"),
        (b"#" * ((1 << 20) + 1), "is larger than 1024 KiB"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(
    load: Callable[[str | bytes], Config], content: str | bytes, message: str
) -> None:
    with pytest.raises(Misconfigured) as error:
        load(content)
    assert "config.yaml" in error.value.message
    assert message in error.value.message
    assert error.value.message.isprintable()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot read"):
        load_config(tmp_path)


def test_an_alias_bomb_is_just_a_wrong_file(load: Callable[[str | bytes], Config]) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    began = time.monotonic()
    with pytest.raises(Misconfigured, match="no setting a0"):
        load("\n".join(lines))
    with pytest.raises(Misconfigured, match="each item of"):
        load("execution: {denylist: &a [*a]}")
    assert time.monotonic() - began < 10


def test_a_long_wrong_value_is_shortened(load: Callable[[str | bytes], Config]) -> None:
    with pytest.raises(Misconfigured) as error:
        load(f"server: {{port: {'9' * 5000}}}\n")
    assert len(error.value.message) < 400


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.binary(max_size=200), st.text("server: {}[]&*!|>%@`'\"\\\t\n-?#,~0x", max_size=80))
)
def test_any_bytes_are_settings_or_a_clear_error(
    load: Callable[[str | bytes], Config], content: str | bytes
) -> None:
    try:
        load(content)
    except Misconfigured as error:
        assert "config.yaml" in error.message  # noqa: PT017 - or it may be fine
