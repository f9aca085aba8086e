"""Fixtures of the command line's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import CommandLine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture
def loopsy(tmp_path: Path) -> Generator[CommandLine]:
    """The command line on a home that does not exist yet."""
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.close()
