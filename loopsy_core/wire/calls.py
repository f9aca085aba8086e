"""Calls, their streams and their credit over one connection, as a machine.

PROTOCOL.md section 3. Messages in (`receive`), messages out (`take`); the waiting is done
above. The machine holds the rules: who may use which id, how much each side may send, what
is over and what breaks the protocol. It never holds more than one window of a call to send.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from loopsy_core.errors import BadRequest, Busy, LoopsyError, ProtocolViolation

from .codec import MAX_MESSAGE, Raw, encode
from .messages import (
    Answer,
    Ask,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    Message,
    Ping,
    Pong,
    decode_message,
    encode_data,
)
from .operations.files import PullFiles, PushFiles

__all__ = ["CHUNK", "MAX_OPEN", "WIDE", "WINDOW", "Calls", "cost"]

WINDOW: Final = 262_144
"""Bytes that may be under way in one direction of one call."""
CREDIT_AFTER: Final = 4
"""Which part of its window has to be consumed before the other side is told to send more."""
WIDE_CREDIT_AFTER: Final = 2
"""The same of a wider window: each Credit costs a turn of every process that it passes."""
PIECE_COST: Final = 16
"""What a Data or Item costs beside its bytes, so that a million empty ones are not free."""
CHUNK: Final = 65_000
"""Bytes of Data that fit one sealed record together with their header."""
WIDE_CHUNK: Final = 4 * CHUNK
"""Bytes of one piece of a file, if there is credit for it: each costs a turn of every process that
it passes, and fills four records."""
WIDE: Final = 4 * (WIDE_CHUNK + PIECE_COST)
"""What the window of a call that moves files may grow to: four such pieces. All that one contact
may have run at once fit what a relay keeps for a connection that does not read (4 MiB)."""
WIDE_CALLS: Final = frozenset({PushFiles.op, PullFiles.op})
"""Only those: a peer that reads nothing can have us queue a window of each call that is open."""
MAX_OPEN: Final = 256
"""Calls that one side may have open at once, unless the two have agreed on more."""
MAX_CONTROL: Final = 1024
"""Refusals waiting to be written; who causes more without reading them has lost."""
LONGEST_REASON: Final = 2000
"""Characters of a Fault's message: it is for a person, and may repeat what a stranger said."""
LONGEST_DETAILS: Final = 65_536
"""Bytes of a Fault's details."""


def cost(data: bytes | memoryview) -> int:
    """Return what a piece of Data or an Item with these bytes costs."""
    return len(data) + PIECE_COST


class _Call:
    """What the machine knows of one call; totals are in credit, never reset."""

    __slots__ = (
        "consumed",
        "ended",
        "granted",
        "heard",
        "most",
        "ours",
        "over",
        "queue",
        "ready",
        "spent",
        "total",
        "written",
    )

    def __init__(self, op: str, *, ours: bool) -> None:
        self.ours = ours
        self.most = WIDE if op in WIDE_CALLS else WINDOW  # that its window may be
        self.spent = 0  # by us
        self.written = 0  # of what we spent; the rest is queued
        self.total = WINDOW  # what we may spend
        self.heard = 0  # spent by them
        self.granted = WINDOW  # what they may spend
        self.consumed = 0  # of what they spent
        self.ended = False  # the asker said End
        self.over = False  # answered, by either side
        self.queue: deque[tuple[bytes, int]] = deque()  # messages and what each of them cost
        self.ready = False  # stands in the line of calls that have something to write


