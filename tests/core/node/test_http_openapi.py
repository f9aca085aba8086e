"""openapi.json: it describes what is there, all of it, and as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from loopsy_core.node.http.app import BASE, ROUTES, make_app
from tests.core.node.http_world import open_door

if TYPE_CHECKING:
    from loopsy_core.home import Home

PROMISED = """
GET health, GET status, GET identity, GET peers, POST peers, DELETE peers/{id}, POST execute,
POST execute/stream, GET execute/jobs, DELETE execute/{id}, PUT context/{key}, GET context/{key},
DELETE context/{key}, GET context, GET sessions, POST sessions, DELETE sessions/{id}, GET events,
POST transfer/push, POST transfer/pull, POST transfer/list, GET messages, POST messages,
POST messages/broadcast, GET messages/outbox, DELETE messages/{id}, GET tasks, POST tasks,
POST tasks/claim, POST tasks/extend, POST tasks/done, POST tasks/fail, GET tasks/{id},
DELETE tasks/{id}, GET events/context, GET events/messages, GET events/tasks
"""


async def test_the_document_lists_every_route_and_the_app_has_no_other(home: Home) -> None:
    async with open_door(home) as door:
        document = await door.get("/openapi.json")
    described = {
        f"{method.upper()} {path.removeprefix(BASE + '/')}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    routed = {
        f"{method} {rule.rule.removeprefix(BASE + '/')}".replace("<anything:", "{").replace(
            ">", "}"
        )
        for rule in make_app(home).url_map.iter_rules()  # type: ignore[attr-defined]
        for method in rule.methods
    }
    assert described == {route.strip() for route in PROMISED.replace("\n", " ").split(",")}
    assert routed == described | {"GET openapi.json"}


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for held in value.values() for each in references(held)]
    if isinstance(value, list):
        return [each for held in value for each in references(held)]
    return []


async def test_the_document_is_whole(home: Home) -> None:
    async with open_door(home) as door:
        document = await door.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"key": []}]
    schemas = document["components"]["schemas"]
    assert references(document)
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"], operation
            assert {"200", "default"} == set(operation["responses"])


def property_names(schema: Any) -> set[str]:  # noqa: ANN401
    return {name for held in schema.values() for name in held.get("properties", {})}


async def test_all_names_are_in_camel_case(home: Home) -> None:
    async with open_door(home) as door:
        document = await door.get("/openapi.json")
    names = property_names(document["components"]["schemas"])
    assert {"nodeId", "exitCode", "createdAt", "autoApprove", "updatedAt"} <= names
    assert [name for name in names if "_" in name or name[:1].isupper()] == []


async def test_answers_are_what_the_document_says(home: Home) -> None:
    replies = {(route.method, route.path): route.reply for route in ROUTES}
    asked: list[tuple[str, str, object]] = [
        ("GET", "/health", None),
        ("GET", "/status", None),
        ("GET", "/identity", None),
        ("GET", "/peers", None),
        ("POST", "/execute", {"command": "true"}),
        ("GET", "/execute/jobs", None),
        ("POST", "/sessions", {"command": "sleep", "args": ["100"], "name": "id"}),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions/{id}", None),
        ("PUT", "/context/{key}", {"value": "x"}),
        ("GET", "/context/{key}", None),
        ("GET", "/context", None),
        ("DELETE", "/context/{key}", None),
    ]
    async with open_door(home) as door:
        for method, path, body in asked:
            reply = await door.ask(method, path.replace("{", "").replace("}", ""), body)
            assert reply.status == 200, reply
            kind: Any = replies[method, path]
            value = msgspec.json.decode(reply.body, type=kind)
            assert msgspec.json.decode(msgspec.json.encode(value)) == reply.json, (method, path)
