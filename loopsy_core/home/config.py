"""The settings of a node: frozen, checked once, and every one of them has a default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from .config_file import ConfigFile, boolean, lined, list_of, number, optional, text
from .identity import is_name
from .units import parse_duration, parse_size

if TYPE_CHECKING:
    from .config_file import Section

__all__ = [
    "AGENT_TOOLS",
    "Config",
    "ContextConfig",
    "DiscoveryConfig",
    "ExecutionConfig",
    "McpConfig",
    "RateLimitsConfig",
    "RelayConfig",
    "ServerConfig",
    "TransferConfig",
    "default_config_text",
    "load_config",
]

_RELAY_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#@]*)?")
_HOST: Final = re.compile(r"[^\s/@#?]+")

AGENT_TOOLS: Final = (
    *("peers", "execute", "session", "files", "context", "messages", "tasks"),
    *("list_peers", "peer_status", "transfer_file", "list_remote_files"),
    *("session_start", "session_list", "session_read", "session_write"),
    *("session_wait", "session_stop", "session_remove"),
    *("context_set", "context_get", "context_list", "context_delete", "broadcast_context"),
    *("send_message", "check_inbox", "check_ack", "ack_message"),
    *("task_add", "task_claim", "task_complete", "task_list"),
)
"""What `mcp.deny` may name: groups of tools, and tools; the MCP server's tests hold it to them."""


def _home_folders(*written: str) -> tuple[Path, ...]:
    # When a Config is made and not when this is imported: HOME may change in between (tests do).
    return tuple(Path(path).expanduser() for path in written)


@attrs.frozen
class ServerConfig:
    """Where the local HTTP door is (port 0: any free one), and this node's name, if it has one.

    The machine link takes the next port.
    """

    host: str = "127.0.0.1"
    port: int = 19532
    name: str | None = None


@attrs.frozen
class ExecutionConfig:
    """Which programs are refused, how many jobs run at once, and for how many seconds at most.

    With an `allowlist` all others are refused too.
    """

    denylist: tuple[str, ...] = ("rm", "rmdir", "format", "mkfs", "dd", "shutdown", "reboot")
    allowlist: tuple[str, ...] | None = None
    max_concurrent: int = 10
    default_timeout: float = 300.0


@attrs.frozen
class TransferConfig:
    """Which folders files may come from and go to, all absolute, and how large they may be.

    A denied path inside of an allowed one is denied. `max_file_size` is in bytes, None for any.
    """

    allowed_paths: tuple[Path, ...] = attrs.field(factory=lambda: _home_folders("~"))
    denied_paths: tuple[Path, ...] = attrs.field(
        factory=lambda: _home_folders("~/.ssh", "~/.gnupg")
    )
    max_file_size: int | None = None


@attrs.frozen
class RateLimitsConfig:
    """Requests a minute that each contact may make; the local user has no limit."""

    execute: int = 30
    transfer: int = 10
    context: int = 60


@attrs.frozen
class ContextConfig:
    """How much context there may be, messages and tasks included: in all, and of one contact.

    Sizes are bytes of keys and values. What a contact has written last counts as its.
    """

    max_size: int = 1 << 30
    max_entries: int = 1_000_000
    contact_max_size: int = 256 << 20
    contact_max_entries: int = 250_000


@attrs.frozen
class DiscoveryConfig:
    """Whether to look for peers on the LAN, and peers to try besides (`host` or `host:port`)."""

    enabled: bool = True
    manual_peers: tuple[str, ...] = ()


@attrs.frozen
class RelayConfig:
    """The relay that phones come through (http or https; no slash at the end), or None."""

    url: str | None = None


@attrs.frozen
class McpConfig:
    """What AI agents may not do by the MCP server, which may otherwise do all that its user may.

    `deny` has tools and groups of tools, each with the number of its line; agents may work on
    the machines in `peers` only, if that is not None, and on this one.
    """

    deny: Mapping[str, int] = attrs.field(factory=dict)
    peers: tuple[str, ...] | None = None
    peers_line: int = 0


