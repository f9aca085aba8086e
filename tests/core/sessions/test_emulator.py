"""The emulator process dies, is stuck or does not start: that hurts one session at most."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.client import open_host_client
from loopsy_core.errors import Busy
from loopsy_core.screen import Screen
from loopsy_core.sessions import showing
from loopsy_core.sessions.emulator import open_emulator_process, reach
from loopsy_core.sessions.feeder import FAILED, MOST_KILLS
from loopsy_core.sessions.output import Place
from loopsy_core.wire import WINDOW, Resumed, ShowHistory, ShowScreen
from tests.core.sessions.emulators import CRASH, CRASH_LATER, HANG, emulators_of, fragile_process
from tests.core.sessions.stage import PROMPT, Drawing, Seat, Stage, open_stage
from tests.world import PATIENCE, eventually, holder_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from loopsy_core.home import Home
    from loopsy_core.links import Channel
    from loopsy_core.sessions.emulator import Mark
    from loopsy_core.wire import SessionInfo

BEGUN_ANEW: Final = "begins anew here"

WIDE: Final = (300, 100)
# "panic: increaseCapacity OutOfSpace" of libghostty 1.3, as pyghostty 0.1.3 has it.
LINKS: Final = r"""awk 'BEGIN {
    for (n = 0; n < 4000; n++) printf "\033]8;;http://a/%d\ax", n
    printf "\033[100;1H"
    for (n = 0; n < 103; n++) printf "\n"
    printf "\033[?69h\033[92;226s\033[100;1H\033]8;;http://a\a"
    for (n = 0; n < 20000; n++) printf "x"
    printf "\033]8;;\a"
}'"""
"""Prints thousands of links, and has rows move within margins at the sides."""


def shell_printf(text: bytes) -> str:
    """Return a shell command that prints `text`."""
    return "printf '" + "".join(f"\\{byte:03o}" for byte in text) + "'"


CULPRITS: Final = {
    "a fault while output is taken": (fragile_process, shell_printf(CRASH)),
    # What is found to end the emulator itself; when it ends no more, an entry may go.
    "links that are moved": (open_emulator_process, LINKS),
}


async def emulator() -> int:
    """Return the emulator process of this process, once there is one."""
    found: list[int] = []
    while len(found) != 1:
        await trio.lowlevel.checkpoint()
        found = emulators_of(os.getpid())
    return found[0]


def lines_after(output: bytes, cols: int = 80, rows: int = 24) -> list[str]:
    screen = Screen(cols, rows, lambda _: None)
    screen.feed(output)
    return screen.lines


async def lines_of(stage: Stage, session: SessionInfo) -> list[str]:
    return (await stage.client.ask(ShowScreen(session=session.id))).lines


async def until_drawn(seat: Seat) -> Drawing:
    while not isinstance(piece := await seat.next(), Drawing):
        assert piece is not None
    return piece


@pytest.mark.parametrize("what", CULPRITS)
async def test_output_that_ends_the_emulator_costs_one_session_its_screen(what: str) -> None:
    start_emulator, culprit = CULPRITS[what]
    async with open_stage(start_emulator=start_emulator) as stage:
        bad = await stage.shell(f"printf before; {culprit}; cat")
        good = await stage.shell("printf well; cat")
        cols, rows = WIDE
        async with (
            stage.attach(bad, cols=cols, rows=rows) as hurt,
            stage.attach(good) as unhurt,
        ):
            await unhurt.go()
            await unhurt.until(b"well")
            assert (await lines_of(stage, good))[0] == "#well"
            await hurt.go()
            drawing = await until_drawn(hurt)
            assert BEGUN_ANEW in " ".join(lines_after(drawing.vt, *WIDE))
            assert "before" not in " ".join(lines_after(drawing.vt, *WIDE))
            await hurt.type(b"alive")
            await hurt.until(b"alive")
            assert "alive" in " ".join(await lines_of(stage, bad))
            await unhurt.type(b" and fine")
            await unhurt.until(b" and fine")
            assert (await lines_of(stage, good))[0] == "#well and fine"
            assert unhurt.pictures == 1, "the first"
        assert stage.info(bad).alive


