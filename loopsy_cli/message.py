"""Messages from the command line: `message send`, `inbox`, `ack` and `outbox`."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from loopsy_core.errors import Busy, LoopsyError, NotFound
from loopsy_core.home import parse_duration
from loopsy_core.wire import (
    MAX_MESSAGE_TTL,
    AckMessage,
    ContextCurrent,
    ContextSet,
    Hello,
    ListPeers,
    MessageEnvelope,
    MessageType,
    SendMessage,
    Sent,
    WatchContext,
    decode_context_item,
    decode_message_envelope,
)

from .ask import ask
from .options import Json, Option
from .show import age, clean, fit, flush, print_json, say, table

if TYPE_CHECKING:
    from loopsy_core.client import ContextChange

__all__ = ["ack", "broadcast", "inbox", "outbox", "send"]

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
    lifetime = parse_duration(ttl, MAX_MESSAGE_TTL)
    request = SendMessage(to=peer, body=body, type=type, reply_to=reply_to, ttl=lifetime)
    sent = ask(request)
    if json:
        print_json(sent)
    else:
        say(f"{clean(sent.id)} is on its way to {clean(sent.to)}")


def broadcast(
    body: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    ttl: Annotated[str, Option("How long it may wait: 30s, 5m, 2h, 7d.", "TIME")] = "1h",
    json: Json = False,
) -> int:
    """Send a message to every paired machine; those that are away get it when they are back.

    The exit code is 1 when it could not be sent to one of them.
    """
    if body == STANDARD_INPUT:
        body = sys.stdin.read()
    lifetime = parse_duration(ttl, MAX_MESSAGE_TTL)
    results: dict[str, Sent | LoopsyError] = {}
    for peer in ask(ListPeers()).peers:
        try:
            results[peer.name] = ask(
                SendMessage(to=peer.id, body=body, type="broadcast", ttl=lifetime)
            )
        except (Busy, NotFound) as error:
            results[peer.name] = error
    if json:
        print_json([_result(name, result) for name, result in results.items()])
    elif not results:
        say("no machine is paired; `loopsy pair` pairs one")
    for name, result in {} if json else results.items():
        said = (
            f"not sent: {result}"
            if isinstance(result, LoopsyError)
            else f"{result.id} is on its way"
        )
        say(f"{clean(name)}: {clean(said)}")
    return 1 if any(isinstance(result, LoopsyError) for result in results.values()) else 0


def _result(name: str, result: Sent | LoopsyError) -> dict[str, str | None]:
    if isinstance(result, LoopsyError):
        return {"machine": name, "id": None, "error": str(result)}
    return {"machine": name, "id": result.id, "error": None}


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
    found = _read(f"inbox:{ask(Hello()).name}:")
    if json:
        print_json([_document(envelope) for envelope in found])
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
    found = sorted(_read("outbox:"), key=lambda envelope: envelope.ts)
    if json:
        print_json([_document(envelope) for envelope in found])
    elif not found:
        say("nothing was sent lately")
    else:
        table(("ID", "TO", "STATE", "SENT", "TEXT"), map(_row, found))


def _read(prefix: str) -> list[MessageEnvelope]:
    """Return the messages under `prefix`, in the order of their coming."""
    values: dict[str, tuple[int, bytearray]] = {}
    last = bytearray()

    def on_item(item: bytes) -> None:
        nonlocal last
        told = decode_context_item(item)
        if isinstance(told, ContextCurrent):
            raise _AllToldError
        if isinstance(told, ContextSet):
            last = bytearray()
            values[told.info.key] = told.info.revision, last
        else:
            values.pop(told.key, None)

    with suppress(_AllToldError):
        # Watching tells of everything in one go; what changes afterwards is not waited for.
        ask(
            WatchContext(prefix=prefix),
            on_item=on_item,
            on_data=lambda data: last.extend(data),
        )
    envelopes = [decode_message_envelope(bytes(value)) for _, value in sorted(values.values())]
    return [envelope for envelope in envelopes if envelope is not None]


class _AllToldError(Exception):
    """There is no more."""


async def _watch(*, as_json: bool) -> None:
    from loopsy_core.client import ContextEntry, open_client

    from .watching import watch_on

    def tell(change: ContextChange) -> None:
        entry = change if isinstance(change, ContextEntry) else None
        envelope = None if entry is None else decode_message_envelope(entry.value)
        if envelope is None:
            return
        if as_json:
            print_json(_document(envelope))
        else:
            _print(envelope)
        flush()

    async with open_client() as here:
        await watch_on(here, f"inbox:{(await here.ask(Hello())).name}:", tell)


def _document(envelope: MessageEnvelope) -> dict[str, object]:
    """Return a message with all its keys; in the context those are left out that say nothing."""
    fields = msgspec.structs.fields(MessageEnvelope)
    return {field.encode_name: getattr(envelope, field.name) for field in fields}


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
