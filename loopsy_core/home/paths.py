"""Where a node keeps its files, and who may see them.

Everything of a node lies in one folder, the home: `~/.loopsy`, or what `LOOPSY_HOME` or `--home`
name. Several nodes can live on one machine, each in a home of its own.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Final

import attrs

from loopsy_core.errors import Misconfigured

__all__ = ["Home"]

_VARIABLE: Final = "LOOPSY_HOME"
_DEFAULT: Final = "~/.loopsy"

# Permission bits of group and others. The home holds keys, terminals and a socket that obeys
# whoever reaches it, so these two get nothing at all.
_FOREIGN_BITS: Final = 0o077


@attrs.frozen
class Home:
    """One home, and the names of what lies in it. Neither need exist."""

    root: Path

    @classmethod
    def find(cls, override: str | Path | None = None) -> Home:
        """Return the home at `override` (`--home`), else `LOOPSY_HOME`, else `~/.loopsy`.

        Raises `Misconfigured` when the path begins with `~` and nobody knows where that is.
        """
        # Set to nothing means not set: `LOOPSY_HOME=` must not make the current folder a home.
        chosen = override or os.environ.get(_VARIABLE) or _DEFAULT
        try:
            # Absolute, for a daemon changes its folder; symbolic links are the user's own choice.
            return cls(Path(chosen).expanduser().absolute())
        except RuntimeError as error:
            raise Misconfigured(
                f"cannot tell where {chosen} is, for HOME is not set: set it, or {_VARIABLE}"
            ) from error

    @property
    def config(self) -> Path:
        """The settings."""
        return self.root / "config.yaml"

    @property
    def identity(self) -> Path:
        """The private key."""
        return self.root / "identity.key"

    @property
    def api_key(self) -> Path:
        """What a script shows to the HTTP door."""
        return self.root / "api.key"

    @property
    def node_socket(self) -> Path:
        """Where the node listens for the CLI, scripts and MCP servers."""
        return self.root / "node.sock"

    @property
    def host_socket(self) -> Path:
        """Where the session host listens for the node."""
        return self.root / "host.sock"

    @property
    def node_lock(self) -> Path:
        """Held for as long as a node runs here."""
        return self.root / "node.lock"

    @property
    def host_lock(self) -> Path:
        """Held for as long as a session host runs here."""
        return self.root / "host.lock"

    @property
    def database(self) -> Path:
        """The node's SQLite database."""
        return self.root / "node.db"

    @property
    def shared_database(self) -> Path:
        """What machines and agents share: context, messages and tasks."""
        return self.root / "shared.db"

    @property
    def relay_credential(self) -> Path:
        """What this node shows to its relay."""
        return self.root / "relay.json"

    @property
    def relay_dir(self) -> Path:
        """What a relay that runs on this machine keeps."""
        return self.root / "relay"

    @property
    def sessions(self) -> Path:
        """What each session last showed."""
        return self.root / "sessions"

    @property
    def logs(self) -> Path:
        """The folder of all logs."""
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """Who asked what."""
        return self.logs / "audit.jsonl"

    @property
    def node_log(self) -> Path:
        """What the node has to say when nobody watches."""
        return self.logs / "node.log"

    @property
    def host_log(self) -> Path:
        """What the session host has to say."""
        return self.logs / "host.log"

    def create(self) -> tuple[Path, ...]:
        """Make the home and its logs folder (mode 0700), and return those that were missing.

        What exists is left as it is; `check` judges it. Raises `Misconfigured` when a folder
        cannot be made.
        """
        made = []
        for folder in (self.root, self.logs):
            try:
                # The mode is for the last folder only: one's parents are not ours to close.
                folder.mkdir(mode=0o700, parents=True)
            except FileExistsError as error:
                if not folder.is_dir():
                    raise Misconfigured(
                        f"{folder} is in the way, for it is not a folder: move it,"
                        " or choose another home with --home"
                    ) from error
            except OSError as error:
                raise Misconfigured(
                    f"cannot make the folder {folder}: {error.strerror};"
                    " choose another home with --home"
                ) from error
            else:
                made.append(folder)
        return tuple(made)

    def check(self) -> None:
        """Raise `Misconfigured` unless home, settings and secrets are ours and closed to others.

        The message holds the command that mends it. Files that do not exist are fine, a missing
        home is not.
        """
        try:
            self._check_one(self.root, "700")
        except FileNotFoundError:
            raise Misconfigured(
                f"there is no home at {self.root}: run `loopsy init`, or name another with --home"
            ) from None
        for path in (
            self.config,
            self.identity,
            self.api_key,
            self.relay_credential,
            self.database,
            self.shared_database,
        ):
            try:
                self._check_one(path, "600")
            except FileNotFoundError:
                continue

    def _check_one(self, path: Path, mode: str) -> None:
        try:
            found = path.stat()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Misconfigured(f"cannot look at {path}: {error.strerror}") from error
        quoted = shlex.quote(str(path))
        if found.st_uid != os.geteuid():
            raise Misconfigured(
                f"{path} belongs to another user (uid {found.st_uid}): run"
                f" `sudo chown {os.geteuid()} {quoted}`, or choose another home with --home"
            )
        if path == self.root and not stat.S_ISDIR(found.st_mode):
            raise Misconfigured(f"{path} is not a folder: choose another home with --home")
        if found.st_mode & _FOREIGN_BITS:
            raise Misconfigured(
                f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}):"
                f" run `chmod {mode} {quoted}`"
            )
