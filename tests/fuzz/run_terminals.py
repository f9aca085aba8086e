"""Fuzz the terminal emulator as its process feeds it: `nox -s fuzz_terminals`; seconds may follow.

Each example is written down before it is tried, so that one which ends the process, or takes very
long, is left behind as a file. `python -m tests.fuzz.run_terminals FILE` tries it again. Thousands
of different links are left out: that they end it is known (tests/core/sessions/test_emulator.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import msgspec
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from loopsy_core.screen import Screen
from tests.core.screen.printing import anything, edges, links, moves, output, programs, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SECONDS: Final = 120.0
SLOW: Final = 20.0
"""Seconds for one example, which is some hundred kilobytes at most; the host waits for 10."""
EXAMPLES: Final = 300
"""Those of one seed."""
MOST_REPEATS: Final = 400
MOST_PRINTED: Final = 1 << 18

Step: TypeAlias = bytes | tuple[int, int]
"""Output that is fed, or a size that the terminal is given: columns and rows."""


def repeated(piece: bytes, count: int) -> bytes:
    return (piece * count)[:MOST_PRINTED]


long = st.builds(
    repeated,
    anything | output(words, edges, links, moves) | st.binary(max_size=60),
    st.integers(1, MOST_REPEATS),
)
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        *programs.values(),
        long,
        st.binary(max_size=300),
        st.tuples(st.integers(1, 300), st.integers(1, 100)),
    ),
    max_size=12,
)


def play(steps: Sequence[Step]) -> None:
    """Do all that a session's screen is made to do: output, sizes, pictures, history."""
    screen = Screen(80, 24, lambda _: None)
    for step in steps:
        if isinstance(step, bytes):
            screen.feed(step)
        else:
            screen.resize(*step)
    copy = Screen(*screen.size, lambda _: None)
    copy.feed(screen.picture())
    for each in (screen, copy):
        each.history(ansi=True)
        each.close()


def work(record: Path, first: int) -> NoReturn:
    """Try examples of one seed after the other, for ever."""
    number = first
    while True:

        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(steps)
        def holds(steps: list[Step]) -> None:
            record.write_bytes(msgspec.msgpack.encode(steps))
            play(steps)

        holds()
        number += 1


def hunt(record: Path, first: int, until: float) -> tuple[str, str] | None:
    """Have a process try examples until then; return what it ended with, and what it said."""
    command = [sys.executable, "-m", "tests.fuzz.run_terminals", "--work", str(record), str(first)]
    record.touch()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while time.monotonic() < until:
                try:
                    said = process.communicate(timeout=1.0)[1]
                except subprocess.TimeoutExpired:
                    if time.time() - record.stat().st_mtime > SLOW:
                        return "slow", ""
                else:
                    return f"exit-code-{process.returncode}", said
        finally:
            process.kill()
    return None


def find(seconds: float, folder: Path) -> Iterator[Path]:
    """Yield a file for each example that is found, with what the process said behind it."""
    until = time.monotonic() + seconds
    first = int.from_bytes(os.urandom(4), "big")
    record = folder / "now"
    while found := hunt(record, first, until):
        kind, said = found
        sys.stderr.write(said)
        kept = record.rename(Path(tempfile.gettempdir()) / f"{kind}-{first}.msgpack")
        yield kept
        first += 1_000_000


def main(words: Sequence[str]) -> int:
    if words[:1] == ["--work"]:
        work(Path(words[1]), int(words[2]))
    if words and Path(words[0]).is_file():
        play(msgspec.msgpack.decode(Path(words[0]).read_bytes(), type=list[Step]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = list(find(float(words[0]) if words else SECONDS, Path(folder)))
    for each in found:
        sys.stdout.write(f"found: python -m tests.fuzz.run_terminals {each}\n")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
