"""`loopsy doctor`: looks at everything that can be wrong, and says what mends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from loopsy_core.errors import LoopsyError, NoDaemon
from loopsy_core.home import Home, load_config, load_identity
from loopsy_core.wire import (
    HostHello,
    HostInfo,
    ListKinds,
    ListPeers,
    NodeStatus,
    PeerInfo,
    RelayStatus,
    Status,
)

from .ask import ask
from .finding import Finding, Verdict
from .mcp_findings import look_at_agents
from .options import Json
from .show import clean, colourful, print_json, say
from .status import host_line

__all__ = ["doctor", "look_at_peer"]

RELAY_PATIENCE: Final = 5.0
"""Seconds that the relay may take to answer."""
CLOCKS_APART: Final = 120.0
"""Seconds between this clock and the relay's from which on something is wrong with one of them."""


def doctor(*, json: Json = False) -> int:
    """Look at settings, permissions, MCP, daemon, session host, relay, machines, agents and clock.

    Each gets a verdict, and what is wrong a word on how to mend it. The exit code is 1 when
    anything is wrong.
    """
    findings = list(_look(Home.find()))
    if json:
        print_json([{**each._asdict(), "verdict": each.verdict.value} for each in findings])
    else:
        for each in findings:
            say(f"{_mark(each.verdict)} {each.what:<9} {clean(each.said)}")
            if each.mend is not None:
                say(f"            {clean(each.mend)}")
    return 1 if any(each.verdict is Verdict.BAD for each in findings) else 0


def _mark(verdict: Verdict) -> str:
    text, colour = {
        Verdict.GOOD: ("ok  ", "32"),
        Verdict.NOTE: ("note", "33"),
        Verdict.BAD: ("BAD ", "31"),
    }[verdict]
    return f"\x1b[{colour}m{text}\x1b[0m" if colourful() else text


def _look(home: Home) -> Iterator[Finding]:
    yield _tried("home", home.check, f"{home.root}, closed to other users")
    yield _tried("config", lambda: load_config(home.config), "config.yaml is well-formed")
    yield _tried("key", lambda: load_identity(home), "this machine has its key")
    yield from look_at_agents()
    try:
        status = ask(NodeStatus(), home)
    except NoDaemon:
        yield Finding("daemon", Verdict.BAD, "it does not run", "loopsy start")
        return
    except LoopsyError as error:
        yield Finding("daemon", Verdict.BAD, str(error), "loopsy restart")
        return
    yield Finding("daemon", Verdict.GOOD, f"version {status.version} runs as {status.name}")
    if status.host is not None:
        yield _host(status.host, status.version)
    yield _http(status)
    if status.sharing_problem is not None:
        yield Finding(
            "shared", Verdict.BAD,
            f"there is no context, and no messages and tasks: {status.sharing_problem}",
            f"move {home.shared_database} aside or restore a backup of it; loopsy restart",
        )  # fmt: skip
    yield from _relay(status.relay)
    yield _network(home, status)
    for peer in ask(ListPeers(), home).peers:
        yield from look_at_peer(peer)
    yield _agents(home)


def _tried(what: str, look: Callable[[], object], good: str) -> Finding:
    try:
        look()
    except LoopsyError as error:
        return Finding(what, Verdict.BAD, str(error))
    return Finding(what, Verdict.GOOD, good)


def _http(status: Status) -> Finding:
    if status.http_port is not None:
        return Finding("http", Verdict.GOOD, f"scripts reach it on port {status.http_port}")
    said = status.http_problem or "it does not listen"
    return Finding("http", Verdict.NOTE, f"scripts cannot reach it: {said}", "loopsy restart")


def _host(host: HostInfo, version: str) -> Finding:
    said = f"the sessions are held by {host_line(host, version)}"
    if host.protocol > HostHello.protocol:
        return Finding(
            "host", Verdict.BAD, said, f"start the daemon with Loopsy {host.version} or newer"
        )
    if host.version != version:
        return Finding(
            "host", Verdict.NOTE, said, "end what runs there, or loopsy stop --sessions ends all"
        )
    return Finding("host", Verdict.GOOD, said)


