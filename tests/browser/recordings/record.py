"""Records what real programs print on a terminal of 80 columns and 24 rows.

`python -m tests.browser.recordings.record [NAME ...]`, as root on Debian with bash, vim, less,
htop, tmux and mc, writes NAME.gz beside this file. The programs see a made-up home, a made-up
host name and no other process, so that nothing of the machine gets into a recording.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

COLS: Final = 80
ROWS: Final = 24
QUIET: Final = 0.7
"""Seconds without output after which a program waits for the next keys."""
HOME: Final = Path("/tmp/demo")
HERE: Final = Path(__file__).parent

ESC: Final = "\x1b"
PLAYS: Final[dict[str, tuple[str, ...]]] = {
    "shell": (
        "ls -l --color=always\r",
        "seq 1 60\r",
        "cat styles.txt\r",
        "echo first; sleep 0.1; printf '\\e[A\\e[2Kover it\\n\\n'\r",
        "printf '%s' {a..z}{0..9} | fold -w 200; echo\r",
        "echo some thing that will be taken back",
        "\x15",
        "printf '\\e]0;a title\\a'; tput sc; tput cup 3 10; echo there; tput rc\r",
    ),
    "text": ("cat words.txt\r", "cat emoji.txt\r", "cat words.txt emoji.txt\r"),
    "gradient": ("sh gradient.sh\r",),
    "vim": (
        "vim -u NONE -i NONE -n -N --cmd 'syntax on' --cmd 'set hls ruler' count.c\r",
        "/int\r",
        "jjV3j",
        f"{ESC}Oint more = 1;  // 数える{ESC}",
        ":vsplit words.txt\r",
        "\x06",
        ":set list number\r",
        "\x17\x17:set termguicolors\r",
        "ggdd",
        ":qa!\r",
        "echo left\r",
    ),
    "wide": (
        "vim -u NONE -i NONE -n -N --cmd 'set ruler nowrap ambiwidth=single' words.txt\r",
        "jllx",
        "$",
        f"i左右{ESC}",
        "0Rab漢c" + ESC,
        ":set wrap cc=40\r",
        f"gg20|i漢字{ESC}",
        "j39|r字",
        "dwdw",
        f"jA 👍🏽👨‍👩‍👧é{ESC}",
        "hhxx",
        ":set nowrap\r",
        "zlzlzl",
        f"Vjjd{ESC}u",
        ":vsplit emoji.txt\r",
        "15\x17|",
        "jj$",
        ":qa!\r",
        "echo 日本語の文章 | sed 's/語/x/'; printf '日本語\\e[3D\\e[@x\\e[2D\\e[P\\n'\r",
        "echo 一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十",
        "\x1b[D\x1b[D\x7f\x7fx",
        "\x05\x15",
    ),
    "less": (
        "less -R --mouse styles.txt\r",
        "q",
        "seq 1 300 | less -N\r",
        " ",
        "/25\r",
        "n",
        "G",
        "b",
        "q",
        "echo left\r",
    ),
    "htop": ("htop -d 5 --no-mouse\r", f"{ESC}OB{ESC}OB", "t", "S", ESC, "q", "echo left\r"),
    "tmux": (
        "tmux -f tmux.conf new -s demo\r",
        "cat words.txt\r",
        "\x02%",
        "seq 1 50\r",
        '\x02"',
        "sh gradient.sh\r",
        "\x02o",
        "\x02[\x1b[5~",
        "q",
        "\x02z",
        "\x02z",
        "\x02:kill-server\r",
        "echo left\r",
    ),
    "mc": (
        "mc -x\r",
        f"{ESC}OB{ESC}OB",
        "\t",
        f"{ESC}[20~",
        f"{ESC}OC",
        f"{ESC}{ESC}",
        f"{ESC}[13~",
        f"{ESC}[21~",
        f"{ESC}[21~",
        "\r",
        "echo left\r",
    ),
}

STYLES: Final = "".join(
    f"\x1b[{code}m{name:<12}\x1b[0m"
    for code, name in (
        *((1, "bold"), (2, "dim"), (3, "italic"), (4, "underline"), (5, "blink"), (7, "inverse")),
        *((8, "invisible"), (9, "strike"), (21, "double"), (53, "overline"), ("1;31", "bold red")),
        *(("4:3", "curly"), ("4:4", "dotted"), ("4:5", "dashed"), ("4;58;5;196", "red line")),
        *(
            ("38;5;208", "orange"),
            ("48;5;25;97", "on blue"),
            ("38;2;1;2;3;48;2;250;240;230", "rgb"),
        ),
        *(("2;3;4;9;95", "many"), ("90", "grey"), ("100", "on grey"), ("39;49", "usual")),
    )
) + (
    "\n\x1b[44mfilled to the end of the line\x1b[K\x1b[0m\n"
    "\x1b[48;2;30;60;30m\x1b[2K\x1b[38;2;255;200;0mall of a line\x1b[0m\n"
    "\x1b(0lqqqk x  x mqqqj\x1b(B line drawing, tabs:\ta\tb\tc\n"
)

GRADIENT: Final = """\
for row in 0 1 2 3 4 5 6 7 8; do
  for i in $(seq 0 79); do
    printf '\\033[38;2;%d;%d;%d;' $((i*3)) $((row*28)) 128
    printf '48;2;%d;%d;%dm▀' $((255-i*3)) $((i*3)) $((row*28))
  done
  printf '\\033[0m\\n'
