"""The command line as a user has it: processes, pipes and terminals, on a home of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pexpect
from pyghostty.core import Terminal

from loopsy_core.home import Home
from tests.world import end_holder, holder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE: Final = 30.0
"""Seconds for any command, on a machine that has much else to do."""
SCREEN: Final = (24, 80)


class CommandLine:
    """Runs `loopsy` on one home; `close` ends whatever it left behind."""

    def __init__(self, folder: Path, inside: Sequence[str] = ()) -> None:
        """Keep everything in `folder`; `inside` is a command that runs each of ours."""
        self._inside = inside
        self.home = Home(folder / "home")
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "LOOPSY_SESSION"},
            "HOME": str(folder),
            "LOOPSY_HOME": str(self.home.root),
            "SHELL": "/bin/sh",
            "PS1": "$ ",
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        self._processes: list[subprocess.Popen[str]] = []
        self._terminals: list[pexpect.spawn[bytes]] = []

    def run(
        self, *words: str | bytes, exit_code: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code."""
        done = subprocess.run(
            [*self._command(), *words],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert exit_code in (None, done.returncode), (words, done)
        return done

    def say(self, *words: str, exit_code: int = 0) -> str:
        """Run a command and return what it printed."""
        return self.run(*words, exit_code=exit_code).stdout

    def complaint(self, *words: str | bytes, exit_code: int, **environment: str) -> str:
        """Run a command that fails, and return the one line that says why."""
        done = self.run(*words, exit_code=exit_code, **environment)
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]

    def json(self, *words: str, exit_code: int = 0) -> object:
        """Run a command with --json and return its one document."""
        return json.loads(self.say(*words, "--json", exit_code=exit_code))

    def start(self, *words: str, inside: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a command that goes on; `inside` is what starts it, if not we."""
        process = subprocess.Popen(
            [*inside, *self._command(), *words],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def on_terminal(self, *words: str, rows: int = SCREEN[0], cols: int = SCREEN[1]) -> Screen:
        """Start a command on a terminal of its own."""
        return self.spawn(*self._command(), *words, rows=rows, cols=cols)

    def spawn(self, *command: str, rows: int = SCREEN[0], cols: int = SCREEN[1]) -> Screen:
        """Start any program on a terminal of its own."""
        child = pexpect.spawn(
            command[0],
            list(command[1:]),
            env=self.environment,
            cwd=str(self.folder),
            dimensions=(rows, cols),
            timeout=PATIENCE,
        )
        self._terminals.append(child)
        return Screen(child, rows, cols)

    def session(self, *command: str, name: str = "s") -> str:
        """Leave a session behind that runs `command`; return its id."""
        shell = self.on_terminal("shell", "--name", name, "--", *command)
        shell.wait_attached()
        shell.type(b"\x01d")
        assert shell.exit_code() == 0
        listed = self.json("list")
        assert isinstance(listed, list)
        return next(str(info["id"]) for info in listed if info["name"] == name)

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close(force=True)
        for process in self._processes:
            process.kill()
            process.communicate(timeout=PATIENCE)
        if holder_of(self.home.host_lock) is not None:
            self.run("stop", "--sessions", exit_code=None)  # also what ignores a hang-up
        for lock in (self.home.node_lock, self.home.host_lock):
            end_holder(lock)

    def _command(self) -> list[str]:
        return [*self._inside, sys.executable, "-m", "loopsy_cli"]


class Screen:
    """A command on a terminal: type, wait for output, and see what it leaves.

    The terminal is an emulator, which answers what it is asked as a real one does.
    """

    def __init__(self, child: pexpect.spawn[bytes], rows: int, cols: int) -> None:
        self.child = child
        self.output = b""
        """All that came to the terminal."""
        self.terminal = Terminal(cols or SCREEN[1], rows or SCREEN[0], 1000)
        self.terminal.on_reply(self._reply)
        child.logfile_read = self

    def write(self, data: bytes) -> None:
        """Show `data`; pexpect hands over whatever it reads."""
        self.output += data
        self.terminal.feed(data)

    def flush(self) -> None:
        """Do nothing: pexpect asks for it."""

    def _reply(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the command has ended, and nobody wants to know
            self.child.send(data)

    def type(self, data: bytes) -> None:
        self.child.send(data)

    def resize(self, rows: int, cols: int) -> None:
        """Give the terminal another size, as whoever drags the edge of its window does."""
        self.terminal.resize(cols, rows)
        self.child.setwinsize(rows, cols)

    def expect(self, pattern: bytes) -> None:
        self.child.expect(pattern)

    def see(self, holds: Callable[[list[str]], object]) -> list[str]:
        """Wait until the lines on the screen are as they should be, and return them."""
        deadline = time.monotonic() + PATIENCE
        while not holds(lines := self.lines):
            assert time.monotonic() < deadline, "\n".join(lines)
            with contextlib.suppress(pexpect.TIMEOUT):
                self.child.read_nonblocking(65536, timeout=1)
        return lines

    def see_text(self, text: str) -> list[str]:
        """Wait until `text` stands on the screen, and return all lines."""
        return self.see(lambda lines: any(text in line for line in lines))

    @property
    def lines(self) -> list[str]:
        """What is on the screen now."""
        text: str = self.terminal.text()
        return text.split("\n")

    def pause(self) -> None:
        """Let the program work for a moment, for what leaves no trace on its terminal."""
        self.child.expect([pexpect.TIMEOUT], timeout=0.05)

    def wait_attached(self) -> None:
        """Wait until a session is drawn."""
        self.expect(rb"\x1b\[H\x1b\[2J")

    def wait_window(self) -> None:
        """Wait until a session of another size is drawn."""
        self.expect(rb"\x1b\[\?2026h.*\x1b\[\?2026l")

    def exit_code(self) -> int:
        """Wait for the end and return the exit code, -N if signal N ended it."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        code = self.child.exitstatus
        return -self.child.signalstatus if code is None else code