@attrs.frozen
class Config:
    """All settings; `Config()` is what a node without a config file runs with."""

    server: ServerConfig = attrs.field(factory=ServerConfig)
    execution: ExecutionConfig = attrs.field(factory=ExecutionConfig)
    transfer: TransferConfig = attrs.field(factory=TransferConfig)
    rate_limits: RateLimitsConfig = attrs.field(factory=RateLimitsConfig)
    context: ContextConfig = attrs.field(factory=ContextConfig)
    discovery: DiscoveryConfig = attrs.field(factory=DiscoveryConfig)
    relay: RelayConfig = attrs.field(factory=RelayConfig)
    mcp: McpConfig = attrs.field(factory=McpConfig)


def load_config(path: Path) -> Config:
    """Read the settings at `path`; what is not set there, or no file at all, means the default.

    Raises `Misconfigured` for whatever is wrong with the file, naming it, the line and the key:
    an unreadable file, one over 1 MiB, bad YAML, an unknown or repeated key, a wrong value.
    """
    file = ConfigFile(path)
    config = Config(
        server=_server(file.section("server")),
        execution=_execution(file.section("execution")),
        transfer=_transfer(file.section("transfer")),
        rate_limits=_rate_limits(file.section("rateLimits")),
        context=_context(file.section("context")),
        discovery=_discovery(file.section("discovery")),
        relay=_relay(file.section("relay")),
        mcp=_mcp(file.section("mcp")),
    )
    file.finish()
    return config


def default_config_text() -> str:
    """Return the file that `loopsy init` writes: every setting at its default, explained."""
    return _DEFAULT_TEXT


def _server(section: Section) -> ServerConfig:
    default = ServerConfig()
    server = ServerConfig(
        host=section.take(
            "host",
            text(
                "an address of this machine alone, such as 127.0.0.1: other machines come in by"
                " `loopsy pair` and `loopsy start --lan`",
                _loopback,
            ),
            default.host,
        ),
        port=section.take("port", number(0, 65535), default.port),
        name=section.take(
            "name",
            optional(text("1 to 63 letters, digits and . _ - with a letter or digit first", _name)),
            default.name,
        ),
    )
    section.finish()
    return server


def _execution(section: Section) -> ExecutionConfig:
    default = ExecutionConfig()
    programs = list_of(text("a program's name", str))
    execution = ExecutionConfig(
        denylist=section.take("denylist", programs, default.denylist),
        allowlist=section.take("allowlist", optional(programs), default.allowlist),
        max_concurrent=section.take("maxConcurrent", number(1, 10_000), default.max_concurrent),
        default_timeout=section.take(
            "defaultTimeout",
            text("a duration such as 30s, 5m, 2h or 7d", parse_duration),
            default.default_timeout,
        ),
    )
    section.finish()
    return execution


def _transfer(section: Section) -> TransferConfig:
    default = TransferConfig()
    transfer = TransferConfig(
        allowed_paths=section.take("allowedPaths", list_of(_folder), default.allowed_paths),
        denied_paths=section.take("deniedPaths", list_of(_folder), default.denied_paths),
        max_file_size=section.take(
            "maxFileSize",
            optional(text("a size such as 64K, 500M or 2G", parse_size)),
            default.max_file_size,
        ),
    )
    section.finish()
    return transfer


def _rate_limits(section: Section) -> RateLimitsConfig:
    default = RateLimitsConfig()
    a_minute = number(1, 1_000_000)
    limits = RateLimitsConfig(
        execute=section.take("execute", a_minute, default.execute),
        transfer=section.take("transfer", a_minute, default.transfer),
        context=section.take("context", a_minute, default.context),
    )
    section.finish()
    return limits


def _context(section: Section) -> ContextConfig:
    default = ContextConfig()
    size = text("a size such as 64K, 500M or 2G", parse_size)
    entries = number(1, 1_000_000_000)
    context = ContextConfig(
        max_size=section.take("maxSize", size, default.max_size),
        max_entries=section.take("maxEntries", entries, default.max_entries),
        contact_max_size=section.take("contactMaxSize", size, default.contact_max_size),
        contact_max_entries=section.take("contactMaxEntries", entries, default.contact_max_entries),
    )
    section.finish()
    return context


