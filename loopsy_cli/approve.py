"""`approve`: whether agents that a device starts may approve by themselves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from loopsy_core.wire import DecideApproval, ListApprovals

from .ask import ask
from .options import Json, Option
from .show import age, clean, flush, print_json, say

if TYPE_CHECKING:
    from loopsy_core.wire import ApprovalRequest

__all__ = ["approve"]


def approve(
    device: str | None = None,
    /,
    *,
    deny: Annotated[bool, Option("Say no instead.")] = False,
    json: Json = False,
) -> None:
    """Say whether agents that a device starts may approve by themselves.

    Without a device it shows who waits for an answer, and asks for it in a terminal. A yes
    holds until the device is revoked: it may then start agents that ask nobody before they
    run commands or change files here.
    """
    if device is not None:
        decided = ask(DecideApproval(contact=device, allow=not deny))
        if json:
            print_json({"contact": decided.contact, "name": decided.name, "allowed": not deny})
        else:
            _tell(decided, allowed=not deny)
        return
    waiting = ask(ListApprovals()).requests
    if json:
        print_json(waiting)
        return
    if not waiting:
        say("no device waits for an answer")
    for request in waiting:
        say(f"{clean(request.name)} ({request.contact[:8]}) would like {clean(request.kind)}")
        say(f"to approve by itself what it does here; it asked {age(request.asked_at)} ago")
        if sys.stdin.isatty():
            allow = not deny and _yes()
            ask(DecideApproval(contact=request.contact, allow=allow))
            _tell(request, allowed=allow)
        else:
            say(f"  loopsy approve {request.contact[:8]}")


def _yes() -> bool:
    say("Allow it, until the device is revoked? [y/N]")
    flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell(request: ApprovalRequest, *, allowed: bool) -> None:
    name = clean(request.name)
    if allowed:
        say(f"{name} may start agents that approve by themselves; `loopsy phone revoke` ends that")
    else:
        say(f"{name} may not")
