"""`approve`: whether agents that a device starts may approve by themselves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from loopsy_core.errors import NotFound
from loopsy_core.wire import DecideApproval, ListApprovals, WithdrawApproval

from .ask import ask
from .options import Json, Option
from .show import age, clean, flush, print_json, say

if TYPE_CHECKING:
    from loopsy_core.wire import ApprovalRequest

__all__ = ["approve"]

SHORT_ID = 8
"""Characters of a device's id that are shown, as in `phone list`."""


def approve(
    request: str | None = None,
    /,
    *,
    deny: Annotated[
        bool, Option("Say no instead; or take back what a device, given by its id, was allowed.")
    ] = False,
    json: Json = False,
) -> None:
    """Say whether agents that a device starts may approve by themselves.

    Alone it shows who waits for an answer, and asks for it in a terminal. With the id of a
    request that it has shown, it says yes to that one.

    A yes holds for the device and every agent: they may then run commands and change files here
    and ask nobody. It ends when the device is revoked, or with `loopsy approve --deny` and the
    device's id.
    """
    if request is None:
        _show_all(ask(ListApprovals()).requests, deny=deny, as_json=json)
        return
    try:
        decided = ask(DecideApproval(request=request, allow=not deny))
        contact, name = decided.contact, decided.name
    except NotFound:
        if not deny:
            raise
        withdrawn = ask(WithdrawApproval(contact=request))
        contact, name = withdrawn.contact, withdrawn.name
    if json:
        print_json({"contact": contact, "name": name, "allowed": not deny})
    else:
        _tell(contact, name, allowed=not deny)


def _show_all(waiting: list[ApprovalRequest], *, deny: bool, as_json: bool) -> None:
    if as_json:
        print_json(waiting)
        return
    if not waiting:
        say("no device waits for an answer")
    for request in waiting:
        # What the device calls itself stands last in its line, so that nothing true follows it.
        say(f"request   {request.id}, {age(request.asked_at)} ago")
        say(f"wish      {clean(request.kind)} is to approve by itself what it does here")
        say(f"device    {request.contact[:SHORT_ID]}, named {clean(request.name)}")
        if not sys.stdin.isatty():
            say(f"          loopsy approve {request.id}")
            continue
        allow = False if deny else _read_answer()
        if allow is None:
            return
        try:
            ask(DecideApproval(request=request.id, allow=allow))
        except NotFound:
            say("it has been taken back meanwhile, or was decided elsewhere; nothing was decided")
        else:
            _tell(request.contact, request.name, allowed=allow)


def _read_answer() -> bool | None:
    """Ask until the end of the line; None at the end of the input."""
    import termios

    say("Allow it, for this and every agent that the device starts? [y/N]")
    flush()
    # What was typed before the question was seen is no answer to it.
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    line = sys.stdin.readline()
    return line.strip().lower() in ("y", "yes") if line else None


def _tell(contact: str, name: str, *, allowed: bool) -> None:
    device = f"{clean(name)} ({contact[:SHORT_ID]})"
    if allowed:
        say(f"{device} may start agents that approve by themselves")
        say(f"`loopsy approve --deny {contact[:SHORT_ID]}` takes it back")
    else:
        say(f"{device} may not start agents that approve by themselves")
