"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest
from loopsy_core.home import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("2h", 7200), ("7d", 604800), ("1.5h", 5400), ("0.1s", 0.1)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "0s",
        "-5m",
        "5 m",
        "5M",
        "1e9d",
        "1h30m",
        "5m\n",
        "٣s",
        ".5h",
        "5.h",
    ],
)
def test_no_durations(text: str) -> None:
    with pytest.raises(BadRequest, match="is not a duration: write 30s, 5m, 2h or 7d"):
        parse_duration(text)


def test_a_duration_that_is_too_long_is_told_how_long_it_may_be() -> None:
    for text, days in (("99999d", 3650), ("31d", 30), ("721h", 30)):
        with pytest.raises(BadRequest, match=f"too long: it may be {days}d at most"):
            parse_duration(text, days * 86_400.0)
    assert parse_duration("30d", 30 * 86_400.0) == 30 * 86_400


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64K", 65536), ("500m", 500 << 20), ("2GB", 2 << 30), ("1TiB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5G", "K", "10B", "10 M", "1P", "1Mi", "٣"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(BadRequest, match="is not a size: write 4096, 64K, 500M or 2G"):
        parse_size(text)


@given(st.text())
def test_any_text_is_a_value_or_a_short_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) > 0
        except BadRequest as error:
            assert len(error.message) < 600  # noqa: PT017 - the text may be a value