async def test_a_picture_that_cannot_be_drawn_costs_one_session_its_screen() -> None:
    async with open_stage(start_emulator=fragile_process) as stage:
        bad = await stage.shell(f"{shell_printf(CRASH_LATER)}; printf over; cat")
        async with stage.attach(bad) as seat:
            await seat.go()
            await seat.until(b"over")
            assert (await lines_of(stage, bad))[0] == "#over"  # nothing is wrong with reading it
            async with stage.attach(bad) as late:
                assert isinstance(late.first, Drawing)
                assert BEGUN_ANEW in " ".join(lines_after(late.first.vt))


async def test_a_session_that_ends_the_emulator_again_and_again_is_ended() -> None:
    async with open_stage(start_emulator=fragile_process) as stage:
        crash = shell_printf(CRASH)
        bad = await stage.shell(f"while :; do {crash}; head -c 1 >/dev/null; done")
        async with stage.attach(bad) as seat:
            epoch = seat.begun.epoch
            await seat.go()
            for _ in range(MOST_KILLS - 1):
                assert BEGUN_ANEW.encode() in (await until_drawn(seat)).vt
                await seat.type(b"x")
            drawing = await until_drawn(seat)
            assert FAILED.encode() in drawing.vt
            ended = await seat.until_ended()
            assert ended.exit_code == -signal.SIGHUP
        info = stage.info(bad)
        assert (info.alive, info.lost) == (False, FAILED)
        assert FAILED in (await lines_of(stage, bad))[0]
        # What it printed can still be read.
        async with stage.attach(bad, epoch=epoch, offset=0) as seat:
            assert isinstance(seat.first, Resumed)
            await seat.until_ended()
            assert bytes(seat.output) == PROMPT + CRASH * MOST_KILLS


async def test_killing_the_emulator_costs_nobody_anything_but_time() -> None:
    async with open_stage(2 * PATIENCE, open_emulator_process) as stage:
        script = "for i in 1 2 3 4; do seq $i 2000; head -c 1 >/dev/null; done; cat"
        sessions = [await stage.shell(script) for _ in range(3)]
        for session in sessions:
            async with stage.attach(session) as seat:
                await seat.go()
                for _ in range(3):
                    await seat.until(b"2000\n")
                    for each in sessions:  # whose output it is at is blamed for its end
                        await lines_of(stage, each)
                    os.kill(await emulator(), signal.SIGKILL)
                    seat.output.clear()
                    await seat.type(b"x")
                await seat.until(b"2000\n")
                assert seat.pictures == 1
        output = PROMPT + b"".join(
            b"%d\n" % number for first in range(1, 5) for number in range(first, 2001)
        )
        for session in sessions:
            assert await lines_of(stage, session) == lines_after(output)


async def test_a_hundred_sessions_come_back_when_the_emulator_was_killed(tmp_path: Path) -> None:
    async with open_stage(60, open_emulator_process, tmp_path) as stage:
        sessions = [await stage.start("sh", "-c", f"echo this is {n}; cat") for n in range(100)]
        for number, session in enumerate(sessions):
            while (await lines_of(stage, session))[0] != f"this is {number}":
                pass
        os.kill(await emulator(), signal.SIGKILL)
        for number, session in enumerate(sessions):
            assert (await lines_of(stage, session))[0] == f"this is {number}"


