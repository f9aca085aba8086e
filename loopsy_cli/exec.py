"""Running a command on a machine, as if it ran here: `exec`."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from loopsy_core.errors import BadRequest
from loopsy_core.home import Home, parse_duration
from loopsy_core.wire import JobEnd, RunJob

from .options import Option
from .reaching import is_here
from .sessions import shell
from .show import note

__all__ = ["execute"]

TIMED_OUT: Final = 124
"""The exit code when the command's time was up, as timeout(1) has it."""


def execute(
    peer: str,
    /,
    *command: str,
    terminal: Annotated[
        bool,
        Option("Run it on a terminal of its own, which is shown in this one.", short="-t"),
        Parameter(name=("--terminal", "-t")),
    ] = False,
    cwd: Annotated[str | None, Option("The folder there; else the home.", "DIR")] = None,
    timeout: Annotated[
        str | None, Option("How long it may take, such as 30s, 5m or 2h.", "TIME")
    ] = None,
    stdin: Annotated[bool, Option("Give it the input of this command.")] = False,
) -> int:
    """Run the command after -- on a machine, and show what it writes as it comes.

    PEER is the machine's name; local is this one. The command is run as it stands, word by word, by
    no shell: for pipes and the like write -- sh -c "...". Ctrl-C ends it there, with all that
    it started; twice does not wait for that. A connection that is lost is made again.

    The exit code is the command's own, 128 + N if signal N ended it, 124 if its time was up.
    """
    if not command:
        raise BadRequest("there is no command; write `loopsy exec PEER -- COMMAND...`")
    home = Home.find()
    if terminal:
        if stdin or timeout is not None:
            raise BadRequest("with --terminal there is neither --stdin nor --timeout")
        absolute = cwd is not None and cwd.startswith(("/", "~"))
        there = None if is_here(peer, home) else peer
        return shell(*command, cwd=cwd if absolute else f"~/{cwd or ''}", peer=there)
    from .executing import follow
    from .looping import run

    request = RunJob(
        argv=list(command),
        cwd=cwd,
        timeout=None if timeout is None else parse_duration(timeout),
        stdin=stdin,
    )
    return _exit_code(run(lambda: follow(home, peer, request)))


def _exit_code(outcome: JobEnd | int) -> int:
    """Return our exit code, and say what it does not tell."""
    if not isinstance(outcome, JobEnd):
        return 128 + outcome
    if outcome.timed_out:
        note("loopsy: the command was ended, for its time was up")
        return TIMED_OUT
    if outcome.cancelled:
        note("loopsy: the command was cancelled")
    return outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code
