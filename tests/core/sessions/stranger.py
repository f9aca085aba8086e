"""Somebody on the host's socket who keeps to no rule: calls with any values, any bytes at all."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import trio
from hypothesis import strategies as st

from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.wire import (
    OPERATIONS,
    WINDOW,
    Answer,
    Ask,
    AttachSession,
    Calls,
    Claim,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    ListSessions,
    Ping,
    Raw,
    Resize,
    StopNode,
    encode,
)
from loopsy_core.wire.messages import decode_message
from tests.core.wire.values import documents, values
from tests.world import memory_channels

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.sessions.host import Host
    from tests.world import MemoryChannel

__all__ = ["Asking", "Move", "Saying", "Sending", "Stranger", "moves", "open_stranger"]

HOSTED: Final = [op for op in OPERATIONS if op.startswith("sessions.") or op == StopNode.op]
"""What a host answers to."""


@attrs.frozen
class Asking:
    """A call by its name, with any map or none as its params; `{mine}` stands for a session."""

    op: str
    params: object


@attrs.frozen
class Sending:
    """Data or an Item in the stranger's own call of this number, counted from the last."""

    back: int
    piece: bytes | object


@attrs.frozen
class Saying:
    """Bytes in the place of a message, whatever the rules say."""

    line: bytes


Move: TypeAlias = Asking | Sending | Saying


class Stranger:
    """One connection to the host, and everything that was heard over it."""

    def __init__(self, pipe: MemoryChannel) -> None:
        self._pipe = pipe
        self._calls = Calls(opener=True)
        self._asked: list[int] = []
        self._heard_of = trio.Event()
        self.faults: list[Fault] = []
        self.answered: list[Answer] = []
        self.gone = False

    async def make(self, move: Move, mine: str) -> None:
        """Do one thing, unless the host has hung up."""
        match move:
            case Asking(op, params):
                filled = _filled(params, mine)
                await self._ask(op, encode(filled))
            case Sending(back, piece):
                if back < len(self._asked):
                    call = self._asked[-1 - back]
                    line = Data(call, piece) if isinstance(piece, bytes) else _item(call, piece)
                    await self._say(encode(line))
            case Saying(line):
                await self._say(line)

    async def until_all_was_heard(self) -> None:
        """Wait until the host has read everything that was said, or has hung up."""
        last = await self._ask(ListSessions.op, b"\x80")
        while not self.gone and not any(each.id == last for each in (*self.answered, *self.faults)):
            self._heard_of = trio.Event()
            await self._heard_of.wait()

    async def listen(self) -> None:
        """Take in what the host says, to its end; gives no credit."""
        with suppress(LoopsyError):
            while True:
                for message in await self._pipe.receive():
                    heard = decode_message(message)
                    if isinstance(heard, Fault):
                        self.faults.append(heard)
                    elif isinstance(heard, Answer):
                        self.answered.append(heard)
                self._heard_of.set()
        self.gone = True
        self._heard_of.set()

    async def _ask(self, op: str, params: bytes) -> int:
        call = self._calls.ask(op[:64], params)
        self._asked.append(call)
        for message in self._calls.take():
            await self._say(message)
        return call

    async def _say(self, line: bytes) -> None:
        with suppress(Gone):
            await self._pipe.send([line])


@asynccontextmanager
async def open_stranger(host: Host) -> AsyncGenerator[Stranger]:
    """Let a stranger talk to `host`; it hangs up without a word."""
    near, far = memory_channels()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.serve, far)
        stranger = Stranger(near)  # type: ignore[arg-type]
        nursery.start_soon(stranger.listen)
        yield stranger
        near.cut()  # type: ignore[attr-defined]


def _item(call: int, value: object) -> Item:
    return Item(call, encode(value))


def _filled(value: object, mine: str) -> object:
    if isinstance(value, dict):
        return {key: mine if each == "{mine}" else each for key, each in value.items()}
    return value


# What it may do. References to sessions are either to its own or to none: who may ask may end any.

_references = st.sampled_from(
    ["{mine}"] * 6 + ["?", "\0", "\x1b[2J", "?" * 64, "?" * 65, "", "🙂?"]
)
_numbers = st.sampled_from(
    [-1, 0, 1, 2, 80, 1000, 1001, 65_536, 2**31, 2**63 - 1, 2**63, 2**64 - 1]
)
_ugly_text = st.sampled_from(
    [
        "",
        "\0",
        "a\0b",
        "\x1b]0;x\x07",
        "\n",
        "..",
        "~",
        "/",
        "x" * 64,
        "x" * 5000,
        "\u202e",
        "é" * 65,
    ]
)
_ugly = st.one_of(_numbers, _ugly_text, st.none(), st.booleans(), documents)