def _relay(relay: RelayStatus) -> Iterator[Finding]:
    if relay.url is None:
        yield Finding(
            "relay", Verdict.NOTE, "none is set, so phones cannot reach this machine",
            "loopsy up, or loopsy relay configure URL",
        )  # fmt: skip
        return
    import email.utils
    import urllib.request

    began = time.perf_counter()
    try:
        with urllib.request.urlopen(f"{relay.url}/health", timeout=RELAY_PATIENCE) as response:
            told = response.headers.get("Date")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        yield Finding(
            "relay", Verdict.BAD, f"{relay.url} does not answer: {reason}",
            "see that it runs there, and that this machine has a network",
        )  # fmt: skip
        return
    took = (time.perf_counter() - began) * 1000
    if relay.connected:
        yield Finding(
            "relay", Verdict.GOOD, f"{relay.url} is connected, and answers in {took:.0f} ms"
        )
    else:
        yield Finding(
            "relay", Verdict.BAD,
            f"{relay.url} answers, but the daemon is not connected: {relay.problem or 'not yet'}",
            f"loopsy relay configure {relay.url}",
        )  # fmt: skip
    date = email.utils.parsedate_to_datetime(told) if told else None
    if date is not None and abs(apart := date.timestamp() - time.time()) > CLOCKS_APART:
        yield Finding(
            "clock", Verdict.BAD, f"it is {abs(apart):.0f} s off the relay's",
            "set this machine's clock, or the relay's: codes and invitations end by it",
        )  # fmt: skip
    elif date is not None:
        yield Finding("clock", Verdict.GOOD, "it agrees with the relay's")


def _network(home: Home, status: Status) -> Finding:
    from loopsy_core.home import load_config

    discovers = load_config(home.config).discovery.enabled
    found = "found by mDNS" if discovers else "mDNS is off in config.yaml"
    if status.port is None:
        return Finding(
            "network", Verdict.NOTE,
            f"no machine can call this one; it calls them ({found})",
            "loopsy restart --lan lets paired machines in",
        )  # fmt: skip
    return Finding(
        "network", Verdict.GOOD, f"paired machines may call on port {status.port} ({found})"
    )


def look_at_peer(peer: PeerInfo) -> Iterator[Finding]:
    """Say whether and how a machine is reached, or why it is not."""
    if peer.way is None:
        tried = f" (known at {', '.join(peer.addresses)})" if peer.addresses else ""
        yield Finding(
            "machine", Verdict.BAD,
            f"{peer.name} is not reached: {peer.problem or 'nothing answers'}{tried}", peer.mend,
        )  # fmt: skip
        return
    how = "directly" if peer.way == "lan" else "through the relay"
    trip = "" if peer.round_trip is None else f", {peer.round_trip * 1000:.1f} ms away"
    yield Finding("machine", Verdict.GOOD, f"{peer.name} is reached {how}{trip}")
    if peer.clock_ahead is not None and abs(peer.clock_ahead) > CLOCKS_APART:
        which = "ahead of" if peer.clock_ahead > 0 else "behind"
        yield Finding(
            "clock", Verdict.BAD,
            f"that of {peer.name} is {abs(peer.clock_ahead):.0f} s {which} this machine's",
            "set the one that is wrong: what has a time limit ends by it",
        )  # fmt: skip


def _agents(home: Home) -> Finding:
    kinds = ask(ListKinds(), home).kinds
    agents = [kind.title for kind in kinds if kind.installed and kind.name != "shell"]
    if agents:
        return Finding("agents", Verdict.GOOD, f"on the daemon's PATH: {', '.join(agents)}")
    return Finding(
        "agents", Verdict.NOTE, "none is on the daemon's PATH",
        "install one, or restart the daemon from a shell that finds it",
    )  # fmt: skip