class Calls:
    """All calls of one connection, ours and theirs."""

    def __init__(self, *, opener: bool, most_open: int = MAX_OPEN) -> None:
        """Make the machine of the side that opened the connection, or of the other."""
        self._most_open = most_open
        self._full = f"{most_open} calls are open already here; try again when one has ended"
        self._next_id = 1 if opener else 2
        self._last_theirs = 0
        self._their_parity = 0 if opener else 1
        self._calls: dict[int, _Call] = {}
        self._open = {True: 0, False: 0}  # ours, theirs; a call counts until its queue is empty
        self._ready: deque[int] = deque()  # calls with something queued, in turn
        self._control: deque[bytes] = deque()
        self._credits: dict[int, int] = {}
        self._pong: int | None = None

    # What we say. All of it is queued; nothing here waits.

    def ask(self, op: str, params: bytes, to: str | None = None) -> int:
        """Begin a call and return its id.

        Raises `Busy` when too many are open, and `BadRequest` when it does not fit one message.
        """
        if self._open[True] >= self._most_open:
            raise Busy(self._full)
        if self._next_id > 2**31 - 1:
            raise ProtocolViolation("this connection has used up its call ids; reconnect")
        call_id = self._next_id
        message = encode(Ask(call_id, op, Raw(params), to))
        if len(message) > MAX_MESSAGE:
            raise BadRequest(f"a request of {len(params)} bytes is too large for one message")
        self._next_id += 2
        self._calls[call_id] = _Call(op, ours=True)
        self._open[True] += 1
        self._queue(call_id, message)
        return call_id

    def allowance(self, call_id: int) -> int:
        """Return how many bytes of Data one more piece may have now; below 1 it must wait."""
        call = self._calls.get(call_id)
        return 0 if call is None else call.total - call.spent - PIECE_COST

    def widest(self, call_id: int) -> int:
        """Return how wide the call's window may become."""
        call = self._calls.get(call_id)
        return WINDOW if call is None else call.most

    def piece(self, call_id: int) -> int:
        """Return how many bytes the next of many pieces of Data best has; below 1 it must wait."""
        room = self.allowance(call_id)
        if room <= CHUNK or self.widest(call_id) == WINDOW:
            return min(room, CHUNK)
        return min(room // CHUNK * CHUNK, WIDE_CHUNK)  # whole records

    def consumed_by_them(self, call_id: int) -> int:
        """Return how much of what we sent, in credit, the other side says to be done with."""
        call = self._calls.get(call_id)
        return 0 if call is None else call.total - WINDOW

    def send_data(self, call_id: int, data: bytes | memoryview) -> None:
        """Queue a piece of Data; nothing happens when the call is over."""
        if self._spend(call_id, data):
            self._queue(call_id, encode_data(call_id, data), cost(data))

    def send_item(self, call_id: int, value: bytes) -> None:
        """Queue an Item, given as MessagePack; nothing happens when the call is over."""
        if self._spend(call_id, value):
            self._queue(call_id, encode(Item(call_id, value)), cost(value))

    def end(self, call_id: int) -> None:
        """Say that our side of our call's stream ends."""
        call = self._calls.get(call_id)
        if call is not None and call.ours and not call.over and not call.ended:
            call.ended = True
            self._queue(call_id, encode(End(call_id)))

    def answer(self, call_id: int, result: bytes) -> None:
        """End their call well; `result` is MessagePack. One too large becomes a Fault."""
        if self._theirs_open(call_id):
            message = encode(Answer(call_id, Raw(result)))
            if len(message) > MAX_MESSAGE:
                reason = f"an answer of {len(result)} bytes is too large for one message"
                self.fault(call_id, LoopsyError.code, reason)
                return
            self._queue(call_id, message)
            self._finish(call_id)

    def fault(self, call_id: int, code: str, message: str, details: bytes = b"\x80") -> None:
        """End their call badly; whatever `message` holds, something readable of it arrives."""
        if self._theirs_open(call_id):
            # Half a surrogate pair, as in names of files that are not UTF-8, cannot be written.
            message = message[:LONGEST_REASON].encode(errors="backslashreplace").decode()
            if len(details) > LONGEST_DETAILS:
                details = b"\x80"
            self._queue(call_id, encode(Fault(call_id, code, message, Raw(details))))
            self._finish(call_id)

    def drop(self, call_id: int, *, lost: bool = False) -> None:
        """Take our call back: the far handler is cancelled, what we had queued is not sent.

        `lost` says that nobody has wished so: who asked, and whose call we passed on, is gone.
        """
        call = self._calls.get(call_id)
        if call is None or not call.ours or call.over:
            return
        unsent_ask = bool(call.queue) and _is_ask(call.queue[0][0])
        call.queue.clear()
        if not unsent_ask:
            self._queue(call_id, encode(Drop(call_id, lost)))
        self._finish(call_id)

    def consumed(self, call_id: int, amount: int, window: int = WINDOW) -> bool:
        """Note that we are done with pieces that cost `amount`; return if there is news to write.

        Credit goes out when a quarter of a window has been consumed (half of a wide one): often
        enough that the sender never stands still and knows how fast we are, seldom enough to cost
        nothing. From then on `window` may be under way, at most as much as `widest` says.
        """
        call = self._calls.get(call_id)
        if call is None or call.over:
            return False
        call.consumed += amount
        part = CREDIT_AFTER if window == WINDOW else WIDE_CREDIT_AFTER
        if call.consumed + window - call.granted >= window // part:
            return self.grant(call_id, call.consumed + window)
        return False

    def grant(self, call_id: int, total: int) -> bool:
        """Let the other side spend `total` in all; for calls that are passed on elsewhere."""
        call = self._calls.get(call_id)
        if call is None or call.over or total <= call.granted:
            return False
        call.granted = total
        self._credits[call_id] = total
        return True

    def ping(self, number: int) -> None:
        """Ask the other side for a sign of life."""
        self._control.append(encode(Ping(number)))

    # What they say.

    def receive(self, message: bytes | memoryview) -> Message | None:
        """Take in a message; return it if somebody must act on it. The buffer may be used again.

        Raises `ProtocolViolation`; the connection must then be closed.
        """
        value = decode_message(message)
        if isinstance(value, Ping):
            self._pong = value.number
            return None
        if isinstance(value, Pong):
            return value
        if isinstance(value, Ask):
            return self._asked(value)
        call = self._calls.get(value.id)
        if call is None or call.over:
            if value.id > self._last_used(value.id):
                raise ProtocolViolation(f"a message for call {value.id}, which was never opened")
            if call is not None and isinstance(value, Drop):
                call.queue.clear()  # answered, but the rest of the answer is no longer wanted
            return None  # it was under way when the call ended
        return self._heard(call, value)

    def _asked(self, ask: Ask) -> Ask | None:
        if ask.id % 2 != self._their_parity or ask.id <= self._last_theirs:
            raise ProtocolViolation(f"call id {ask.id} is not the other side's to open")
        self._last_theirs = ask.id
        if self._open[False] >= self._most_open:
            if len(self._control) >= MAX_CONTROL:
                raise ProtocolViolation("calls are opened by the thousand, and no reply is read")
            self._control.append(encode(Fault(ask.id, "busy", self._full)))
            return None
        self._calls[ask.id] = _Call(ask.op, ours=False)
        self._open[False] += 1
        return ask

    def _heard(self, call: _Call, message: Message) -> Message | None:
        match message:
            case Data(data=data) | Item(value=data):
                if call.ended and not call.ours:
                    raise ProtocolViolation("data after the end of the stream")
                call.heard += cost(data)
                if call.heard > call.granted:
                    raise ProtocolViolation("more data than there was credit for")
            case Credit(total=total):
                # What was not written cannot have been consumed. Credit for it would let a peer
                # that reads nothing have us queue without end.
                if total > call.written + call.most:
                    raise ProtocolViolation("more credit than what was sent can be worth")
                if total <= call.total:
                    return None
                call.total = total
            case End() | Drop():
                if call.ours or (call.ended and isinstance(message, End)):
                    raise ProtocolViolation("only the asker ends its stream, and once")
                call.ended = True
                if isinstance(message, Drop):
                    call.queue.clear()
                    self._finish(message.id)
            case Answer() | Fault():
                if not call.ours:
                    raise ProtocolViolation("an answer to a call that the other side asked")
                call.queue.clear()
                self._finish(message.id)
            case _:
                raise AssertionError(message)
        return message

    # To the wire.

    @property
    def pending(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._ready or self._credits or self._control or self._pong is not None)

    def take(self, most: int = CHUNK) -> list[bytes]:
        """Return messages to write, about `most` bytes: small news first, then calls in turn."""
        taken: list[bytes] = []
        size = 0
        if self._pong is not None:
            taken.append(encode(Pong(self._pong)))
            self._pong = None
        if self._credits:
            taken.extend(encode(Credit(call, total)) for call, total in self._credits.items())
            self._credits.clear()
        if self._control:
            taken.extend(self._control)
            self._control.clear()
        ready = self._ready
        while ready and size < most:
            call_id = ready.popleft()
            call = self._calls[call_id]
            if call.queue:
                message, spent = call.queue.popleft()
                call.written += spent
                taken.append(message)
                size += len(message)
            if call.queue:
                ready.append(call_id)
                continue
            call.ready = False
            if call.over:
                self._forget(call_id)
        return taken

    def _queue(self, call_id: int, message: bytes, spent: int = 0) -> None:
        call = self._calls[call_id]
        call.queue.append((message, spent))
        if not call.ready:
            call.ready = True
            self._ready.append(call_id)

    def _spend(self, call_id: int, data: bytes | memoryview) -> bool:
        call = self._calls.get(call_id)
        if call is None or call.over:
            return False
        if call.ours and call.ended:
            raise LoopsyError("our stream in this call has ended already")
        spent = call.spent + cost(data)
        if spent > call.total:
            raise LoopsyError("there is no credit to send that much in this call")
        call.spent = spent
        return True

    def _theirs_open(self, call_id: int) -> bool:
        call = self._calls.get(call_id)
        return call is not None and not call.ours and not call.over

    def _finish(self, call_id: int) -> None:
        """Mark the call as over; it is forgotten once its last words are written."""
        call = self._calls[call_id]
        call.over = True
        self._credits.pop(call_id, None)
        if not call.ready:
            self._forget(call_id)

    def _forget(self, call_id: int) -> None:
        call = self._calls.pop(call_id)
        self._open[call.ours] -= 1

    def _last_used(self, call_id: int) -> int:
        return self._last_theirs if call_id % 2 == self._their_parity else self._next_id - 2


def _is_ask(message: bytes) -> bool:
    """Whether an encoded message is an Ask: an array whose first element is 1."""
    return message[1] == Ask.__struct_config__.tag
