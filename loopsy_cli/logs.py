"""`loopsy logs`: who asked what of this machine, from its audit log."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from loopsy_core.home import Home, follow_audit_log, parse_duration, read_audit_log

from .options import Json, Option
from .show import clean, dim, flush, say

if TYPE_CHECKING:
    from loopsy_core.home import AuditLine

__all__ = ["logs"]

LOCAL = "me"
"""How this machine's own user is written on the command line."""


def logs(
    *,
    follow: Annotated[
        bool, Parameter(alias="-f"), Option("Go on, with each request as it comes (-f).")
    ] = False,
    since: Annotated[str | None, Option("Only of the last 30s, 5m, 2h, 7d.", "TIME")] = None,
    actor: Annotated[
        str | None, Option("Only what one contact asked, or me: this machine's user.", "NAME")
    ] = None,
    json: Json = False,
) -> None:
    """Show who asked what of this machine, how it went and how long it took.

    What was typed, sent or stored stands in no log. With --json each request is a document of
    its own, on one line. It works without a daemon, too.
    """
    path = Home.find().audit_log
    oldest = 0.0 if since is None else time.time() - parse_duration(since)
    lines = follow_audit_log(path) if follow else read_audit_log(path)
    for line in lines:
        if _moment(line) < oldest or not _is_by(line, actor):
            continue
        say(msgspec.json.encode(line).decode() if json else _text(line))
        if follow:
            flush()


def _is_by(line: AuditLine, actor: str | None) -> bool:
    if actor is None:
        return True
    if actor == LOCAL:
        return line.contact is None
    name = line.actor.partition(" ")[2]
    by_id = line.contact is not None and line.contact.startswith(actor)
    return line.contact is not None and (name == actor or by_id)


def _text(line: AuditLine) -> str:
    when = datetime.fromtimestamp(_moment(line)).astimezone()
    who = clean(line.actor) if line.contact else LOCAL
    what = " ".join(clean(word) for word in (line.op, line.where) if word)
    there = f" on {clean(line.to)}" if line.to else ""
    how = "" if line.result == "ok" else f"  {clean(line.result)}"
    return f"{dim(f'{when:%Y-%m-%d %H:%M:%S}')}  {who}  {what}{there}{how}  {dim(_took(line.ms))}"


def _took(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _moment(line: AuditLine) -> float:
    try:
        return datetime.fromisoformat(line.at).timestamp()
    except ValueError:
        return 0.0
