"""Messages from the command line: `message send`, `inbox`, `ack` and `outbox`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from loopsy_core.errors import NotFound
from loopsy_core.home import parse_duration
from loopsy_core.wire import (
    AckMessage,
    GetContext,
    Hello,
    ListContext,
    MessageEnvelope,
    MessageType,
    SendMessage,
    decode_message_envelope,
)

from .ask import ask
from .options import Json, Option
from .show import age, clean, fit, flush, print_json, say, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopsy_core.wire import ContextInfo

__all__ = ["ack", "inbox", "outbox", "send"]

STANDARD_INPUT: Final = "-"


def send(
    peer: str,
    body: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    type: Annotated[MessageType, Option("What it is.")] = "chat",  # noqa: A002 - the option's name
    reply_to: Annotated[str | None, Option("The message that it answers.", "ID")] = None,
    ttl: Annotated[str, Option("How long it may wait: 30s, 5m, 2h, 7d.", "TIME")] = "1h",
    json: Json = False,
) -> None:
    """Send a message to a machine; BODY may be - for what comes on standard input.

    It waits on this disk until that machine has it, and loopsy message outbox tells how far it is.
    """
    if body == STANDARD_INPUT:
        body = sys.stdin.read()
    request = SendMessage(to=peer, body=body, type=type, reply_to=reply_to, ttl=parse_duration(ttl))
    sent = ask(request)
    if json:
        print_json(sent)
    else:
        say(f"{clean(sent.id)} is on its way to {clean(sent.to)}")


def inbox(
    *,
    watch: Annotated[bool, Option("Go on, with each message as it comes.")] = False,
    json: Json = False,
) -> None:
    """Show the messages that have come and were not acknowledged; looking consumes nothing.

    With --watch and --json each is a document of its own, on one line.
    """
    if watch:
        from .looping import run

        run(lambda: _watch(as_json=json))
        return
    found = list(_read(f"inbox:{ask(Hello()).name}:"))
    if json:
        print_json(found)
    elif not found:
        say("no message waits")
    for envelope in [] if json else found:
        _print(envelope)


def ack(message: str, /, *, json: Json = False) -> None:
    """Say that a message was read: it leaves the inbox, and its sender is told."""
    ask(AckMessage(id=message))
    if json:
        print_json({"acknowledged": message})
    else:
        say(f"{clean(message)} is acknowledged")


def outbox(*, json: Json = False) -> None:
    """Show what was sent from here, and how far each message is."""
    found = list(_read("outbox:"))
    if json:
        print_json(found)
    elif not found:
        say("nothing was sent lately")
    else:
        table(("ID", "TO", "STATE", "SENT", "TEXT"), map(_row, found))


def _read(prefix: str) -> Iterator[MessageEnvelope]:
    entries: list[ContextInfo] = []
    after: str | None = ""
    while after is not None:
        page = ask(ListContext(prefix=prefix, after=after))
        entries += page.entries
        after = page.next
    for info in entries:
        pieces: list[bytes] = []
        try:
            ask(GetContext(key=info.key), on_data=pieces.append)
        except NotFound:
            continue  # gone in this moment
        envelope = decode_message_envelope(b"".join(pieces))
        if envelope is not None:
            yield envelope


async def _watch(*, as_json: bool) -> None:
    from loopsy_core.client import open_client

    async with open_client() as here, here.messages.watch() as messages:
        async for envelope in messages:
            if as_json:
                say(msgspec.json.encode(envelope).decode())
            else:
                _print(envelope)
            flush()


def _print(envelope: MessageEnvelope) -> None:
    sent = age(envelope.ts / 1000)
    kind = "" if envelope.type == "chat" else f" ({clean(envelope.type)})"
    answers = f", answers {clean(envelope.reply_to)}" if envelope.reply_to else ""
    say(f"{clean(envelope.from_)}{kind}, {sent} ago{answers}  [{clean(envelope.id)}]")
    for line in envelope.body.splitlines() or [""]:
        say(f"    {clean(line)}")


def _row(envelope: MessageEnvelope) -> tuple[str, ...]:
    state = envelope.state or "waiting"
    if envelope.error:
        state = f"{state}: {envelope.error}"
    sent = age(envelope.ts / 1000)
    return envelope.id, envelope.to, fit(state, 40), sent, fit(" ".join(envelope.body.split()), 40)