async def test_what_was_printed_goes_on_from_the_kept_picture(tmp_path: Path) -> None:
    async with open_stage(60, open_emulator_process, tmp_path) as stage:
        session = await stage.shell("seq 1 700000; printf more; head -c 1 >/dev/null; seq 1 3; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"more")
            before = await stage.client.ask(ShowHistory(session=session.id))
            end = seat.offset
            feeder = stage.sessions.find(session.id).feeder
            await eventually(lambda: feeder.kept == Place(end))
            os.kill(await emulator(), signal.SIGKILL)
            await seat.type(b"x")
            await seat.until(b"more1\n2\n3\n")
            after = await stage.client.ask(ShowHistory(session=session.id))
            assert after.lines >= before.lines
            shown = [line.strip() for line in await lines_of(stage, session)]
            assert shown[-4:] == ["more1", "2", "3", ""]


async def test_pictures_are_exact_at_their_place_while_output_floods() -> None:
    part = b"".join(b"%d\n" % number for number in range(1, 5001))
    expected = PROMPT + part * 60
    async with open_stage(60, open_emulator_process) as stage:
        session = await stage.shell(
            "i=0; while [ $i -lt 60 ]; do seq 1 5000; sleep 0.02; i=$((i+1)); done; cat"
        )
        offsets = []
        async with stage.attach(session) as seat:
            await seat.go()
            while seat.offset < len(expected):
                await seat.next()
                seat.output.clear()
                if len(offsets) < 12:
                    async with stage.attach(session) as late:
                        assert isinstance(late.first, Drawing)
                        offsets.append(late.offset)
                        assert lines_after(late.first.vt) == lines_after(expected[: late.offset])
                        if late.offset < len(expected):
                            await late.next()
                            assert late.output == expected[offsets[-1] :][: len(late.output)]
        assert len(set(offsets)) > 3


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "STUCK", 3.0)  # a busy machine is no stuck emulator
    monkeypatch.setattr(reach, "LOOK_EVERY", 0.1)


