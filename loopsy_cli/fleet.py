"""Several nodes on one machine, paired with each other: to try everything without a second one."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from loopsy_core.errors import BadRequest, Busy, Gone, NoDaemon
from loopsy_core.home import Home, create_private, load_config, load_identity, prepare_home
from loopsy_core.wire import AddPeer, ListPeers, NodeStatus

from .ask import ask, node_pid
from .daemon import end_sessions, runs, stop_node
from .options import Json, Option
from .show import clean, print_json, say, table

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.wire import PeerInfo, Status

__all__ = ["list_fleet", "start", "stop"]

MOST: Final = 20
FIRST_PORT: Final = 19600
"""Each node takes two from here on, where they are free."""
LAST_PORT: Final = 29_600
MEETING: Final = 15.0
"""Seconds in which they must have reached each other."""
_GLANCE: Final = 0.05
_CONFIG: Final = """\
# A node of a fleet: several on one machine, paired with each other. See `loopsy init` for
# all settings; this one has no use for the network.
server: {{name: {name}, port: {port}}}
discovery: {{enabled: false}}
"""


class Member(NamedTuple):
    """One node of the fleet."""

    name: str
    home: Home

    @property
    def address(self) -> str:
        """Where the others call it."""
        return f"127.0.0.1:{load_config(self.home.config).server.port + 1}"


def start(
    *,
    count: Annotated[int, Option("How many there are to be.", "NUMBER")] = 3,
    json: Json = False,
) -> None:
    """Start several nodes on this machine, each with a home, ports and a name of its own.

    They lie in the folder fleet of this home, are paired with each other, and listen to this
    machine only. What runs already is left alone. loopsy --home .../fleet/fleet-1 speaks for one.
    """
    from loopsy_core.client import start_daemon

    from .looping import run

    if not 1 <= count <= MOST:
        raise BadRequest(f"a fleet has 1 to {MOST} nodes, not {count}")
    main = Home.find()
    main.create()
    folder = _folder(main)
    folder.mkdir(mode=0o700, exist_ok=True)
    members = [_prepare(folder, f"fleet-{number}") for number in range(1, count + 1)]
    for member in members:
        if not runs(member.home):
            home = member.home
            run(lambda home=home: start_daemon(home, loopback=True))  # type: ignore[misc]
    _pair(members)
    _wait_met(members)
    _show(members, as_json=json)


def list_fleet(*, json: Json = False) -> None:
    """List the nodes of the fleet: whether each runs, where, and its sessions."""
    _show(_members(), as_json=json)


def stop(*, json: Json = False) -> None:
    """Stop all nodes of the fleet and end their sessions; what they keep on disk stays."""
    stopped: list[str] = []
    for member in _members():
        try:
            stop_node(member.home)
        except NoDaemon:
            pass
        else:
            stopped.append(member.name)
        end_sessions(member.home)
    if json:
        print_json({"stopped": stopped})
    elif stopped:
        say(f"{', '.join(stopped)} {'has' if len(stopped) == 1 else 'have'} stopped")
    else:
        say("no node of the fleet runs")


def _folder(main: Home) -> Path:
    return main.root / "fleet"


def _members() -> list[Member]:
    folder = _folder(Home.find())
    found = [path for path in folder.glob("fleet-*") if path.name[6:].isdecimal()]
    return [Member(path.name, Home(path)) for path in sorted(found, key=_number)]


def _number(path: Path) -> int:
    return int(path.name[6:])


def _prepare(folder: Path, name: str) -> Member:
    home = Home(folder / name)
    if not home.config.exists():
        home.create()
        config = _CONFIG.format(name=name, port=_free_ports(folder))
        create_private(home.config, config.encode())
    prepare_home(home)
    return Member(name, home)


def _free_ports(folder: Path) -> int:
    """Return the first of two ports that nobody listens on and no other node was given."""
    given = {load_config(path).server.port for path in folder.glob("fleet-*/config.yaml")}
    for port in range(FIRST_PORT, LAST_PORT, 2):
        if port not in given and _is_free(port) and _is_free(port + 1):
            return port
    raise Busy("there are no free ports for another node")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _pair(members: list[Member]) -> None:
    """Have each know the keys of the others; pairing anew would cut those who have met."""
    keys = {member.name: load_identity(member.home).id for member in members}
    for member in members:
        known = {peer.id for peer in _peers(member)}
        for other in members:
            if other is not member and keys[other.name] not in known:
                ask(
                    AddPeer(address=other.address, key=keys[other.name], name=other.name),
                    member.home,
                )


def _wait_met(members: list[Member]) -> None:
    deadline = time.monotonic() + MEETING
    for member in members:
        names = {other.name for other in members} - {member.name}
        while apart := [p.name for p in _peers(member) if p.name in names and p.way is None]:
            if time.monotonic() > deadline:
                raise Gone(
                    f"{member.name} does not reach {', '.join(apart)}; {member.home.node_log}"
                )
            time.sleep(_GLANCE)


def _peers(member: Member) -> list[PeerInfo]:
    return ask(ListPeers(), member.home).peers


def _show(members: list[Member], *, as_json: bool) -> None:
    found = [(member, _status(member)) for member in members]
    if as_json:
        print_json([_document(member, status) for member, status in found])
    elif not found:
        say("there is no fleet; `loopsy fleet start` starts one")
    else:
        table(
            ("NAME", "PORT", "PROCESS", "SESSIONS", "PEERS", "HOME"),
            [_row(member, status) for member, status in found],
            faint=[status is None for _, status in found],
        )


def _status(member: Member) -> Status | None:
    try:
        return ask(NodeStatus(), member.home)
    except NoDaemon:
        return None


def _document(member: Member, status: Status | None) -> dict[str, object]:
    return {
        "name": member.name,
        "home": str(member.home.root),
        "node_id": load_identity(member.home).id,
        "running": status is not None,
        "port": load_config(member.home.config).server.port,
        "pid": None if status is None else node_pid(member.home),
        "sessions": 0 if status is None else status.sessions,
        "peers": 0 if status is None else status.peers,
    }


def _row(member: Member, status: Status | None) -> tuple[str, ...]:
    document = _document(member, status)
    pid = document["pid"] or ("?" if status else "stopped")
    return (
        member.name,
        str(document["port"]),
        str(pid),
        str(document["sessions"]),
        str(document["peers"]),
        clean(str(member.home.root)),
    )
