"""`loopsy up` as a user runs it, for the browser tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PATIENCE: Final = 60.0


@attrs.frozen
class Up:
    """A running `loopsy up`, and the one line that it printed."""

    process: subprocess.Popen[bytes]
    app_url: str
    pair_url: str
    code: str
    home: str

    @property
    def port(self) -> int:
        """The relay's port."""
        return int(self.app_url.split(":")[2].split("/")[0])

    def kill(self) -> None:
        """Take node and relay away without a word, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


def surroundings(home: Path) -> dict[str, str]:
    """Return an environment with `home`, and with a shell that reads nothing of its user's."""
    private = {"LOOPSY_HOME": str(home), "HOME": str(home.parent), "SHELL": "/bin/sh"}
    return {**os.environ, **private}


def loopsy(home: Path, *arguments: str) -> str:
    """Run a command to its end and return what it printed; fails when it fails."""
    return subprocess.run(
        [sys.executable, "-m", "loopsy_cli", *arguments],
        env=surroundings(home),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout


@contextmanager
def up(home: Path, port: int = 0) -> Generator[Up]:
    """Run `loopsy up --json` until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "loopsy_cli", "up", "--json", "--no-browser", "--port", str(port)],
        env=surroundings(home),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            yield Up(process, said["app_url"], said["pair_url"], said["code"], said["home"])
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


def end_everything(home: Path) -> None:
    """End what lives on in `home`: its sessions and their host."""
    loopsy(home, "stop", "--sessions")
