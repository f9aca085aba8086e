"""What holds for every test of the relay: nothing is logged as an error unless expected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def expected_errors() -> list[str]:
    """Collect the beginnings of log lines that this test is about."""
    return []


@pytest.fixture(autouse=True)
def no_error_is_logged(
    caplog: pytest.LogCaptureFixture, expected_errors: list[str]
) -> Generator[None]:
    caplog.set_level(logging.DEBUG, "loopsy_relay")
    yield
    errors = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR
    ]
    assert [error for error in errors if not error.startswith(tuple(expected_errors))] == []
