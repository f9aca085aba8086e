"""What a picture with 10 000 lines of scrollback costs, by what the lines hold: time and bytes.

The floor is the emulator's own snapshot, which holds the same; a picture is made from one. Taking
it in is what a fresh emulator of the same kind needs to show it. Aim: the lines of a log take less
than 15 ms, as attaching does with all of them (`bench/attach.py`).
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

from bench._figures import report
from loopsy_core.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

COLS, ROWS = 120, 40
LINES = 10_000
RUNS = 9
PATH: Final = "tests/core/some/long/path/test_file.py"


def log(number: int) -> str:
    return f"\x1b[32mok\x1b[0m   {number:05}  {PATH}"


def linked(number: int) -> str:
    return f"{number:05} \x1b]8;;file:///{PATH}/{number % 50}\x1b\\{PATH}\x1b]8;;\x1b\\"


def rainbow(number: int) -> str:
    return "".join(
        f"\x1b[38;2;{column * 3};{number % 256};128m\u2580" for column in range(COLS - 40)
    )


CASES: Final[dict[str, Callable[[int], str]]] = {
    "plain": lambda number: f"{number:05}  {PATH}",
    "a log": log,
    "columns with gaps": lambda number: f"{number}\tone\ttwo\t\x1b[1mthree\x1b[m",
    "wide letters": lambda number: (
        f"{number:05} \x1b[33m日本語の文章は一文字が二桁の幅を持つ\x1b[m"
    ),
    "letters and marks": lambda number: f"{number:05} " + "e\u0301" * 30,
    "lines that wrap": lambda number: f"\x1b[36m{number:05}\x1b[m " + PATH * 4,
    "links": linked,
    "80 colours in a line": rainbow,
}


def seconds_of(work: Callable[[], object]) -> float:
    """Return the median of what `work` takes, in seconds of this process."""
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken)


def measure(case: str, screen: Screen) -> None:
    """Report what drawing a screen costs, and taking in what was drawn."""
    snapshot = seconds_of(screen._emulator.snapshot)  # noqa: SLF001 - the floor
    drawing = seconds_of(screen.picture)
    picture = screen.picture()
    taking = seconds_of(lambda: shown(picture).close())
    report(
        *(case, drawing * 1000, "ms"),
        of_snapshot=drawing / snapshot,
        taking_in_ms=taking * 1000,
        bytes=len(picture),
        **({"aim": "< 15"} if case == "a log" else {}),
    )
    screen.close()


def shown(output: bytes) -> Screen:
    """Return a screen that has shown some output."""
    screen = Screen(COLS, ROWS, lambda _: None)
    screen.feed(output)
    return screen


def main() -> None:
    """Measure each sort of lines, and a log behind a full-screen program."""
    for case, line in CASES.items():
        lines = (line(number) for number in range(LINES + ROWS))
        measure(case, shown("\r\n".join(lines).encode()))
    output = "\r\n".join(log(number) for number in range(LINES + ROWS)) + "\x1b[?1049h\x1b[Hvim"
    measure("a log behind the other screen", shown(output.encode()))


if __name__ == "__main__":
    main()