def _params(op: str) -> st.SearchStrategy[Any]:
    """Params that the operation allows, and the same with a field as nobody should send it."""
    fields = OPERATIONS[op].__struct_fields__
    good = st.fixed_dictionaries(
        {}, optional={name: _field(name) for name in fields if name != "session"}
    )
    if not fields:
        return good | documents
    wrong = st.dictionaries(st.sampled_from(fields), _ugly, max_size=1)
    both = st.builds(lambda good, wrong: good | wrong, good, wrong)
    if "session" in fields:
        both = st.builds(lambda session, rest: {"session": session} | rest, _references, both)
    return st.one_of(good, both, both, both, documents).filter(_names_nobody_else)


def _field(name: str) -> st.SearchStrategy[Any]:
    match name:
        case "argv":
            return st.none() | st.lists(
                st.sampled_from(
                    ["cat", "true", "/", "/etc/passwd", "/" + "x" * 5000, "x" * 131_073]
                )
                | _ugly_text,
                min_size=1,
                max_size=3,
            )
        case "viewer":
            return st.sampled_from([bytes(16), b"v" * 16, b"", b"v" * 15, b"v" * 17])
        case "env":
            return st.dictionaries(_ugly_text, _ugly_text, max_size=2)
        case "cols" | "rows":
            return st.sampled_from([1, 2, 7, 80, 1000])
        case "cwd" | "name" | "kind" | "command" | "epoch":
            return st.none() | _ugly_text
        case "view_only" | "answers" | "all_output" | "ansi" | "auto_approve":
            return st.booleans()
        case _:
            return _numbers


def _names_nobody_else(params: object) -> bool:
    return not isinstance(params, dict) or params.get("session") in (
        *(None, "{mine}", "", "?", "\0", "\x1b[2J", "?" * 64, "?" * 65, "🙂?"),
    )


_asking = st.sampled_from(HOSTED).flatmap(lambda op: st.builds(Asking, st.just(op), _params(op)))
_attaching = st.builds(
    lambda rest: Asking(
        AttachSession.op,
        {"session": "{mine}", "viewer": b"v" * 16, "cols": 80, "rows": 24} | rest,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "typed": st.sampled_from([0, 1, 2**63 - 1]),
            "offset": st.sampled_from([0, 1, 2**62]),
            "epoch": st.just("?"),
            "view_only": st.booleans(),
            "all_output": st.booleans(),
        },
    ),
)
_elsewhere = st.builds(
    Asking, st.sampled_from(sorted(OPERATIONS)) | st.text(max_size=70), documents
).filter(lambda asking: asking.op not in HOSTED)
_sending = st.builds(
    Sending,
    st.integers(0, 3),
    st.one_of(
        st.binary(max_size=300),
        st.just(bytes(70_000)),
        values(Resize | Claim),
        st.fixed_dictionaries(
            {"type": st.sampled_from(["resize", "claim", "typed", "picture", "\0"])},
            optional={"cols": _ugly, "rows": _ugly, "total": _ugly},
        ),
        documents,
    ),
)
_ids = st.integers(0, 12) | st.sampled_from([2**31 - 1, 2**31])
_saying = st.one_of(
    st.builds(
        encode,
        st.one_of(
            st.builds(Credit, _ids, st.sampled_from([0, 1, WINDOW, WINDOW + 1, 2**63 - 1, 2**63])),
            st.builds(Data, _ids, st.binary(max_size=20)),
            st.builds(Item, _ids, st.binary(max_size=20)),
            st.builds(End, _ids),
            st.builds(Drop, _ids),
            st.builds(Ping, st.integers(0, 2**63)),
            st.builds(Answer, _ids, st.just(Raw(b"\xc0"))),
            st.builds(Ask, _ids, st.sampled_from(HOSTED), st.builds(Raw, st.binary(max_size=9))),
        ),
    ),
    st.binary(max_size=60),
    documents.map(encode),
)

moves: Final = st.lists(
    st.one_of(*[_asking] * 5, *[_attaching, _sending] * 2, _elsewhere, _saying),
    min_size=1,
    max_size=8,
)
"""What a stranger does over one connection, most of it within the rules of calls."""
