"""Context from the command line: set, get, list, delete, watch and broadcast."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from loopsy_core.errors import BadRequest
from loopsy_core.home import parse_duration
from loopsy_core.wire import (
    MAX_CONTEXT_TTL,
    ContextDeleted,
    DeleteContext,
    GetContext,
    ListContext,
    ListPeers,
    SetContext,
)

from .ask import ask
from .options import Json, Option, Peer
from .show import age, clean, fit, flush, print_json, say, span, table

if TYPE_CHECKING:
    from loopsy_core.client import ContextChange
    from loopsy_core.wire import ContextInfo

__all__ = ["broadcast", "delete", "get", "list_entries", "set_value", "watch"]

STANDARD_INPUT: Final = "-"

Value = Annotated[str, Parameter(allow_leading_hyphen=True)]
Ttl = Annotated[str | None, Option("How long it stays: 30s, 5m, 2h, 7d; for ever if not.", "TIME")]
Prefix = Annotated[str, Option("Only keys that begin so.")]
IfRevision = Annotated[
    int | None, Option("Only if it has this revision now; 0: only if it is not there.", "NUMBER")
]


def set_value(
    key: str,
    value: Value,
    /,
    *,
    peer: Peer = None,
    ttl: Ttl = None,
    if_revision: IfRevision = None,
    json: Json = False,
) -> None:
    """Set KEY to VALUE, which may be - for what comes on standard input.

    It is on disk when the command returns. A key has up to 512 characters, a value up to 1 MiB.
    """
    data = sys.stdin.buffer.read() if value == STANDARD_INPUT else value.encode()
    lifetime = None if ttl is None else parse_duration(ttl, MAX_CONTEXT_TTL)
    info = ask(SetContext(key=key, ttl=lifetime, if_revision=if_revision), to=peer, data=data)
    if json:
        print_json(info)
    else:
        say(f"{clean(info.key)} is set, revision {info.revision}")


def get(key: str, /, *, peer: Peer = None, json: Json = False) -> None:
    """Print the value of KEY, as it is."""
    pieces: list[bytes] = []
    info = ask(GetContext(key=key), to=peer, on_data=pieces.append)
    value = b"".join(pieces)
    if json:
        print_json({**msgspec.structs.asdict(info), "value": value.decode()})
        return
    flush()
    sys.stdout.buffer.write(value)
    if sys.stdout.isatty() and not value.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")


def list_entries(*, prefix: Prefix = "", peer: Peer = None, json: Json = False) -> None:
    """List the keys, in order."""
    entries: list[ContextInfo] = []
    after: str | None = ""
    while after is not None:
        page = ask(ListContext(prefix=prefix, after=after), to=peer)
        entries += page.entries
        after = page.next
    if json:
        print_json(entries)
    elif not entries:
        say(f"no key begins with {clean(prefix)}" if prefix else "there is no key yet")
    else:
        table(("KEY", "SIZE", "REVISION", "SET", "BY", "EXPIRES"), map(_row, entries))


def delete(
    key: str, /, *, peer: Peer = None, if_revision: IfRevision = None, json: Json = False
) -> None:
    """Delete KEY."""
    info = ask(DeleteContext(key=key, if_revision=if_revision), to=peer)
    if json:
        print_json(info)
    else:
        say(f"{clean(info.key)} is deleted")


def watch(*, prefix: Prefix = "", peer: Peer = None, json: Json = False) -> None:
    """Print keys and their values, and then each change as it comes.

    With --json each is a document of its own, on one line. Ctrl-C ends it.
    """
    from .looping import run

    run(lambda: _watch(prefix, peer, as_json=json))


def broadcast(key: str, value: Value, /, *, ttl: Ttl = None, json: Json = False) -> int:
    """Set KEY to VALUE here and on every paired machine that is reached.

    Says of each whether it has it; the exit code is 1 when one that should have it has not.
    """
    from .looping import run

    if value == STANDARD_INPUT:
        value = sys.stdin.read()
    lifetime = None if ttl is None else parse_duration(ttl, MAX_CONTEXT_TTL)
    results = run(lambda: _broadcast(key, value, lifetime))
    if json:
        print_json([{"machine": name, "error": error} for name, error in results.items()])
    else:
        for name, error in results.items():
            say(f"{clean(name)}: {'it has it' if error is None else clean(error)}")
    return 1 if any(results.values()) else 0


async def _watch(prefix: str, peer: str | None, *, as_json: bool) -> None:
    from loopsy_core.client import open_client

    from .watching import watch_on

    def tell(change: ContextChange) -> None:
        _print_change(change, as_json=as_json)
        flush()

    async with open_client() as here:
        await watch_on(here if peer is None else here.peer(peer), prefix, tell)


def _print_change(change: ContextChange, *, as_json: bool) -> None:
    from loopsy_core.client import ContextEntry

    if isinstance(change, ContextEntry):
        if as_json:
            info = msgspec.structs.asdict(change.info)
            print_json({"type": "set", **info, "value": change.value})
        else:
            say(f"{clean(change.key)} = {fit(clean(change.value), 200)}")
    elif as_json:
        print_json(change)
    elif isinstance(change, ContextDeleted):
        say(f"{clean(change.key)} is {change.why}")


async def _broadcast(key: str, value: str, ttl: float | None) -> dict[str, str | None]:
    """Return what went wrong, by machine; None where nothing did."""
    import trio

    from loopsy_core.client import Client, open_client
    from loopsy_core.errors import LoopsyError

    results: dict[str, str | None] = {}

    async def put(name: str, client: Client) -> None:
        try:
            await client.context.set(key, value, ttl=ttl)
        except BadRequest:
            raise  # it is wrong everywhere
        except LoopsyError as error:
            results[name] = str(error)
        else:
            results[name] = None

    async with open_client() as here, trio.open_nursery() as nursery:
        status = await here.status()
        peers = (await here.ask(ListPeers())).peers
        results.update(dict.fromkeys([status.name, *(peer.name for peer in peers)]))
        nursery.start_soon(put, status.name, here)
        for peer in peers:
            nursery.start_soon(put, peer.name, here.peer(peer.id))
    return results


def _row(info: ContextInfo) -> tuple[str, ...]:
    expires = "never" if info.expires_at is None else span(info.expires_at - time.time())
    return (
        info.key,
        str(info.size),
        str(info.revision),
        age(info.updated_at),
        info.updated_by,
        expires,
    )