@pytest.mark.usefixtures("little_patience")
async def test_an_emulator_that_is_stopped_is_replaced() -> None:
    async with open_stage(start_emulator=open_emulator_process) as stage:
        session = await stage.shell("printf one; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"one")
            assert (await lines_of(stage, session))[0] == "#one"
            os.kill(await emulator(), signal.SIGSTOP)
            await seat.type(b"two")
            await seat.until(b"onetwo")
            assert (await lines_of(stage, session))[0] == "#onetwo"


async def test_who_types_and_is_behind_does_not_wait_for_an_emulator_that_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(showing, "HURRY", 1000)
    much = WINDOW + 20_000
    async with open_stage(start_emulator=open_emulator_process) as stage:
        session = await stage.shell(f"head -c {much} /dev/zero | tr '\\0' x; cat")
        async with stage.attach(session) as seat:
            os.kill(await emulator(), signal.SIGSTOP)
            await seat.go()
            log = stage.sessions.find(session.id).output.log
            await eventually(lambda: log.end >= much)
            begin = trio.current_time()
            await seat.type(b"key")  # it has read nothing so far
            await seat.until(b"key")
            assert trio.current_time() - begin < reach.STUCK / 2
            assert seat.output.endswith(b"x" * much + b"key")


@pytest.mark.usefixtures("little_patience")
async def test_output_that_the_emulator_never_gets_through_costs_one_session_its_screen() -> None:
    async with open_stage(2 * PATIENCE, fragile_process) as stage:
        bad = await stage.shell(f"{shell_printf(HANG)}; printf over; cat")
        good = await stage.shell("printf well; cat")
        async with stage.attach(bad) as hurt, stage.attach(good) as unhurt:
            await unhurt.go()
            await hurt.go()
            assert BEGUN_ANEW.encode() in (await until_drawn(hurt)).vt
            assert (await lines_of(stage, good))[0] == "#well"


ASKS: Final = """
import os, tty
tty.setraw(0)
os.write(1, b"#")
os.read(0, 1)
for column in range(1, 13):
    os.write(1, b"\\x1b[%dG\\x1b[6n" % column)
    answer = b""
    while not answer.endswith(b"R"):
        answer += os.read(0, 1)
    os.write(1, b"<" + answer[2:] + b">")
os.write(1, b"!")
while True:
    os.write(1, os.read(0, 100))
"""


async def test_a_query_is_answered_once_whatever_happens_to_the_emulator() -> None:
    async with open_stage(start_emulator=open_emulator_process) as stage:
        # Each query is made from another column, which stands in the answer.
        session = await stage.start(sys.executable, "-c", ASKS)
        async with stage.attach(session) as seat:
            await seat.go()
            for column in range(1, 13):
                await seat.until(b"<1;%dR>" % column)
                if column % 3 == 0:
                    os.kill(await emulator(), signal.SIGKILL)
            await seat.until(b"!")
            # Nor does anything come later: the screen has seen all queries by now.
            await lines_of(stage, session)
            await seat.type(b"?")
            assert (await seat.until(b"?")).endswith(b"!?")
            answers = re.findall(rb"<1;(\d+)R>", bytes(seat.output))
            assert answers == [b"%d" % column for column in range(1, 13)]


class Broken:
    """Starts no emulator process until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[tuple[Channel, Mark]]:
        if self.broken:
            raise OSError("no memory left")
        async with open_emulator_process() as started:
            yield started


async def test_sessions_go_on_without_an_emulator_and_get_their_screens_later() -> None:
    start = Broken()
    async with open_stage(start_emulator=start) as stage:
        script = "stty -echo -icanon; head -c 1 >/dev/null; seq 1 1000000; printf done; cat"
        session = await stage.start("sh", "-c", script)
        async with stage.attach(session) as seat:  # nothing is printed yet
            await seat.type(b"g")
            await seat.until(b"done")
            epoch, end = seat.begun.epoch, seat.offset
            with pytest.raises(Busy, match="emulator does not start: no memory left"):
                async with stage.attach(session):
                    pass
            with pytest.raises(Busy):
                await lines_of(stage, session)
            async with stage.attach(session, epoch=epoch, offset=end - 4) as resumed:
                await resumed.until(b"done")
        start.broken = False
        lines: list[str] = []
        while not lines:
            with suppress(Busy):
                lines = await lines_of(stage, session)
        last = b"".join(b"%d\r\n" % number for number in range(999_000, 1_000_001))
        assert lines == lines_after(last + b"done")


async def test_an_emulator_of_another_version_is_not_spoken_to(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reach, "SPOKEN", 0)  # as a host that was started before an upgrade
    async with open_stage(start_emulator=open_emulator_process) as stage:
        session = await stage.start("echo", "hello")
        await stage.until(session, lambda now: not now.alive)
        with pytest.raises(Busy, match="emulator does not start"):
            await lines_of(stage, session)
    assert "of another version than the session host" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("printed", "answers", "shown"),
    [
        (r"\033[?2004h\033]0;title\007\033[32mready\033[m", True, True),
        (r"ready\033[6n", False, True),
        (r"ready\033[6n", True, False),  # or its terminal would answer that too
    ],
)
async def test_a_young_session_is_shown_without_waiting_for_an_emulator(
    printed: str, answers: bool, shown: bool
) -> None:
    async with open_stage(start_emulator=Broken()) as stage:
        session = await stage.shell(f"printf '{printed}'; cat")
        async with stage.attach(session) as seat:
            await seat.go()
            await seat.until(b"ready")
            with nullcontext() if shown else pytest.raises(Busy):
                async with stage.attach(session, answers=answers) as late:
                    assert isinstance(late.first, Drawing)
                    assert (late.first.vt, late.offset) == (b"", 0)
                    await late.until(b"ready")


@pytest.mark.parametrize("stuck", [False, True])
async def test_a_killed_host_leaves_no_emulator_behind(home: Home, *, stuck: bool) -> None:
    script = "import sys; from pathlib import Path; from loopsy_core.sessions.host import main; "
    with trio.fail_after(PATIENCE):
        with subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", script + "main(Path(sys.argv[1]))", str(home.root)],
            stdout=subprocess.PIPE,
        ) as host:
            assert host.stdout is not None
            assert await trio.to_thread.run_sync(host.stdout.readline) == b"ready\n"
            assert holder_of(home.host_lock) == host.pid
            async with open_host_client(home) as client:
                session = await client.start(["sh", "-c", "yes | head -c 100000000; cat"])
                if not stuck:
                    await client.ask(ShowScreen(session=session.id))
            [pid] = emulators_of(host.pid)
            host.kill()
        await eventually(lambda: not os.path.exists(f"/proc/{pid}"))


def test_the_host_does_not_load_the_emulator() -> None:
    code = (
        "import sys, loopsy_core.sessions.host, loopsy_core.node; "
        "print([name for name in ('pyghostty', 'loopsy_core.screen') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
