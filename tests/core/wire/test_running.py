"""What is told of a job survives the way; what a newer version tells is passed over."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest
from loopsy_core.wire import JobItem, JobOutput, JobStarted, decode_job_item, encode
from tests.core.wire.values import documents, values
from tests.play import bounded

if TYPE_CHECKING:
    import msgspec


@pytest.mark.parametrize("kind", get_args(JobItem))
@bounded(50)
@given(data=st.data())
def test_an_item_survives_the_way(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    item = data.draw(values(kind))
    assert decode_job_item(encode(item)) == item


def test_what_only_a_newer_version_knows_is_passed_over() -> None:
    assert decode_job_item(encode({"type": "mood", "of": 3})) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "output", "stream": "stdlog", "offset": 0},
        {"type": "output", "stream": "stdout", "offset": -1},
        {"type": "started", "job": "j", "pid": 1},
        {"type": 5},
        {},
        [],
    ],
)
def test_what_makes_no_sense_is_a_bad_request(wrong: object) -> None:
    with pytest.raises(BadRequest):
        decode_job_item(encode(wrong))


@bounded(200)
@given(st.binary(max_size=60) | documents.map(encode))
def test_garbage_is_an_item_or_a_bad_request(garbage: bytes) -> None:
    with suppress(BadRequest):
        item = decode_job_item(garbage)
        assert item is None or isinstance(item, (JobStarted, JobOutput))
