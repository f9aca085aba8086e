"""The end of a program: asked for or not, its last words, and what is shown of it afterwards."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import Client
from loopsy_core.sessions import running
from loopsy_core.sessions.host import Host
from loopsy_core.sessions.registry import open_sessions
from loopsy_core.wire import AttachReply, Ended, ResizeSession, Resumed, decode
from tests.core.sessions.stage import LOG, Drawing, Stage, open_stage
from tests.world import PATIENCE, eventually, open_talk

if TYPE_CHECKING:
    from loopsy_core.wire import SessionInfo


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "HANG_UP_PATIENCE", 0.3)


async def ended(stage: Stage, *argv: str) -> SessionInfo:
    """Start a program and see it to its end by itself."""
    session = await stage.start(*argv)
    async with stage.attach(session) as seat:
        await seat.until_ended()
    return stage.info(session)


async def numbers_from(stage: Stage, session: SessionInfo, mark: bytes) -> list[int]:
    """Return the process ids that a script printed before `mark`."""
    async with stage.attach(session) as seat:
        await seat.go()
        return [int(word) for word in (await seat.until(mark)).split()[:-1]]


def state_of(pid: int) -> str:
    """Return the letter that proc(5) has for a process: T is stopped, Z a zombie, "" no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def until_gone(pid: int) -> None:
    await eventually(lambda: state_of(pid) in "ZX")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("true",), 0),
        (("false",), 1),
        (("sh", "-c", "exit 77"), 77),
        (("sh", "-c", "kill -TERM $$"), -signal.SIGTERM),
        (("sh", "-c", "kill -KILL $$"), -signal.SIGKILL),
    ],
)
async def test_how_a_program_ended_is_told(argv: tuple[str, ...], code: int) -> None:
    async with open_stage() as stage:
        info = await ended(stage, *argv)
        assert (info.alive, info.exit_code) == (False, code)


async def test_ending_hangs_up() -> None:
    async with open_stage() as stage:
        session = await stage.shell("trap 'exit 5' HUP; printf '!'; while :; do sleep 0.01; done")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"!")
            info = await stage.client.end_session(session.id)
            assert (info.alive, info.exit_code) == (False, 5)
            assert await seat.until_ended() == Ended(5)
            assert decode(await seat.answer(), AttachReply) == AttachReply(5)


async def test_ending_twice_and_by_two_at_once_is_one_end() -> None:
    async with open_stage() as stage:
        session = await stage.start("cat")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.client.end_session, session.id)
            nursery.start_soon(stage.client.end_session, session.id)
        assert (await stage.client.end_session(session.id)).exit_code == -signal.SIGHUP


@pytest.mark.usefixtures("little_patience")
async def test_a_program_that_ignores_a_hang_up_is_killed_after_some_patience() -> None:
    async with open_stage() as stage:
        session = await stage.shell("trap '' HUP; printf '!'; while :; do sleep 0.01; done")
        await numbers_from(stage, session, b"!")
        began = trio.current_time()
        info = await stage.client.end_session(session.id)
        assert info.exit_code == -signal.SIGKILL
        assert trio.current_time() - began >= 0.3


@needs_proc
@pytest.mark.usefixtures("little_patience")
async def test_a_job_in_front_that_ignores_a_hang_up_is_killed_too() -> None:
    async with open_stage() as stage:
        # With job control the job has a process group of its own.
        script = """set -m; trap '' HUP
            sh -c 'echo $$; echo !; while :; do sleep 0.01; done'; echo never"""
        session = await stage.shell(script)
        [job] = await numbers_from(stage, session, b"!")
        await stage.client.end_session(session.id)
        await until_gone(job)


@needs_proc
async def test_a_stopped_program_can_be_ended() -> None:
    async with open_stage() as stage:
        session = await stage.shell("echo $$; echo !; kill -STOP $$")
        [pid] = await numbers_from(stage, session, b"!")
        await eventually(lambda: state_of(pid) == "T")
        assert (await stage.client.end_session(session.id)).exit_code == -signal.SIGHUP


