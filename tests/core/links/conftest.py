"""What holds for every test of the links: nothing is logged as an error unless expected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Fail a test that leaves an error in the log; one that expects it clears `caplog`."""
    caplog.set_level(logging.INFO)
    yield
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, errors
