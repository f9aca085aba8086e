"""What agents may not do here: the section `mcp` of the settings.

It keeps a well-meaning agent to what its user wants. It is no boundary against one that has a
shell here, for that can do what its user can; SECURITY.md says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopsy_core.errors import Refused
from loopsy_core.home import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.home import McpConfig

    from .tool import Tool

__all__ = ["Policy"]

PREFIX = "loopsy_"


class Policy:
    """The settings, read again whenever their file has changed."""

    def __init__(self, path: Path) -> None:
        """Obey the settings at `path`."""
        self._path = path
        self._read: tuple[object, McpConfig] | None = None

    def check(self, kind: type[Tool]) -> None:
        """Raise `Refused`, naming the line, when agents may not use this tool."""
        config = self._config()
        for denied, line in config.deny.items():
            if _means(denied, kind):
                raise Refused(
                    f"{kind.tool} is denied to agents by {self._path}, line {line}"
                    f" (mcp.deny: {denied}); only the user can change that"
                )

    def allows(self, kind: type[Tool]) -> bool:
        """Whether agents may use this tool."""
        return not any(_means(denied, kind) for denied in self._config().deny)

    def allows_peer(self, name: str) -> bool:
        """Whether agents may work on the machine of this name."""
        peers = self._config().peers
        return peers is None or name in peers

    def check_peer(self, name: str) -> None:
        """Raise `Refused`, naming the line, when agents may not work on this machine."""
        config = self._config()
        if config.peers is not None and name not in config.peers:
            raise Refused(
                f"agents may not work on {name}: it is not in mcp.peers"
                f" ({self._path}, line {config.peers_line}); only the user can change that"
            )

    def _config(self) -> McpConfig:
        try:
            state = self._path.stat()
        except OSError:
            stamp: object = None
        else:
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, load_config(self._path).mcp)
        return self._read[1]


def _means(denied: str, kind: type[Tool]) -> bool:
    return denied.removeprefix(PREFIX) in (kind.group, kind.tool.removeprefix(PREFIX))
