"""Changing one member of a JSON file with comments, and leaving every other byte of it alone.

Agents keep their settings in JSON that people edit: with comments, sometimes with commas at the end
of lists. Reading and writing such a file as JSON would lose all of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

import attrs

from loopsy_core.errors import BadRequest

__all__ = ["Value", "get_member", "remove_member", "set_member"]

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

DEEPEST: Final = 100
_BLANK: Final = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?:/\*[^\n]*?\*/[ \t]*)*(?://[^\r\n]*)?")
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_PLAIN: Final = re.compile(r"[-+.0-9A-Za-z]+")


@attrs.frozen
class _Member:
    """One member of an object: where its key begins, and its value."""

    key: str
    start: int
    value: _Node
    comma: int | None
    """Where the comma behind it is."""


@attrs.frozen
class _Node:
    """A value, from `start` to before `end`."""

    start: int
    end: int
    value: Value
    members: tuple[_Member, ...] | None
    """Of an object."""


def get_member(text: str, path: Sequence[str]) -> Value:
    """Return the value at `path`, None where there is none; `BadRequest` if it is not JSON."""
    try:
        # Settings without comments are read a dozen times as fast so; Claude Code's grow large.
        value: Value = json.loads(text)
    except (ValueError, RecursionError):
        value = _read(text).value
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def set_member(text: str, path: Sequence[str], value: Value) -> str:
    """Return `text` with `value` at `path`; objects on the way that are missing are made.

    Raises `BadRequest` when it is no JSON, or something else than an object is in the way.
    """
    node = _read(text)
    for depth, key in enumerate(path):
        if node.members is None:
            where = ".".join(path[:depth]) or "the file"
            raise BadRequest(f"{where} is not an object that {key} could be put into")
        member = _find(node, key)
        if member is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _insert(text, node, key, value)
        node = member.value
    written = _written(value, _indent_at(text, node.start), _unit(text), "\n")
    return text[: node.start] + _ends(text, written) + text[node.end :]


def remove_member(text: str, path: Sequence[str]) -> str:
    """Return `text` without the member at `path`, and without objects that it leaves empty."""
    node = _read(text)
    for key in path[:-1]:
        member = _find(node, key)
        if member is None:
            return text
        node = member.value
    if _find(node, path[-1]) is None:
        return text
    assert node.members is not None
    if len(node.members) == 1 and len(path) > 1 and not _comments(text, node):
        return remove_member(text, path[:-1])
    return _cut_out(text, node, path[-1])


def _find(node: _Node, key: str) -> _Member | None:
    """Return the last member of this name, for that is the one that counts."""
    return next((member for member in reversed(node.members or ()) if member.key == key), None)


def _insert(text: str, node: _Node, key: str, value: Value) -> str:
    """Put a new member behind the last one, as the others are written."""
    members = node.members or ()
    unit = _unit(text)
    if not members:
        outer = _indent_at(text, node.start)
        inner = text[node.start + 1 : node.end - 1].rstrip()
        new = f"\n{outer}{unit}{json.dumps(key)}: {_written(value, outer + unit, unit)}\n{outer}"
        return text[: node.start + 1] + inner + _ends(text, new) + text[node.end - 1 :]
    last = members[-1]
    behind = last.value.end if last.comma is None else last.comma + 1
    if "\n" not in text[node.start : members[0].start]:
        new = f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        new = f", {new}" if last.comma is None else f" {new},"
        return text[:behind] + new + text[behind:]
    indent = _indent_at(text, last.start)
    new = f"\n{indent}{json.dumps(key)}: {_written(value, indent, unit)}"
    if last.comma is not None:
        new += ","
    found = _REST_OF_LINE.match(text, behind)
    assert found is not None
    line_end = found.end()
    if text[line_end : line_end + 1] not in ("\r", "\n"):
        line_end = behind
    comma = "," if last.comma is None else ""
    return (
        text[: last.value.end]
        + comma
        + text[last.value.end : line_end]
        + _ends(text, new)
        + text[line_end:]
    )


def _cut_out(text: str, node: _Node, key: str) -> str:
    """Take a member out, with the blanks before it and one comma."""
    members = node.members or ()
    member = _find(node, key)
    assert member is not None
    at = members.index(member)
    end = member.value.end if member.comma is None else member.comma + 1
    if len(members) == 1:
        before = text[node.start + 1 : member.start].rstrip()
        rest = text[end : node.end - 1]
        return text[: node.start + 1] + before + rest.rstrip(" \t\r\n") + text[node.end - 1 :]
    start = len(text[: member.start].rstrip(" \t"))
    if text[:start].endswith("\n"):
        start -= 2 if text[:start].endswith("\r\n") else 1
    elif at == 0:
        return text[: member.start] + text[members[1].start :]
    comma = members[at - 1].comma if at else None
    if member.comma is None and comma is not None:  # it was the last, and now another one is
        return text[:comma] + text[comma + 1 : start] + text[end:]
    return text[:start] + text[end:]


def _comments(text: str, node: _Node) -> bool:
    """Whether there is a comment right inside an object with one member."""
    assert node.members is not None
    (member,) = node.members
    end = member.value.end if member.comma is None else member.comma + 1
    outside = text[node.start + 1 : member.start] + text[end : node.end - 1]
    return bool(outside.strip())


def _written(value: Value, indent: str, unit: str, newline: str = "\n") -> str:
    """Write a value over several lines, lists of simple things in one."""
    if isinstance(value, dict) and value:
        lines = [
            f"{indent}{unit}{json.dumps(key, ensure_ascii=False)}:"
            f" {_written(item, indent + unit, unit, newline)}"
            for key, item in value.items()
        ]
        return "{" + newline + f",{newline}".join(lines) + newline + indent + "}"
    return json.dumps(value, ensure_ascii=False)


def _ends(text: str, new: str) -> str:
    """Return `new` with the ends of lines that `text` has."""
    return new.replace("\n", "\r\n") if "\r\n" in text else new


def _unit(text: str) -> str:
    """Return by how much the file indents."""
    found = re.search(r"\n([ \t]+)[\"/]", text)
    return found[1] if found else "  "


def _indent_at(text: str, at: int) -> str:
    """Return how far the line is indented that `at` is in."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _read(text: str) -> _Node:
    begin = _skip(text, 0)
    if begin == len(text):
        raise BadRequest("the file is empty")
    node, at = _value(text, begin, 0)
    if _skip(text, at) != len(text):
        _fail(text, at, "something follows the end")
    return node


