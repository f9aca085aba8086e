"""openapi.json, made from the routes and the types that they read and answer with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from loopsy_core import __version__

from .problems import Wrong
from .route import JSON, NoBody
from .spool import MULTIPART
from .streaming import EVENTS, StreamFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .route import AnyRoute

__all__ = ["describe"]

_Json: TypeAlias = dict[str, object]

_TEMPLATE: Final = "#/components/schemas/{name}"
_BINARY: Final = {"type": "string", "format": "binary"}
_FORM: Final = {
    "type": "object",
    "properties": {"destPath": {"type": "string"}, "file": _BINARY},
    "required": ["file"],
}


def describe(routes: Sequence[AnyRoute], base: str) -> _Json:
    """Return the document (OpenAPI 3.1) of all `routes`, whose paths begin with `base`."""
    bodies = [route.body for route in routes if route.body is not NoBody]
    kinds = [*dict.fromkeys([*bodies, *(route.reply for route in routes), StreamFailed, Wrong])]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, _Json] = {}
    for route in routes:
        path = paths.setdefault(f"{base}{route.path}", {})
        path[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Loopsy",
            "version": __version__,
            "description": "One node, by HTTP on loopback. docs/http.md says what is meant.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _operation(route: AnyRoute, schema_of: dict[object, _Json]) -> _Json:
    wrong = {"description": "It failed", "content": {JSON: {"schema": schema_of[Wrong]}}}
    schema = schema_of[route.reply]
    if route.media_type == EVENTS:
        schema = _event({"anyOf": [schema, schema_of[StreamFailed]]})
    answer: _Json = {route.media_type: {"schema": schema}}
    if route.downloads is not None:
        answer[route.downloads] = {"schema": _BINARY}
    operation: _Json = {
        "operationId": f"{route.method.lower()}{_capitals(route.path)}",
        "summary": route.summary,
        "tags": [route.family],
        "parameters": [*_names(route.path), *_query(route.query)],
        "responses": {"200": {"description": "It is done", "content": answer}, "default": wrong},
    }
    content: _Json = {
        kind: {"schema": _FORM if kind == MULTIPART else _BINARY} for kind in route.uploads
    }
    if route.body is not NoBody:
        content[JSON] = {"schema": schema_of[route.body]}
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _event(said: _Json) -> _Json:
    """Describe one event of a stream, as OpenAPI 3.2 does: a text that holds JSON."""
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": said}
    return {"type": "object", "properties": {"data": data}, "required": ["data"]}


def _capitals(path: str) -> str:
    return "".join(part.strip("{}").title() for part in path.split("/"))


def _names(path: str) -> list[_Json]:
    return [
        {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{")
    ]


def _query(kind: type[object]) -> list[_Json]:
    [reference], components = msgspec.json.schema_components([kind], ref_template="{name}")
    described = components[str(reference["$ref"])]
    required = described.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in described["properties"].items()
    ]
