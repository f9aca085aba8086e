"""Changing one table of a TOML file, and leaving every other byte of it alone.

The standard library reads TOML and does not write it. What is needed here is one table of strings
and lists at the end of a file; that nothing else has changed is proven by reading the result.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from typing import Final

from loopsy_core.errors import BadRequest

from .jsonc import Value

__all__ = ["get_table", "remove_table", "set_table"]

_HEADER: Final = re.compile(r"^[ \t]*\[\[?[ \t]*(?P<name>[^\[\]\n]+?)[ \t]*\]\]?[ \t]*(?:#.*)?$")


def get_table(text: str, path: tuple[str, str]) -> dict[str, object] | None:
    """Return the table at `path`, None where there is none; `BadRequest` if it is not TOML."""
    outer = _parse(text).get(path[0])
    inner = outer.get(path[1]) if isinstance(outer, dict) else None
    return inner if isinstance(inner, dict) else None


def set_table(text: str, path: tuple[str, str], values: Mapping[str, Value]) -> str:
    """Return `text` with `values` in the table at `path`; other keys of it stay.

    Raises `BadRequest` when the file is written so that this cannot be done line by line.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    ended = not text.strip() or text.endswith("\n")  # as the result is, or it could not be restored
    lines = [f"{key} = {_written(value)}" for key, value in values.items()]
    block = _block(text, path)
    if block is None:
        gap = "" if not text.strip() else newline if ended else 2 * newline
        header = f"[{path[0]}.{path[1]}]"
        result = text + gap + newline.join([header, *lines]) + (newline if ended else "")
    else:
        start, end = block
        kept = text[start:end].splitlines(keepends=True)
        names = "|".join(map(re.escape, values))
        ours = re.compile(rf"^[ \t]*(?:{names})[ \t]*=")
        body = [line for line in kept[1:] if not ours.match(line)]
        result = (
            text[:start] + kept[0] + "".join(line + newline for line in lines) + "".join(body)
        ) + text[end:]
    expected = deepcopy(_parse(text))
    tables = expected.setdefault(path[0], {})
    assert isinstance(tables, dict)
    tables[path[1]] = {**tables.get(path[1], {}), **values}
    return _checked(result, expected, path)


def remove_table(text: str, path: tuple[str, str]) -> str:
    """Return `text` without the table at `path` and those below it."""
    if get_table(text, path) is None:
        return text
    expected = deepcopy(_parse(text))
    tables = expected[path[0]]
    assert isinstance(tables, dict)
    del tables[path[1]]
    if not tables and not re.search(rf"^[ \t]*\[[ \t]*{path[0]}[ \t]*\]", text, re.MULTILINE):
        del expected[path[0]]
    result = text
    while (block := _block(result, path)) is not None:
        start, end = block
        before = result[:start]
        # With it goes the empty line that stands before it.
        if end == len(result) or result[end:].startswith(("\n", "\r\n")):
            kept = "" if end == len(result) and not result.endswith("\n") else r"\1"
            before = re.sub(r"(\r?\n)\r?\n\Z", kept, before)
        result = before + (result[end:] if before else result[end:].lstrip("\r\n"))
    return _checked(result, expected, path)


def _block(text: str, path: tuple[str, str]) -> tuple[int, int] | None:
    """Return where the first table at `path`, or below it, begins and ends."""
    at, start, end = 0, None, 0
    for line in text.splitlines(keepends=True):
        found = _HEADER.match(line.rstrip("\r\n"))
        if found is not None:
            if start is not None:
                break
            if _names(found["name"])[:2] == path:
                start = at
        at += len(line)
        # Blank lines and comments at the end belong to what follows.
        if start is not None and line.strip() and not line.lstrip().startswith("#"):
            end = at
    return None if start is None else (start, end)


def _names(header: str) -> tuple[str, ...]:
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)', header)
    return tuple(next(part for part in found if part) if any(found) else "" for found in parts)


def _checked(result: str, expected: Mapping[str, object], path: tuple[str, str]) -> str:
    try:
        good = tomllib.loads(result) == expected
    except tomllib.TOMLDecodeError:
        good = False
    if not good:
        raise BadRequest(
            f"{'.'.join(path)} is written there in a way that cannot be changed without touching"
            " the rest; change it by hand"
        )
    return result


def _parse(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"it is not TOML: {error}") from None


def _written(value: Value) -> str:
    # Texts, numbers and lists of them are written alike, but for what no path here has: DEL.
    return json.dumps(value, ensure_ascii=False)
