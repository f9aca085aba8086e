"""The process that ends a node's jobs when the node was killed: `python -I -S guard.py`.

Its standard input is a pipe of which only the node has the other end, so that the pipe's end is
the node's, whatever ended it. Until then lines tell which jobs there are:

    start ID        a command is about to be started, with LOOPSY_JOB=ID in its environment
    run ID PID      it has been, and leads the process group PID
    end ID          nothing of it is left

Linux could signal a child at its parent's death, but means the thread that started it, and no
grandchildren; other systems cannot. Nothing but the smallest modules is imported, for this process
is there as long as its node.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
JUST_BEFORE = 0.3
"""Seconds in which a command runs whose start was under way."""
TOGETHER = 0.2
"""Seconds of which the news are heard together: most jobs have ended by then, and to wake for each
line takes the machine as long as a fifth of a short job."""
GLANCE = 0.05
"""Seconds between two looks at who is left."""


class Jobs:
    """The jobs that the node has told of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._starting: set[str] = set()
        self._running: dict[str, tuple[int, str | None]] = {}

    def hear(self, lines: list[bytes]) -> None:
        """Note what some lines tell."""
        new: dict[str, int] = {}
        for line in lines:
            match line.decode("ascii", "replace").split():
                case ["start", job]:
                    self._starting.add(job)
                case ["run", job, pid]:
                    self._starting.discard(job)
                    new[job] = int(pid)
                case ["end", job]:
                    self._starting.discard(job)
                    self._running.pop(job, None)
                    new.pop(job, None)
        for job, group in new.items():
            self._running[job] = (group, birth(group))

    def groups(self) -> dict[int, str | None]:
        """Return the process groups of all jobs, each with its leader's birth."""
        found = dict(self._running.values())
        # A command that was being started when the node was killed holds the pipe open until just
        # before it runs, and has its mark from then on.
        until = time.monotonic() + JUST_BEFORE
        while self._starting and time.monotonic() < until:
            found |= {pid: birth(pid) for pid in marked(self._starting)}
            time.sleep(GLANCE)
        return found


def main() -> None:
    """Hear of jobs until the node is gone, and end those that it leaves behind."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is to end with the node, and not before
    os.chdir("/")
    jobs = Jobs()
    end = select.poll()
    end.register(0, 0)  # for nothing but the end, which is always told
    rest = b""
    while data := os.read(0, 65_536):
        *lines, rest = (rest + data).split(b"\n")
        jobs.hear(lines)
        end.poll(TOGETHER * 1000)
    if groups := jobs.groups():
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        said = f"the node has ended without its jobs: ending {len(groups)}"
        sys.stderr.write(f"{now} guard[{os.getpid()}] WARNING {said}\n")
        end_groups(groups)


def end_groups(groups: dict[int, str | None]) -> None:
    """End all processes of these groups: SIGTERM, patience, SIGKILL."""
    for group, born in groups.items():
        if is_still(group, born):
            reach(group, signal.SIGTERM)
            reach(group, signal.SIGCONT)  # a stopped program cannot end itself
    until = time.monotonic() + PATIENCE
    left = groups
    while (
        left := {group: born for group, born in left.items() if is_still(group, born)}
    ) and time.monotonic() < until:
        time.sleep(GLANCE)
    for group in left:
        reach(group, signal.SIGKILL)


def is_still(group: int, born: str | None) -> bool:
    """Whether a group has anybody in it, and its number was not given to another one since.

    It cannot be while anybody is in the group. A leader that is gone has no birth.
    """
    return reach(group, 0) and birth(group) in (None, born)


def reach(group: int, number: int) -> bool:
    """Send a signal to a group; False when nobody is in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # not permitted is what macOS says of zombies
        return False
    return True


def birth(pid: int) -> str | None:
    """Return when a process was started, as the system writes it; None when there is none."""
    if not sys.platform.startswith("linux"):
        with os.popen(f"ps -o lstart= -p {pid}") as listed:
            return listed.read().strip() or None
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # proc(5): "pid (name) state ...", and the 22nd is the start; a name may hold anything.
            return stat.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return None


def marked(jobs: set[str]) -> list[int]:
    """Return the pids of those that lead a group and have the mark of one of these jobs.

    Where the system does not show environments (macOS), there are none: a job whose start was
    under way when the node was killed goes on there.
    """
    marks = {f"LOOPSY_JOB={job}".encode() for job in jobs}
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    is_ours = not marks.isdisjoint(environ.read().split(b"\0"))
                if is_ours and os.getpgid(int(name)) == int(name):
                    found.append(int(name))
            except OSError:
                continue  # it has ended just now, or is another user's
    return found


if __name__ == "__main__":
    main()
