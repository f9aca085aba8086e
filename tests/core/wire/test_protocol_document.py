"""PROTOCOL.md tells the truth: its tables and lists are compared with the code.

Only what stands in the document's fixed forms is read: tables, `{maps}` and numbers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

import loopsy_core.errors
from loopsy_core.capabilities.job import PATIENCE, PICK_UP
from loopsy_core.capabilities.jobs import MOST_LISTED
from loopsy_core.errors import LoopsyError, NoDaemon
from loopsy_core.wire import (
    CHUNK,
    CODE_DIGITS,
    MAX_CELLS,
    MAX_MESSAGE,
    OPERATIONS,
    SECRET_BYTES,
    WIDE,
    WINDOW,
    ApprovalRequest,
    AttachedItem,
    AttachSession,
    CommandInfo,
    ContextInfo,
    Envelope,
    Event,
    FileInfo,
    HostHello,
    HostInfo,
    JobInfo,
    JobItem,
    KindInfo,
    Message,
    Pattern,
    PeerInfo,
    PhoneInfo,
    SessionInfo,
    Task,
    ViewerItem,
    cost,
)
from loopsy_core.wire.calls import MAX_OPEN, WIDE_CHUNK
from loopsy_core.wire.greeting import MAX_NAME, OFFER_ID, PROLOGUE, Knock
from loopsy_core.wire.noise import KEY
from loopsy_core.wire.sealed import MAX_RECORD, PADDED_UP_TO, REKEY_EVERY
from loopsy_core.wire.transfer import RESUMABLE, SMALL, ReceiverItem, SenderItem

TEXT = (Path(__file__).parents[3] / "PROTOCOL.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## \d+\. (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))

DEFAULTS: dict[str, object] = {"nil": None, "false": False, "{}": {}}
"""What the document writes for defaults that are neither numbers nor strings."""

REPLIES = {
    "SessionInfo": SessionInfo,
    "PhoneInfo": PhoneInfo,
    "HostInfo": HostInfo,
    "JobInfo": JobInfo,
    "FileInfo": FileInfo,
    "KindInfo": KindInfo,
    "CommandInfo": CommandInfo,
    "ApprovalRequest": ApprovalRequest,
    "PeerInfo": PeerInfo,
    "ContextInfo": ContextInfo,
    "Task": Task,
}


def rows(section: str, head: str) -> list[list[str]]:
    """Return the cells of the table in `section` whose first column is called `head`."""
    table = re.search(
        rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", SECTIONS[section], re.MULTILINE
    )
    assert table, head
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table[1].splitlines()]


def parts(text: str) -> list[str]:
    """Split "a, b: {c, d}, e" at the commas that are outside of all brackets."""
    found, depth = [""], 0
    for character in text:
        depth += (character in "{[") - (character in "}]")
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return [part.strip() for part in found if part.strip()]


def names(text: str) -> list[str]:
    """Return the keys of a map that is written as "{a, b: type, c=default}"."""
    assert text[0] + text[-1] == "{}", text
    return [re.split(r"[:=]", part)[0] for part in parts(text[1:-1])]


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def first_map(text: str) -> str:
    """Return the first `{...}` in `text`, which may run over several lines."""
    found = re.search(r"`(\{.*?\})`", text, re.DOTALL)
    assert found, text
    return found[1]


def test_every_operation_stands_in_the_document_with_its_grant() -> None:
    said = {row[0].strip("`"): row[1].strip("`") for row in rows("Operations", "op")}
    assert said == {name: kind.grant or "-" for name, kind in OPERATIONS.items()}


@pytest.mark.parametrize("row", rows("Operations", "op"), ids=lambda row: row[0].strip("`"))
def test_params_and_results_have_the_fields_that_the_document_names(row: list[str]) -> None:
    op, _, params, result = row
    kind = OPERATIONS[op.strip("`")]
    if "below" not in params:
        assert_params(kind, first_map(params) if params else "{}")
    if "below" in result:
        return
    named = result.rpartition("; then ")[2].split(",")[0]
    if named in REPLIES:
        assert kind.reply is REPLIES[named]
    elif result.startswith("Items:"):
        assert fields(kind.reply) == []
    else:
        assert names(first_map(result)) == fields(kind.reply)


def test_attach_takes_what_the_document_names() -> None:
    assert_params(AttachSession, first_map(SECTIONS["Attach"]))


def assert_params(kind: type[msgspec.Struct], text: str) -> None:
    """Check that `text`, "{session, cols=80}", names the fields of `kind` and their defaults."""
    assert names(text) == fields(kind)
    for field, part in zip(msgspec.structs.fields(kind), parts(text[1:-1]), strict=True):
        _, has_default, written = part.partition("=")
        assert field.required == (not has_default), part
        if has_default:
            assert default_of(field) == read_default(written), part


def default_of(field: msgspec.structs.FieldInfo) -> object:
    factory: Any = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else factory()


def read_default(written: str) -> object:
    if written in DEFAULTS:
        return DEFAULTS[written]
    return msgspec.json.decode(written)


def test_the_infos_have_the_fields_that_the_document_names() -> None:
    for name, kind in REPLIES.items():
        listed = re.search(rf"\b{name}: `(.*?)`", SECTIONS["Operations"], re.MULTILINE | re.DOTALL)
        assert listed
        assert names(listed[1]) == fields(kind)


def test_every_event_stands_in_the_document() -> None:
    [listed] = re.findall(r"^Events: (.*?)\n\n", SECTIONS["Operations"], re.MULTILINE | re.DOTALL)
    said = {name: names(what) for name, what in re.findall(r"`(\w+) (\{.*?\})`", listed)}
    assert said == {tag_of(event): fields(event) for event in get_args(Event)}


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        ("Attach", (*get_args(AttachedItem), *get_args(ViewerItem))),
        ("Jobs", get_args(JobItem)),
    ],
)
def test_every_item_of_a_stream_stands_in_the_document(
    section: str, kinds: tuple[type[msgspec.Struct], ...]
) -> None:
    said = {
        name: parts(rest)
        for name, rest in re.findall(r'Item `\{type: "(\w+)", (.*?)\}`', SECTIONS[section])
    }
    assert said == {tag_of(kind): fields(kind) for kind in kinds}


def test_every_item_of_moving_files_stands_in_the_document() -> None:
    said = {
        name: names("{" + rest.removeprefix(", ") + "}")
        for name, rest in re.findall(r'Item `\{type: "(\w+)"(.*?)\}`', SECTIONS["Files"])
    }
    kinds = (*get_args(SenderItem), *get_args(ReceiverItem))
    assert said == {tag_of(kind): fields(kind) for kind in kinds}


def tag_of(kind: type[msgspec.Struct]) -> object:
    return kind.__struct_config__.tag


def arrays(cells: list[str]) -> list[list[str]]:
    """Return the arrays that a table's first cell shows: [["9", "n"], ["10", "n"]]."""
    return [array.split(", ") for array in re.findall(r"`\[(.*?)\]`", cells[0])]


