"""`loopsy status`: how the daemon is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from loopsy_core.home import Home
from loopsy_core.wire import HostHello, NodeStatus

from .ask import ask
from .options import Json
from .show import clean, dim, print_json, say, span

if TYPE_CHECKING:
    from loopsy_core.wire import HostInfo, RelayStatus, Status

__all__ = ["host_line", "relay_line", "status"]


def status(*, json: Json = False) -> None:
    """Show how the daemon is: since when it runs, its relay, how much there is in it.

    Without a daemon the exit code is 3.
    """
    home = Home.find()
    found = ask(NodeStatus(), home)
    root = os.fsencode(home.root).decode("utf-8", "replace")
    if json:
        print_json({**msgspec.structs.asdict(found), "home": root})
        return
    say(f"{clean(found.name)} runs Loopsy {clean(found.version)}, up {span(found.uptime)}")
    say()
    say(f"sessions  {_count(found.sessions, 'running')}")
    if found.host is not None:
        say(f"host      {host_line(found.host, found.version)}")
    say(f"phones    {_count(found.phones, 'paired')}")
    say(f"machines  {_count(found.peers, 'paired')}")
    listens = "to this machine only" if found.port is None else f"on port {found.port}"
    say(f"listens   {listens}")
    say(f"http      {_http_line(found)}")
    say(f"relay     {relay_line(found.relay)}")
    if found.sharing_problem is not None:
        say(f"shared    nothing: {clean(found.sharing_problem)}")
    say(f"home      {clean(root)}")
    say(dim(f"node id   {clean(found.node_id)}"))


def relay_line(relay: RelayStatus) -> str:
    """Return in a few words how the node stands with its relay."""
    if relay.url is None:
        return "none; `loopsy up` or `loopsy relay configure URL` sets one"
    if relay.connected:
        return f"{clean(relay.url)}, connected"
    problem = clean(relay.problem) if relay.problem else "it is being connected"
    return f"{clean(relay.url)}, not connected: {problem}"


def host_line(host: HostInfo, version: str) -> str:
    """Return in a few words which process holds the sessions, and what to know of it."""
    parts = [] if host.pid is None else [f"process {host.pid}"]
    if host.memory is not None:
        parts.append(f"{host.memory / 1e6:.0f} MB")
    if host.version != version:
        parts.append(f"Loopsy {clean(host.version)}" if host.version else "an older Loopsy")
    line = ", ".join(parts)
    if host.protocol > HostHello.protocol:
        return f"{line}: too new for this daemon, which leaves it and its sessions alone"
    if host.version != version:
        return f"{line}: it holds all sessions until none runs, and then makes way"
    return line


def _http_line(status: Status) -> str:
    if status.http_port is not None:
        return f"http://127.0.0.1:{status.http_port}/api/v1, for this machine only"
    return f"none: {clean(status.http_problem or 'it does not listen')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number else "none"