def _value(text: str, at: int, depth: int) -> tuple[_Node, int]:
    if depth > DEEPEST:
        _fail(text, at, "it is nested too deeply")
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at, depth)
    if first == "[":
        return _array(text, at, depth)
    found = (_STRING if first == '"' else _PLAIN).match(text, at)
    if found is None:
        _fail(text, at, "a value is missing")
    try:
        value = json.loads(found[0])
    except ValueError:
        _fail(text, at, f"{found[0][:20]!r} is no value")
    return _Node(at, found.end(), value, None), found.end()


def _object(text: str, start: int, depth: int) -> tuple[_Node, int]:
    members: list[_Member] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        found = _STRING.match(text, at)
        if found is None:
            _fail(text, at, "a key in double quotes is missing")
        colon = _skip(text, found.end())
        if text[colon : colon + 1] != ":":
            _fail(text, colon, "a colon is missing")
        node, end = _value(text, _skip(text, colon + 1), depth + 1)
        comma = _skip(text, end)
        there = text[comma : comma + 1] == ","
        try:
            key = json.loads(found[0])
        except ValueError:
            _fail(text, at, "this key is no text")
        members.append(_Member(key, at, node, comma if there else None))
        at = _skip(text, comma + 1) if there else comma
        if not there and text[at : at + 1] != "}":
            _fail(text, at, "a comma or } is missing")
    value: Value = {member.key: member.value.value for member in members}
    return _Node(start, at + 1, value, tuple(members)), at + 1


def _array(text: str, start: int, depth: int) -> tuple[_Node, int]:
    items: list[Value] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        node, at = _value(text, at, depth + 1)
        items.append(node.value)
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            _fail(text, at, "a comma or ] is missing")
    return _Node(start, at + 1, items, None), at + 1


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()


def _fail(text: str, at: int, what: str) -> NoReturn:
    raise BadRequest(f"line {text.count(chr(10), 0, at) + 1}: {what}")