def test_every_message_stands_in_the_document_with_its_number() -> None:
    said = [
        (int(array[0]), name, array[1:])
        for row in rows("Calls", "array")
        for array, name in zip(arrays(row), re.findall(r"\*\*(\w+)\*\*", row[1]), strict=True)
    ]
    # The document calls the content of Data and Item "bytes", and the number of a Ping "n".
    same = {"data": "bytes", "value": "bytes", "number": "n"}
    assert said == [
        (tag_of(kind), kind.__name__, [same.get(field, field) for field in fields(kind)])
        for kind in get_args(Message)
    ]


def test_every_envelope_stands_in_the_document_with_its_number() -> None:
    said = [
        (int(arrays(row)[0][0]), re.findall(r"\*\*(\w+)\*\*", row[2])[0], arrays(row)[0][1:])
        for row in rows("The relay", "array")
    ]
    same = {"sealed": "bytes", "from_": "from"}
    assert said == [
        (tag_of(kind), kind.__name__, [same.get(field, field) for field in fields(kind)])
        for kind in get_args(Envelope)
    ]


def test_the_first_bytes_of_greetings_are_those_of_the_document() -> None:
    said = {row[1].strip("`"): int(row[0]) for row in rows("Sealing", "first byte")}
    assert said == {f"Noise_{pattern.name}": said[f"Noise_{pattern.name}"] for pattern in Pattern}
    for pattern in (Pattern.IK, Pattern.IKpsk1):
        first = bytes([said[f"Noise_{pattern.name}"]]) + bytes(200)
        assert Knock.parse(first).pattern is pattern
    assert f'"{PROLOGUE.decode()}"' in SECTIONS["Sealing"]