done
"""

COUNT: Final = """\
#include <stdio.h>

/* Counts from one number to another. */
int main(int argc, char **argv)
{
    const char *unit = "steps\\t\\n";
    for (int i = 0; i < 10; i++) {
        if (i % 2 == 0) {
            printf("%d %s", i, unit);
        }
    }
    return 0;
}
"""


def make_home() -> None:
    """Lay out the files that the plays look at."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    files = {
        "words.txt": (HERE / "words.txt").read_text(),
        "emoji.txt": (HERE / "emoji.txt").read_text(),
        "styles.txt": STYLES,
        "gradient.sh": GRADIENT,
        "count.c": COUNT,
        "tmux.conf": "set -g status-right ''\nset -g default-command 'bash --norc --noprofile'\n"
        "set -g automatic-rename off\n",
        ".config/mc/ini": "[Layout]\nfree_space=false\n",
    }
    for name, text in files.items():
        (HOME / name).parent.mkdir(parents=True, exist_ok=True)
        (HOME / name).write_text(text)
        os.utime(HOME / name, (1_750_000_000, 1_750_000_000))


def record(keys: tuple[str, ...]) -> bytes:
    """Return all that a shell and its programs print while `keys` are typed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
    with subprocess.Popen(
        [
            *(
                "unshare",
                "--fork",
                "--pid",
                "--mount-proc",
                "--uts",
                "setsid",
                "--ctty",
                "sh",
                "-c",
            ),
            "hostname demo; exec bash --norc --noprofile -i",
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=HOME,
        env={
            "HISTFILE": "",
            "HOME": str(HOME),
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PS1": "$ ",
            "SHELL": "/bin/bash",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        },
    ):
        os.close(theirs)
        out = read_until_quiet(ours)
        for each in keys:
            os.write(ours, each.encode())
            out += read_until_quiet(ours)
        os.write(ours, b"exit\r")
        out += read_until_quiet(ours)
        os.close(ours)
    return out


def read_until_quiet(terminal: int) -> bytes:
    """Read until nothing has come for a while; programs that draw all the time get a moment."""
    out = b""
    for _ in range(200):
        if not select.select([terminal], [], [], QUIET)[0]:
            break
        try:
            out += os.read(terminal, 65_536)
        except OSError:  # the shell has ended
            break
    return out


def main(names: list[str]) -> None:
    """Record the plays with these names, or all."""
    for name in names or PLAYS:
        make_home()
        data = record(PLAYS[name])
        (HERE / f"{name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        sys.stdout.write(f"{name}: {len(data)} bytes\n")
    shutil.rmtree(HOME)


if __name__ == "__main__":
    main(sys.argv[1:])
