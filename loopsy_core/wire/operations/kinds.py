"""What is asked about kinds of sessions: agents, custom commands, and approving by themselves."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..operation import Argument, Name, Operation, Reference, Text
from .node import Nothing

__all__ = [
    "AddCommand",
    "ApprovalList",
    "ApprovalRequest",
    "ApprovalWithdrawn",
    "CommandInfo",
    "DecideApproval",
    "KindInfo",
    "KindList",
    "ListApprovals",
    "ListKinds",
    "RemoveCommand",
    "WithdrawApproval",
]


class KindInfo(msgspec.Struct, frozen=True):
    """A kind of session that this machine's Loopsy knows: the shell, or an agent."""

    name: str
    title: str
    """What it is called among people."""
    installed: bool
    """Whether its program is on the PATH."""
    auto_approve: bool
    """Whether it can be told to approve by itself what it would ask its user."""


class CommandInfo(msgspec.Struct, frozen=True):
    """A custom command, which phones offer as one tap."""

    name: str
    argv: list[str]
    cwd: str | None


class KindList(msgspec.Struct, frozen=True):
    """What sessions can be started as."""

    kinds: list[KindInfo]
    commands: list[CommandInfo]


class ListKinds(Operation[KindList], frozen=True, kw_only=True):
    """Ask which kinds of sessions and custom commands there are."""

    op = "kinds.list"
    grant = "view"
    reply = KindList


class AddCommand(Operation[CommandInfo], frozen=True, kw_only=True):
    """Keep a custom command, in place of one of the same name."""

    op = "commands.add"
    grant = "admin"
    reply = CommandInfo

    name: Name
    argv: Annotated[list[Argument], msgspec.Meta(min_length=1, max_length=4096)]
    cwd: Text | None = None


class RemoveCommand(Operation[Nothing], frozen=True, kw_only=True):
    """Forget a custom command; sessions that it started live on."""

    op = "commands.remove"
    grant = "admin"
    reply = Nothing

    name: Name


class ApprovalRequest(msgspec.Struct, frozen=True):
    """A contact would like agents that it starts to approve by themselves."""

    id: str
    """Of this one wish: a contact that takes it back and asks again has another."""
    contact: str
    name: str
    """What the contact calls itself; another may have the same name."""
    kind: str
    """The kind of session that it asked for."""
    asked_at: float


class ApprovalList(msgspec.Struct, frozen=True):
    """Who waits for this machine's user, the oldest first."""

    requests: list[ApprovalRequest]


class ListApprovals(Operation[ApprovalList], frozen=True, kw_only=True):
    """Ask which contacts wait for this machine's user to confirm."""

    op = "approvals.list"
    grant = "admin"
    reply = ApprovalList


class DecideApproval(Operation[ApprovalRequest], frozen=True, kw_only=True):
    """Confirm or deny one wish, by its id alone.

    Confirming holds for that contact and every agent, until it is revoked, pairs anew, or the
    word is taken back.
    """

    op = "approvals.decide"
    grant = "admin"
    reply = ApprovalRequest
    about = "request"

    request: Text
    allow: bool


class ApprovalWithdrawn(msgspec.Struct, frozen=True):
    """A contact whose agents may not approve by themselves any more."""

    contact: str
    name: str


class WithdrawApproval(Operation[ApprovalWithdrawn], frozen=True, kw_only=True):
    """Take back what a contact was allowed, and deny what it wishes; agents that run go on."""

    op = "approvals.withdraw"
    grant = "admin"
    reply = ApprovalWithdrawn
    about = "contact"

    contact: Reference
