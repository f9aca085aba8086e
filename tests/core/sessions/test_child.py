"""Programs start on a terminal of their own; what cannot start says why, in the system's words."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, LoopsyError
from loopsy_core.sessions import child as child_module
from loopsy_core.sessions.child import start_on_terminal
from loopsy_core.sessions.program import Program, find_program
from loopsy_core.sessions.pty import open_pty
from tests.core.sessions.stage import open_stage
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

WHO_AM_I = """
import json, os, signal, sys
print(json.dumps({
    "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgrp(),
    "front": os.tcgetpgrp(os.open("/dev/tty", os.O_RDWR)),
    "ttys": [os.ttyname(0), os.ttyname(1), os.ttyname(2)],
    "size": list(os.get_terminal_size()), "cwd": os.getcwd(), "env": dict(os.environ),
}))
"""


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


async def output_of(
    argv: Sequence[str] | None,
    cwd: str | None = None,
    extra: Mapping[str, str] | None = None,
    size: tuple[int, int] = (80, 24),
) -> bytes:
    """Run a program on a terminal to its end; return all that it printed."""
    program = find_program(argv, cwd, extra or {})
    pty, far = open_pty(*size)
    try:
        with trio.fail_after(PATIENCE):
            try:
                child = start_on_terminal(program, far)
            finally:
                os.close(far)
            try:
                parts = []
                while data := await pty.read():
                    parts.append(data)
            finally:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                with trio.CancelScope(shield=True):
                    await child.wait()
            return b"".join(parts)
    finally:
        pty.close()


async def asked_who_it_is(
    cwd: str | None = None, extra: Mapping[str, str] | None = None, size: tuple[int, int] = (80, 24)
) -> dict[str, object]:
    said = await output_of([sys.executable, "-I", "-S", "-c", WHO_AM_I], cwd, extra, size)
    answer: dict[str, object] = json.loads(said)
    return answer


async def test_a_program_leads_a_session_of_its_own_and_owns_its_terminal() -> None:
    who = await asked_who_it_is(size=(132, 43))
    assert who["session"] == who["group"] == who["front"] == who["pid"]
    ttys = who["ttys"]
    assert isinstance(ttys, list)
    assert len(set(ttys)) == 1
    assert who["size"] == [132, 43]


async def test_a_program_starts_where_it_should(tmp_path: Path) -> None:
    who = await asked_who_it_is(cwd=str(tmp_path))
    assert who["cwd"] == str(tmp_path)
    env = who["env"]
    assert isinstance(env, dict)
    assert env["PWD"] == str(tmp_path)


@needs_proc
async def test_a_program_inherits_nothing_but_its_terminal() -> None:
    other = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(other, True)
    try:
        listed = (await output_of(["ls", "/proc/self/fd"])).split()
    finally:
        os.close(other)
    assert listed[:3] == [b"0", b"1", b"2"]
    assert len(listed) <= 4  # and the folder that ls itself reads


@needs_proc
async def test_a_program_gets_all_its_signals() -> None:
    said = await output_of(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"])
    # The C library keeps two signals for itself, and has whatever it starts ignore them.
    ours = sum(1 << number - 1 for number in signal.valid_signals())
    masks = [int(line.split(b":")[1], 16) & ours for line in said.splitlines()]
    assert masks == [0, 0]


async def test_a_shell_has_job_control_and_ctrl_c_reaches_the_job_in_front() -> None:
    async with open_stage() as stage:
        env = {"PS1": "READY", "INPUTRC": "/dev/null", "HISTFILE": ""}
        session = await stage.client.start(["bash", "--norc", "--noprofile", "-i"], env=env)
        async with stage.attach(session) as seat:
            await seat.type(b"sh -c 'echo wai''ting; exec sleep 1000'\r")
            await seat.until(b"waiting")
            seat.output.clear()
            await seat.type(b"\x03")
            await seat.until(b"READY")  # only then: Ctrl-C drops what was typed ahead
            seat.output.clear()
            await seat.type(b"sh -c 'echo ag''ain; exec sleep 1000'\r")
            await seat.until(b"again")
            await seat.type(b"\x1a")
            await seat.until(b"Stopped")
            await seat.type(b"kill %1; echo $(tty | cut -c 1-5) do''ne\r")
            await seat.until(b"/dev/ done")


def children() -> set[str]:
    """Return the processes that are ours, zombies included; none where there is no /proc."""
    ours: set[str] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                ours.add(stat.parent.name)
    return ours


@contextmanager
def failing(program: Program, kind: type[LoopsyError], says: str) -> Generator[None]:
    """Fail to start `program`, and see that nothing but the error is left of it."""
    pty, far = open_pty(80, 24)
    try:
        before = sorted(os.listdir("/dev/fd")), Path.cwd(), children()
        yield
        with pytest.raises(kind, match=says) as caught:
            start_on_terminal(program, far)
        assert "\n" not in str(caught.value)
        assert before == (sorted(os.listdir("/dev/fd")), Path.cwd(), children())
    finally:
        os.close(far)
        pty.close()


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o700)
    return path


async def test_a_script_that_does_not_say_what_runs_it_says_so(tmp_path: Path) -> None:
    path = script(tmp_path / "tool", "echo hi\n")
    with failing(find_program([str(path)], None, {}), BadRequest, "tool cannot be started: Exec "):
        pass


async def test_a_script_whose_interpreter_is_missing_says_so(tmp_path: Path) -> None:
    path = script(tmp_path / "tool", "#!/no/such/thing\n")
    says = "tool cannot be started: No such file or directory; its first line"
    with failing(find_program([str(path)], None, {}), BadRequest, says):
        pass


async def test_a_program_that_is_being_written_says_so(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    shutil.copy("/bin/true", path)
    program = find_program([str(path)], None, {})
    with path.open("ab"), failing(program, Busy, "Text file busy: it is being written"):
        pass


async def test_a_command_longer_than_the_system_takes_says_so() -> None:
    program = find_program(["true", "x" * 131_072], None, {})
    with failing(program, BadRequest, "true cannot be started: Argument list too long"):
        pass


async def test_a_program_that_vanished_since_says_so(tmp_path: Path) -> None:
    path = script(tmp_path / "tool", "#!/bin/sh\n")
    program = find_program([str(path)], None, {})
    with failing(program, BadRequest, "tool cannot be started: No such file or directory$"):
        path.unlink()


async def test_a_folder_that_vanished_since_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    program = find_program(["true"], str(folder), {})
    with failing(program, BadRequest, "gone cannot be entered: No such file or directory"):
        folder.rmdir()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
async def test_a_machine_that_is_full_says_so(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(child_module.os, "posix_spawn", full)
    with failing(find_program(["true"], None, {}), Busy, os.strerror(number)):
        pass


async def test_a_program_that_cannot_start_touches_no_other_session(tmp_path: Path) -> None:
    path = script(tmp_path / "tool", "echo hi\n")
    async with open_stage() as stage:
        other = await stage.start("cat")
        with pytest.raises(BadRequest, match="Exec format error"):
            await stage.start(str(path))
        assert [each.id for each in stage.sessions.list().sessions] == [other.id]
        async with stage.attach(other) as seat:
            await seat.type(b"still here\r")
            await seat.until(b"still here\r\nstill here")


async def test_a_program_gets_the_usual_limit_of_descriptors_also_when_ours_is_higher() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = soft - 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        said = await output_of(["sh", "-c", "ulimit -n"])
        assert int(said) == soft
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == lower
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_end_is_seen_without_pidfds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: int) -> int:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(child_module.os, "pidfd_open", none)
    assert await output_of(["echo", "hi"]) == b"hi\r\n"
    async with open_stage() as stage:
        session = await stage.start("sh", "-c", "exit 7")
        assert (await stage.until(session, lambda now: not now.alive)).exit_code == 7


async def test_without_pidfds_many_ends_are_seen_and_other_threads_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_module, "_open_pidfd", lambda _pid: None)
    async with open_stage() as stage:
        sessions = [await stage.start("cat") for _ in range(50)]  # threads for work are 40
        assert await trio.to_thread.run_sync(os.getpid) == os.getpid()
        for session in reversed(sessions):
            assert (await stage.client.end_session(session.id)).exit_code == -signal.SIGHUP