async def test_all_that_a_program_printed_arrives_before_its_end() -> None:
    count = 3_000_000
    async with open_stage() as stage:
        session = await stage.shell(f"head -c {count} /dev/zero | base64 -w 99; printf last")
        async with stage.attach(session) as seat:
            await seat.go()
            assert await seat.until_ended() == Ended(0)
            encoded = count // 3 * 4
            expected = (b"A" * 99 + b"\n") * (encoded // 99) + b"A" * (encoded % 99) + b"\n"
            assert bytes(seat.output) == expected + b"last"


async def test_the_last_words_of_a_short_life_arrive() -> None:
    async with open_stage() as stage:
        for round_ in range(20):
            session = await stage.start("sh", "-c", f"stty -opost; printf 'life {round_}'")
            async with stage.attach(session) as seat:
                await seat.until_ended()
                drawn = seat.first.vt if isinstance(seat.first, Drawing) else b""
                assert f"life {round_}".encode() in drawn + seat.output


async def test_whoever_is_left_behind_on_the_terminal_does_not_hold_up_the_end() -> None:
    async with open_stage() as stage:
        session = await stage.shell("trap '' HUP; sleep 1000 & echo $!; echo !")
        [left] = await numbers_from(stage, session, b"!")
        try:
            async with stage.attach(session) as seat:
                assert await seat.until_ended() == Ended(0)
        finally:
            os.kill(left, signal.SIGKILL)


async def test_whoever_is_left_behind_may_not_talk_for_ever(tmp_path: Path) -> None:
    left = tmp_path / "left"
    async with open_stage() as stage:
        session = await stage.shell(f"trap '' HUP; yes & echo $! > {left}")
        async with stage.attach(session) as seat:
            await seat.go()
            try:
                assert await seat.until_ended() == Ended(0)
            finally:
                with suppress(ProcessLookupError):  # its terminal may have gone before
                    os.kill(int(left.read_text()), signal.SIGKILL)


async def test_a_program_may_let_go_of_its_terminal_and_come_back() -> None:
    async with open_stage() as stage:
        session = await stage.shell(
            "exec 3>&1; exec </dev/null >/dev/null 2>&1 3>&-; sleep 0.1; printf asked >/dev/tty; "
            "sleep 1000"
        )
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"asked")


async def test_an_ended_session_shows_its_last_screen() -> None:
    async with open_stage() as stage:
        session = await stage.start("sh", "-c", "printf 'the end'; exit 3")
        async with stage.attach(session) as seat:
            await seat.until_ended()
            epoch, end = seat.begun.epoch, seat.offset
        async with stage.attach(session) as seat:
            assert isinstance(seat.first, Drawing)
            assert b"the end" in seat.first.vt
            assert await seat.until_ended() == Ended(3)
        async with stage.attach(session, epoch=epoch, offset=end - 3) as seat:
            assert isinstance(seat.first, Resumed)
            assert await seat.until_ended() == Ended(3)
            assert seat.output == b"end"


async def test_an_ended_session_takes_another_size() -> None:
    async with open_stage() as stage:
        session = await ended(stage, "sh", "-c", "printf 'the end'")
        async with stage.attach(session, cols=20, rows=5) as seat:
            await seat.until_ended()
        assert (stage.info(session).cols, stage.info(session).rows) == (20, 5)
        resized = await stage.client.ask(ResizeSession(session=session.id, cols=30, rows=10))
        assert (resized.cols, resized.rows) == (30, 10)


async def test_all_viewers_learn_of_the_end_also_one_that_lags() -> None:
    async with open_stage() as stage:
        session = await stage.shell("seq 1 100000; exit 4")
        async with stage.attach(session) as quick, stage.attach(session) as slow:
            await quick.go()
            assert await quick.until_ended() == Ended(4)
            assert not stage.info(session).alive
            assert await slow.until_ended() == Ended(4)
            assert slow.output.endswith(b"\n100000\n")


@needs_proc
async def test_leaving_hangs_up_on_all_programs() -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_sessions(LOG) as sessions,
            open_talk(Host(sessions).answer) as (conversation, _),
        ):
            stage = Stage(sessions, Client(conversation))
            pids = []
            for script in ("echo $$; echo !; cat", "echo $$; echo !; sleep 1000"):
                pids += await numbers_from(stage, await stage.shell(script), b"!")
        for pid in pids:
            await until_gone(pid)