def test_every_fault_code_stands_in_the_document() -> None:
    [listed] = re.findall(r"\*\*Fault codes\*\*: (.*?)\. ", SECTIONS["Calls"], re.DOTALL)
    kinds = vars(loopsy_core.errors).values()
    codes = {
        kind.code for kind in kinds if isinstance(kind, type) and issubclass(kind, LoopsyError)
    }
    # No node runs: nobody is there to say that on a wire.
    assert set(re.findall(r"`(\w+)`", listed)) == codes - {NoDaemon.code}


@pytest.mark.parametrize(
    ("section", "sentence", "number"),
    [
        ("Transports", r"at most 1 MiB \(([\d ]+)\), never 0", MAX_MESSAGE),
        ("Sealing", r"two strings of at most (\d+) characters", MAX_NAME),
        ("Sealing", r"offer id \((\d+) bytes\)", OFFER_ID),
        ("Sealing", r"public key \((\d+) bytes\)", KEY),
        ("Sealing", r"the (\d)-digit `code`", CODE_DIGITS),
        ("Sealing", r"a (\d+)-bit `secret`", SECRET_BYTES * 8),
        ("Sealing", r"message\s+of at most ([\d ]+) bytes", MAX_RECORD + 16),
        ("Sealing", r"a record \(at most ([\d ]+) bytes\)", MAX_RECORD),
        ("Sealing", r"at most (\d+) bytes is padded", PADDED_UP_TO),
        ("Sealing", r"After every 2\^(\d+) messages", REKEY_EVERY.bit_length() - 1),
        ("Calls", r"starts with ([\d ]+)\.", WINDOW),
        ("Calls", r"it sends `consumed \+ (\d+)`", WINDOW),
        ("Calls", r"consumed\s+([\d ]+) since the last Credit", WINDOW // 4),
        ("Calls", r"the length of its bytes plus (\d+)", cost(b"")),
        ("Calls", r"should be at most ([\d ]+) bytes", CHUNK),
        ("Calls", r"widen that window to at most ([\d ]+),", WIDE),
        ("Calls", r"sent \+ ([\d ]+) is the limit", WIDE),
        ("Calls", r"in those two calls\s+at most ([\d ]+),", WIDE_CHUNK),
        ("Calls", r"may have (\d+) calls open", MAX_OPEN),
        ("Operations", r"1 to (\d+) rows", MAX_CELLS),
        ("Operations", r"then Faults\s+`misconfigured`. It is (\d+) now", HostHello.protocol),
        ("Operations", r"the newest (\d+)", MOST_LISTED),
        ("Jobs", r"SIGKILL after (\d+) s", int(PATIENCE)),
        ("Jobs", r"goes on for (\d+) s", int(PICK_UP)),
        ("Files", r"a whole file of at most ([\d ]+) bytes", SMALL),
        ("Files", r"from ([\d ]+) bytes on", RESUMABLE),
    ],
)
def test_the_numbers_of_the_document_are_those_of_the_code(
    section: str, sentence: str, number: int
) -> None:
    found = re.search(sentence, SECTIONS[section])
    assert found, sentence
    assert int(found[1].replace(" ", "")) == number