def _discovery(section: Section) -> DiscoveryConfig:
    default = DiscoveryConfig()
    discovery = DiscoveryConfig(
        enabled=section.take("enabled", boolean, default.enabled),
        manual_peers=section.take(
            "manualPeers", list_of(text("host or host:port", _host)), default.manual_peers
        ),
    )
    section.finish()
    return discovery


def _relay(section: Section) -> RelayConfig:
    relay = RelayConfig(
        url=section.take(
            "url",
            optional(text("an address such as https://relay.example.org", _relay_url)),
            RelayConfig().url,
        )
    )
    section.finish()
    return relay


def _loopback(written: str) -> str | None:
    if written in ("127.0.0.1", "localhost"):
        return written
    import ipaddress  # here, because nearly nobody needs it

    try:
        return written if ipaddress.ip_address(written).is_loopback else None
    except ValueError:
        return None


def _mcp(section: Section) -> McpConfig:
    default = McpConfig()
    tools = list_of(lined(text("a tool or group such as execute, files or session_write", _tool)))
    machines = optional(list_of(text("a machine's name", _name)))
    deny: tuple[tuple[str, int], ...] = section.take("deny", tools, ())
    peers, line = section.take("peers", lined(machines), (default.peers, default.peers_line))
    mcp = McpConfig(
        deny=dict(deny),
        peers=peers,
        peers_line=default.peers_line if peers is None else line,
    )
    section.finish()
    return mcp


def _tool(written: str) -> str | None:
    return written if written.removeprefix("loopsy_") in AGENT_TOOLS else None


def _host(written: str) -> str | None:
    return written if _HOST.fullmatch(written) else None


def _name(written: str) -> str | None:
    return written if is_name(written) else None


def _relay_url(written: str) -> str | None:
    return written.rstrip("/") if _RELAY_URL.fullmatch(written) else None


def _absolute(written: str) -> Path | None:
    try:
        # Here, so that nobody who later compares with a denied path can forget to.
        path = Path(written).expanduser()
    except RuntimeError:  # no HOME, or ~somebody who does not exist
        return None
    return path if path.is_absolute() else None


_folder: Final = text("a path that begins with / or ~", _absolute, tilde=True)

_DEFAULT_TEXT: Final = """\
# The settings of this node. Each stands at its default; after a change: loopsy restart
# Durations are written 30s, 5m, 2h or 7d, sizes 64K, 500M or 2G.

server:
  host: 127.0.0.1       # where the local HTTP API listens; only ever on this machine itself
  port: 19532           # and its port; the machine link (loopsy start --lan) takes the next
  name: null            # what others call this machine; null for its host name

execution:
  # Catches accidents, not attackers: what a contact may do is decided by its grants.
  denylist: [rm, rmdir, format, mkfs, dd, shutdown, reboot]
  allowlist: null       # null for all others; else the only programs that jobs may run: [make, git]
  maxConcurrent: 10     # jobs at once: so many of yours, and so many of all contacts
  defaultTimeout: 5m    # for a job that does not ask for another

transfer:
  allowedPaths: [~]     # the folders that files may come from and go to
  # Denied inside of those, as the home of Loopsy always is.
  deniedPaths: [~/.ssh, ~/.gnupg]
  maxFileSize: null     # null for any size

rateLimits:             # requests a minute, for each contact; you yourself have no limit
  execute: 30
  transfer: 10
  context: 60

context:                # how much of it there may be, with messages and tasks
  maxSize: 1G           # bytes of all keys and values
  maxEntries: 1000000
  contactMaxSize: 256M  # of these, what one phone or machine has written
  contactMaxEntries: 250000

discovery:
  enabled: true         # find machines on the local network
  manualPeers: []       # machines to try besides: [kai.local, "192.168.1.7:19533"]

relay:
  url: null             # where your phones come through: loopsy relay configure URL

mcp:                    # AI agents may do what you may, less this
  deny: []              # tools or groups of them: [execute, files, session_write]
  peers: null           # null for all machines; else the only ones: [kai]
"""
