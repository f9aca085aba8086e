"""Changing one entry of somebody else's settings, and nothing else of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_cli.registering.jsonc import get_member, remove_member, set_member
from loopsy_cli.registering.toml import get_table, remove_table, set_table
from loopsy_core.errors import BadRequest

PATH = ("mcpServers", "loopsy")
ENTRY = {"command": "/opt/loopsy", "args": ["mcp", "serve"]}
TABLE = ("mcp_servers", "loopsy")

SETTINGS = [
    pytest.param("{}\n", id="nothing"),
    pytest.param('{"a":1}', id="in one line"),
    pytest.param('{"mcpServers": {"other": 1,},}', id="in one line, with commas at the end"),
    pytest.param('{\r\n    "theme": "x"\r\n}\r\n', id="ends of lines as on Windows"),
    pytest.param(
        '{\n  // colours\n  "theme": "x", // dark\n  "mcpServers": {\n'
        '    "other": {"command": "x"} // mine\n  }\n}\n',
        id="comments behind values",
    ),
    pytest.param(
        '{\n\t"mcpServers": {\n\t\t"other": {}, /* a */ // b\n\t},\n}\n', id="tabs and commas"
    ),
    pytest.param('{\n  "a": [1, // one\n 2,]\n  // end\n}\n', id="a comment before the brace"),
    pytest.param('\ufeff{\n  "a": "// no comment }"\n}\n', id="a mark at the beginning"),
    pytest.param('{\n  "projects": {"/x": {"mcpServers": {}}}\n}', id="servers of a project"),
]


@pytest.mark.parametrize("text", SETTINGS)
def test_an_entry_is_added_and_taken_back_to_the_byte(text: str) -> None:
    added = set_member(text, PATH, ENTRY)
    assert get_member(added, PATH) == ENTRY
    assert get_member(set_member(added, PATH, 1), PATH) == 1
    assert remove_member(added, PATH) == text


@pytest.mark.parametrize("text", SETTINGS)
def test_all_else_in_the_file_stays_comments_too(text: str) -> None:
    assert holds(set_member(text, PATH, ENTRY), text)


def holds(longer: str, shorter: str) -> bool:
    """Whether all of `shorter`, but for blanks and commas, is in `longer` in the same order."""
    there = iter(re.sub(r"[\s,]", "", longer))
    return all(char in there for char in re.sub(r"[\s,]", "", shorter))


def test_a_changed_entry_keeps_what_its_user_added_to_it() -> None:
    text = '{"mcpServers": {"loopsy": {"command": "old", /* slow */ "timeout": 9}, "z": 1}}'
    changed = set_member(text, (*PATH, "command"), "new")
    assert changed == text.replace('"old"', '"new"')


def test_an_entry_in_the_middle_goes_and_leaves_its_neighbours() -> None:
    text = '{\n  "mcpServers": {\n    "loopsy": {}, // ours\n    "z": 1 // z\n  }\n}\n'
    assert get_member(remove_member(text, PATH), ("mcpServers",)) == {"z": 1}
    assert "// z" in remove_member(text, PATH)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1', 1),
        ('{\n  "a" 1}', 2),
        ("{\n\n a: 1}", 3),
        ("[1, 2", 1),
        ('{"a": tru}', 1),
        ("{} {}", 1),
        ("", None),
        ("[" * 5000, 1),
    ],
)
def test_what_is_no_json_is_told_by_its_line_and_not_touched(text: str, line: int | None) -> None:
    with pytest.raises(BadRequest, match="empty" if line is None else f"line {line}:"):
        set_member(text, PATH, ENTRY)


def test_settings_whose_servers_are_no_object_are_not_touched() -> None:
    with pytest.raises(BadRequest, match="mcpServers is not an object"):
        set_member('{"mcpServers": []}', PATH, ENTRY)


names = st.text('abcé"\\/ {}', min_size=1, max_size=6)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | names
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
blanks = st.sampled_from(["", " ", "\n", "\n  ", " // c\n", "/* c } */", "\n\t// , {\n\t"])


@st.composite
def written(draw: st.DrawFn, value: object) -> str:
    """Write a value as some person might."""
    import json

    gap = lambda: draw(blanks)  # noqa: E731
    if isinstance(value, dict | list):
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        items = [
            (f"{json.dumps(key)}{gap()}:{gap()}" if isinstance(value, dict) else "")
            + draw(written(value[key] if isinstance(value, dict) else key))
            + gap()
            for key in value
        ]
        end = "," if items and draw(st.booleans()) else ""
        return opening + gap() + f",{gap()}".join(items) + end + gap() + closing
    return json.dumps(value)


@given(st.data(), st.dictionaries(names, values, max_size=4), st.booleans())
def test_whatever_people_write_is_read_changed_and_restored(
    data: st.DataObject, settings: dict[str, object], servers: bool
) -> None:
    if servers:
        settings["mcpServers"] = {"other": data.draw(values)}
    text = data.draw(written(settings))
    added = set_member(text, PATH, ENTRY)
    assert get_member(added, PATH) == ENTRY
    assert get_member(added, ("mcpServers", "other")) == get_member(text, ("mcpServers", "other"))
    assert holds(added, text)
    if settings:
        assert get_member(remove_member(added, PATH), ()) == settings


TABLES = [
    pytest.param("", id="nothing"),
    pytest.param('model = "x"\n', id="no tables"),
    pytest.param('model = "x"', id="no end of the last line"),
    pytest.param("a = 1\r\n\r\n[b]\r\nc = 1", id="none as on Windows"),
    pytest.param("a = 1\r\n", id="ends of lines as on Windows"),
    pytest.param(
        '# mine\nmodel = "o9"\n\n[mcp_servers.other] # keep\ncommand = "x"\n'
        'args = ["a", # why\n  "b"]\n\n# about projects\n[projects."/tmp"]\ntrust = true\n',
        id="comments between servers, which codex mcp add would lose",
    ),
]


@pytest.mark.parametrize("text", TABLES)
def test_a_table_is_added_and_taken_back_to_the_byte(text: str) -> None:
    added = set_table(text, TABLE, {"command": "/opt/l", "args": ["mcp", "serve"]})
    assert get_table(added, TABLE) == {"command": "/opt/l", "args": ["mcp", "serve"]}
    assert added.startswith(text)
    assert remove_table(added, TABLE) == text


def test_a_changed_table_keeps_what_its_user_added_to_it() -> None:
    text = (
        '[mcp_servers.loopsy]\ncommand = "old"\nstartup_timeout_sec = 20 # slow\n\n'
        '[mcp_servers.loopsy.env]\nA = "b"\n\n# next\n[x]\ny = 1\n'
    )
    changed = set_table(text, TABLE, {"command": "new", "args": ["a"]})
    assert "startup_timeout_sec = 20 # slow" in changed
    assert get_table(changed, TABLE) == {
        "command": "new",
        "args": ["a"],
        "startup_timeout_sec": 20,
        "env": {"A": "b"},
    }
    assert remove_table(changed, TABLE) == "# next\n[x]\ny = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = {other = {command = "x"}}\n',
        'mcp_servers.loopsy.command = "x"\n',
        '[mcp_servers.loopsy]\nargs = [\n  "a",\n]\n',
        's = """\n[mcp_servers.loopsy]\n"""\n',
        "[broken\n",
    ],
)
def test_a_table_that_cannot_be_changed_by_lines_is_left_to_its_user(text: str) -> None:
    with pytest.raises(BadRequest):
        set_table(text, TABLE, {"command": "new", "args": ["a"]})
