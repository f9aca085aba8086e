"""What people use today, for comparison: an sshd of our own on loopback, and a tmux server."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Missing", "running_sshd", "running_tmux"]

PATIENCE: Final = 10.0
SSHD_PATHS: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


class Missing(Exception):
    """It is not to be had here; its text says why."""


@contextmanager
def running_sshd() -> Generator[Callable[[str], list[str]]]:
    """Run an sshd with keys of its own; yields what makes the `ssh` that runs a script there.

    Raises `Missing` where that cannot be.
    """
    sshd = shutil.which("sshd", path=SSHD_PATHS)
    if sshd is None or shutil.which("ssh") is None:
        raise Missing("ssh or sshd is not installed")
    with tempfile.TemporaryDirectory(prefix="loopsy-bench-ssh-") as name, socket.socket() as free:
        folder = Path(name)
        for key in ("host", "user"):
            path = str(folder / key)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        ssh = [
            *("ssh", "-F", "none", "-e", "none", "-tt", "-q", "-p", str(port), "-i"),
            *(str(folder / "user"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"),
            *("-o", f"UserKnownHostsFile={folder / 'known'}", "-o", "BatchMode=yes"),
            f"{getpass.getuser()}@127.0.0.1",
        ]
        command = [sshd, "-D", "-f", str(folder / "config"), "-E", str(folder / "log")]
        with subprocess.Popen(command) as process:
            try:
                _wait_until_it_serves(process, ssh, folder / "log")
                yield lambda script: [*ssh, script]
            finally:
                process.terminate()


def _wait_until_it_serves(process: subprocess.Popen[bytes], ssh: list[str], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        done = subprocess.run(
            [*ssh, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode == 0:
            return
        time.sleep(0.1)
    said = log.read_text().splitlines() if log.exists() else []
    raise Missing(f"no sshd of our own serves here: {said[-1:]}")


@contextmanager
def running_tmux() -> Generator[list[str]]:
    """Run a tmux server without configuration; yields the beginning of its commands.

    Raises `Missing` where there is no tmux.
    """
    if shutil.which("tmux") is None:
        raise Missing("tmux is not installed")
    with tempfile.TemporaryDirectory(prefix="loopsy-bench-tmux-") as folder:
        tmux = ["tmux", "-f", "/dev/null", "-S", str(Path(folder) / "socket")]
        try:
            options = ["set", "-g", "status", "off", ";", "set", "-g", "history-limit", "20000"]
            keep = ["new-session", "-d", "-s", "keep", "exec sleep 1000", ";", *options]
            subprocess.run([*tmux, *keep], check=True)
            yield tmux
        finally:
            subprocess.run([*tmux, "kill-server"], check=False, stderr=subprocess.DEVNULL)
