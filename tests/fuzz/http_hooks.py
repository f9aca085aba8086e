"""What schemathesis may make up when it fuzzes a node: files in one folder only."""

from __future__ import annotations

import os

FILES = "LOOPSY_FUZZ_FILES"
"""The variable that names the folder."""
PATHS = ("sourcePath", "destPath", "saveTo", "path", "cwd")


def inside(path: object) -> object:
    """Return a path in the folder that looks like `path`."""
    if not isinstance(path, str):
        return path
    return f"{os.environ[FILES]}/{path.replace('/', '_').replace('..', '_')}"


def keep_inside(values: object) -> object:
    """Return a body or a query whose paths all lie in the folder."""
    if not isinstance(values, dict):
        return values
    return {name: inside(value) if name in PATHS else value for name, value in values.items()}


if "SCHEMATHESIS_HOOKS" in os.environ:
    import schemathesis

    @schemathesis.hook
    def map_body(_context: object, body: object) -> object:
        return keep_inside(body)

    @schemathesis.hook
    def map_query(_context: object, query: object) -> object:
        return keep_inside(query)
