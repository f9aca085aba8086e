"""Answering what is asked about context, messages and tasks; the node lives without them too."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Final

import trio

from loopsy_core.capabilities import open_shared
from loopsy_core.errors import LoopsyError, Misconfigured, Refused
from loopsy_core.wire import (
    AckMessage,
    AddTask,
    CancelTask,
    ClaimTask,
    DeleteContext,
    DeliverMessages,
    ExtendTask,
    FailTask,
    FinishTask,
    GetContext,
    ListContext,
    ListTasks,
    NoteRead,
    SendMessage,
    SetContext,
    WatchContext,
    decode,
)

from .by_hand import ByHand

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Container
    from pathlib import Path

    from loopsy_core.capabilities import Shared
    from loopsy_core.home import ContextConfig
    from loopsy_core.links import Asked, Conversation

    from .grants import Asker
    from .machines import Machines

__all__ = ["Sharing", "open_sharing"]

_OPERATIONS: Final = (
    SetContext,
    GetContext,
    DeleteContext,
    ListContext,
    WatchContext,
    SendMessage,
    DeliverMessages,
    AckMessage,
    NoteRead,
    AddTask,
    ClaimTask,
    ExtendTask,
    FinishTask,
    FailTask,
    CancelTask,
    ListTasks,
)

_log = logging.getLogger("loopsy.node")


class Sharing:
    """What this node shares, or why it cannot; `open_sharing` makes it."""

    ops: ClassVar = frozenset(operation.op for operation in _OPERATIONS)
    """What it answers."""

    def __init__(self, shared: Shared | LoopsyError) -> None:
        """Answer from `shared`, or with that error."""
        self._shared = shared
        self.machines: Machines

    @property
    def problem(self) -> str | None:
        """Why nothing is shared, for a person; None when all is well."""
        return str(self._shared) if isinstance(self._shared, LoopsyError) else None

    async def hand_over(self, peer: str, conversation: Conversation) -> None:
        """Hand a machine the messages that wait for it, until the connection with it is lost."""
        if not isinstance(self._shared, LoopsyError):
            await self._shared.messages.hand_over(peer, conversation)

    async def forget(self, peer: str) -> None:
        """Give up on messages for a machine that is not paired any more."""
        if not isinstance(self._shared, LoopsyError):
            await self._shared.messages.forget(peer)

    def _machine(self, asker: Asker) -> str | None:
        """Return what a machine is called here; None for this machine's user, and phones."""
        if asker.contact is None or not self.machines.is_machine(asker.contact):
            return None
        return self.machines.sender(asker.contact)[1]

    async def answer(self, asked: Asked, asker: Asker) -> object:
        """Act on one of `ops`; return the reply."""
        if isinstance(self._shared, LoopsyError):
            raise self._shared.with_traceback(None)  # or it would grow with everybody who asks
        context, messages, tasks = (
            self._shared.context,
            self._shared.messages,
            self._shared.tasks,
        )
        params, owner = asked.params, asker.contact or ""
        machine = self._machine(asker)
        by_hand = ByHand(asker, machine)
        match asked.op:
            case SetContext.op:
                setting = by_hand.setting(decode(params, SetContext))
                check = by_hand.check_value
                return await context.set_from(asked, setting, asker.name, owner, check)
            case GetContext.op:
                getting = decode(params, GetContext)
                by_hand.check_looking(getting.key)
                return await context.get_over(asked, getting)
            case DeleteContext.op:
                deleting = decode(params, DeleteContext)
                by_hand.check_deleting(deleting.key)
                return await context.delete(deleting)
            case ListContext.op:
                listing = decode(params, ListContext)
                by_hand.check_looking(listing.prefix)
                return await context.list(listing, by_hand.hidden)
            case WatchContext.op:
                watching = decode(params, WatchContext)
                by_hand.check_looking(watching.prefix)
                return await context.watch(asked, watching, by_hand.hidden)
            case SendMessage.op:
                if machine is not None:
                    # Whoever it is for would take it for ours.
                    raise Refused("a machine sends messages for itself, and not through another")
                message = decode(params, SendMessage)
                return await messages.send(message, *self.machines.addressee(message.to), owner)
            case DeliverMessages.op:
                peer, name = self.machines.sender(asker.contact)
                return await messages.receive(decode(params, DeliverMessages), peer, name)
            case AckMessage.op:
                if machine is not None:
                    # Whoever has sent it would take it for read.
                    raise Refused("a machine acknowledges what came to it, and not to another")
                return await messages.acknowledge(decode(params, AckMessage))
            case NoteRead.op:
                peer, name = self.machines.sender(asker.contact)
                return await messages.note_read(decode(params, NoteRead), peer, name)
            case AddTask.op:
                return await tasks.add(decode(params, AddTask), asker.name, owner)
            case ClaimTask.op:
                return await tasks.claim(decode(params, ClaimTask), asker.name)
            case ExtendTask.op:
                return await tasks.extend(decode(params, ExtendTask))
            case FinishTask.op:
                return await tasks.finish(decode(params, FinishTask))
            case FailTask.op:
                return await tasks.fail(decode(params, FailTask))
            case CancelTask.op:
                return await tasks.cancel(decode(params, CancelTask))
            case ListTasks.op:
                return await tasks.list(decode(params, ListTasks))
            case _:
                raise AssertionError(asked.op)


@asynccontextmanager
async def open_sharing(
    path: Path, name: str, known: Container[str], limits: ContextConfig
) -> AsyncGenerator[Sharing]:
    """Share what lies in the database at `path`, as `open_shared` does.

    When that is damaged the node does without: it keeps its sessions, and says what is wrong to
    whoever asks. It never begins anew with an empty one in its place.
    """
    await _warn_of_nothing(path)
    async with AsyncExitStack() as stack:
        try:
            shared: Shared | LoopsyError = await stack.enter_async_context(
                open_shared(path, name, known, limits)
            )
        except Misconfigured as error:
            _log.error("context, messages and tasks are out of order: %s", error)
            shared = error
        yield Sharing(shared)


async def _warn_of_nothing(path: Path) -> None:
    """Say when a database has lost all that it had: SQLite takes an empty file for a new one."""
    with suppress(FileNotFoundError):
        if (await trio.Path(path).stat()).st_size == 0:
            _log.warning("%s was empty: context, messages and tasks begin anew", path)
