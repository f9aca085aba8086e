"""Every request and reply survives the way, and what is out of bounds is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest
from loopsy_core.wire import (
    ALL_GRANTS,
    OPERATIONS,
    PRESETS,
    AttachSession,
    ConfigureRelay,
    OfferPairing,
    Operation,
    RenameSession,
    ResizeSession,
    StartSession,
    decode,
    encode,
    read_reply,
)
from tests.core.wire.values import documents, values
from tests.play import bounded

Kind = type[Operation[object]]

every_operation = pytest.mark.parametrize("kind", OPERATIONS.values(), ids=OPERATIONS)
every_field = pytest.mark.parametrize(
    ("kind", "field"),
    [
        pytest.param(kind, field.encode_name, id=f"{name}:{field.encode_name}")
        for name, kind in OPERATIONS.items()
        for field in msgspec.structs.fields(kind)
    ],
)

ATTACH = {"session": "a", "viewer": bytes(16), "cols": 80, "rows": 24}


@every_operation
@bounded(25)
@given(st.data())
def test_an_operation_survives_the_way(kind: Kind, data: st.DataObject) -> None:
    operation = data.draw(values(kind))
    assert decode(encode(operation), kind) == operation


@every_operation
@bounded(25)
@given(st.data())
def test_a_reply_survives_the_way(kind: Kind, data: st.DataObject) -> None:
    reply = data.draw(values(kind.reply))
    operation = data.draw(values(kind))
    assert read_reply(operation, encode(reply)) == reply


@every_operation
@bounded(10)
@given(st.data())
def test_what_a_newer_version_adds_is_ignored(kind: Kind, data: st.DataObject) -> None:
    operation = data.draw(values(kind))
    extra = data.draw(documents)
    more = msgspec.to_builtins(operation, builtin_types=[bytes]) | {"from_the_future": extra}
    assert decode(encode(more), kind) == operation


@every_operation
def test_what_is_missing_takes_its_default_or_is_named(kind: Kind) -> None:
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    if required:
        with pytest.raises(BadRequest, match=rf"missing required field `{required[0]}`"):
            decode(encode({}), kind)
    else:
        assert decode(encode({}), kind) == kind()


@every_field
@bounded(5)
@given(st.data())
def test_a_value_of_the_wrong_type_names_its_field(
    kind: Kind, field: str, data: st.DataObject
) -> None:
    operation = msgspec.to_builtins(data.draw(values(kind)), builtin_types=[bytes])
    for wrong in (
        {"no": {"such": "thing"}},
        [[]],
    ):  # no field takes a map of maps, or an empty list
        with pytest.raises(BadRequest, match=rf"at `{field}"):
            decode(encode(operation | {field: wrong}), kind)


@every_operation
@bounded(40)
@given(data=st.data())
def test_any_document_is_an_operation_or_a_bad_request(kind: Kind, data: st.DataObject) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    fields = st.dictionaries(st.sampled_from(names), documents) if names else documents
    try:
        operation = decode(encode(data.draw(documents | fields)), kind)
    except BadRequest:
        return
    assert isinstance(operation, kind)


@bounded(200)
@given(st.binary(max_size=60))
def test_garbage_is_a_bad_request_and_nothing_worse(garbage: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(garbage, AttachSession)


def test_a_document_nested_without_end_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        decode(b"\x81\xa1x" + b"\x91" * 500_000 + b"\xc0", StartSession)


def test_a_bad_request_does_not_echo_a_strangers_megabyte() -> None:
    with pytest.raises(BadRequest, match="at `preset`") as caught:
        decode(encode({"preset": "x" * 1_000_000}), OfferPairing)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        (ResizeSession, {"session": "a", "cols": 0, "rows": 24}, "cols"),
        (ResizeSession, {"session": "a", "cols": 80, "rows": 0}, "rows"),
        (ResizeSession, {"session": "a", "cols": 1001, "rows": 24}, "cols"),
        (ResizeSession, {"session": "a", "cols": 80, "rows": 1001}, "rows"),
        (ResizeSession, {"session": "a", "cols": -1, "rows": 24}, "cols"),
        (ResizeSession, {"session": "a", "cols": 2**64 - 1, "rows": 24}, "cols"),
        (ResizeSession, {"session": "a", "cols": 80.0, "rows": 24}, "cols"),
        (ResizeSession, {"session": "a", "cols": True, "rows": 24}, "cols"),
        (ResizeSession, {"session": "a", "cols": "80", "rows": 24}, "cols"),
        (ResizeSession, {"session": "", "cols": 80, "rows": 24}, "session"),
        (ResizeSession, {"session": "x" * 65, "cols": 80, "rows": 24}, "session"),
        (RenameSession, {"session": "a", "name": ""}, "name"),
        (RenameSession, {"session": "a", "name": "x" * 65}, "name"),
        (StartSession, {"argv": []}, "argv"),
        (StartSession, {"argv": ["x"] * 4097}, "argv"),
        (StartSession, {"argv": ["x" * 131_073]}, "argv"),
        (StartSession, {"argv": "ls"}, "argv"),
        (StartSession, {"argv": [b"ls"]}, "argv"),
        (StartSession, {"cwd": "x" * 4097}, "cwd"),
        (StartSession, {"kind": ""}, "kind"),
        (StartSession, {"kind": "x" * 33}, "kind"),
        (StartSession, {"env": {"A": None}}, "env"),
        (AttachSession, ATTACH | {"viewer": bytes(15)}, "viewer"),
        (AttachSession, ATTACH | {"viewer": bytes(17)}, "viewer"),
        (AttachSession, ATTACH | {"viewer": "x" * 16}, "viewer"),
        (AttachSession, ATTACH | {"offset": -1}, "offset"),
        (AttachSession, ATTACH | {"offset": 2**63}, "offset"),
        (AttachSession, ATTACH | {"typed": -1}, "typed"),
        (AttachSession, ATTACH | {"epoch": "x" * 65}, "epoch"),
        (AttachSession, ATTACH | {"view_only": 1}, "view_only"),
        (OfferPairing, {"ttl": 9.9}, "ttl"),
        (OfferPairing, {"ttl": 3600.1}, "ttl"),
        (OfferPairing, {"ttl": float("nan")}, "ttl"),
        (OfferPairing, {"ttl": float("inf")}, "ttl"),
        (OfferPairing, {"expires": 0}, "expires"),
        (OfferPairing, {"expires": float("nan")}, "expires"),
        (OfferPairing, {"preset": "admin"}, "preset"),
        (ConfigureRelay, {"url": ""}, "url"),
        (ConfigureRelay, {"url": "x" * 2049}, "url"),
        (ConfigureRelay, {"url": "x", "registration_secret": "x" * 1025}, "registration_secret"),
    ],
)
def test_what_is_out_of_bounds_is_named(kind: Kind, params: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest, match=rf"`{field}"):
        decode(encode(params), kind)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (ResizeSession, {"session": "a", "cols": 1, "rows": 1000}),
        (ResizeSession, {"session": "x" * 64, "cols": 1000, "rows": 1}),
        (RenameSession, {"session": "a", "name": "wörk \U0001f40d"}),
        (StartSession, {"argv": ["x" * 131_072], "env": {"A": ""}, "cwd": "~"}),
        (AttachSession, ATTACH | {"offset": 2**63 - 1, "typed": 0, "epoch": ""}),
        (OfferPairing, {"ttl": 10, "expires": 3_000_000_000}),
    ],
)
def test_what_is_just_within_bounds_is_taken(kind: Kind, params: dict[str, Any]) -> None:
    assert isinstance(decode(encode(params), kind), kind)


@every_operation
def test_an_operation_says_its_name_and_who_may_ask_it(kind: Kind) -> None:
    assert OPERATIONS[kind.op] is kind
    assert "grant" in vars(kind), "every operation decides for itself; None is a decision too"
    assert kind.grant is None or kind.grant in ALL_GRANTS
    assert kind.__struct_config__.frozen


def test_every_preset_holds_grants_that_exist_and_never_admin() -> None:
    for preset, grants in PRESETS.items():
        assert grants <= ALL_GRANTS, preset
        assert "admin" not in grants, preset
    assert PRESETS["viewer"] == {"view"}
