"""Splicing two calls: whatever one end hears is said at the other, and nothing is held between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopsy_core.wire import Answer, Credit, Data, Drop, End, Fault, Item, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopsy_core.errors import LoopsyError

    from .conversation import Conversation
    from .stream import Listener

__all__ = ["splice"]


def splice(
    near: Conversation,
    near_id: int,
    far: Conversation,
    far_id: int,
    on_end: Callable[[str], None] | None,
) -> Listener:
    """Have their call `near_id` of `near` answered by our call `far_id` of `far`.

    Returns what stands at the near end from now on. `on_end` is called once, with "ok", the code of
    the error, or "left" when the asker is gone.
    """
    end = _End(on_end)
    listener = _Spliced(near, near_id, far, far_id, end)
    near.listen(near_id, listener)
    far.listen(far_id, _Spliced(far, far_id, near, near_id, end))
    return listener


class _End:
    """Tells once how a call has ended that was passed on."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self._tell = tell

    def told(self, result: str) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(result)


class _Spliced:
    """One end of a call that is passed on: whatever it hears, it says on the other side."""

    __slots__ = ("_calls", "_end", "_far", "_far_id", "_near", "_near_id")

    def __init__(
        self, near: Conversation, near_id: int, far: Conversation, far_id: int, end: _End
    ) -> None:
        self._end = end
        self._near = near
        self._near_id = near_id
        self._far = far
        self._far_id = far_id
        self._calls = far.calls

    def heard(self, message: Message) -> None:
        calls, far_id = self._calls, self._far_id
        match message:
            case Data():
                calls.send_data(far_id, message.data)
            case Item():
                calls.send_item(far_id, message.value)
            case Credit():
                calls.grant(far_id, message.total)
            case Answer():
                calls.answer(far_id, bytes(message.result))
                self._far.unlisten(far_id)
                self._end.told("ok")
            case Fault():
                calls.fault(far_id, message.code, message.message, bytes(message.details))
                self._far.unlisten(far_id)
                self._end.told(message.code)
            case End():
                calls.end(far_id)
            case Drop():
                calls.drop(far_id, lost=message.lost)
                self._far.unlisten(far_id)
                self._end.told("left")
            case _:
                raise AssertionError(message)
        self._far.wake_writer()

    def lost(self, error: LoopsyError) -> None:
        # Only one of the two does something: the machine knows whose call it is.
        self._calls.drop(self._far_id, lost=True)
        self._calls.fault(self._far_id, error.code, error.message)
        self._far.unlisten(self._far_id)
        self._end.told(error.code)
        self._far.wake_writer()
