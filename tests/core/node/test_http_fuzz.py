"""Whatever is asked by HTTP, no answer is a 5xx (schemathesis tries more: nox -s fuzz)."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.node.http.app import ROUTES
from loopsy_core.node.http.streaming import EVENTS
from tests.core.node.http_world import BASE, Door, open_door
from tests.world import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from loopsy_core.home import Home

ASKED = [route for route in ROUTES if not route.path.startswith("/events")]  # they never end
FIELDS = sorted(
    {
        field.encode_name
        for route in ROUTES
        for kind in (route.body, route.query)
        for field in msgspec.structs.fields(kind)
    }
    - {"wait"}  # which is obeyed
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="/."), max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
BODIES = st.binary(max_size=40) | st.dictionaries(st.sampled_from(FIELDS), VALUES).map(
    lambda body: json.dumps(body).encode()
)
NAMES = st.text(min_size=1, max_size=30) | st.binary(min_size=1, max_size=30)
QUERIES = st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=20)).map(urlencode)
TYPES = st.sampled_from(
    ["application/json", "multipart/form-data; boundary=x", "application/octet-stream", "x", ""]
)


async def test_nothing_is_answered_with_a_5xx(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # made-up commands are really looked for
    monkeypatch.setenv("SHELL", "/bin/true")
    async with open_door(home) as door:
        await trio.to_thread.run_sync(fuzz, door)
        assert (await door.ask("GET", "/health")).status == 200


def fuzz(door: Door) -> None:
    key, port = door.key, door.port

    @settings(max_examples=200, deadline=None, suppress_health_check=[*HealthCheck])
    @given(st.sampled_from(ASKED), NAMES, QUERIES, BODIES, TYPES)
    def ask(route: object, name: str | bytes, query: str, body: bytes, content_type: str) -> None:
        assert isinstance(route, type(ASKED[0]))
        path = route.path.replace("{id}", quote(name)).replace("{key}", quote(name))
        headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with closing(connection):
            connection.request(route.method, f"{BASE}{path}?{query}", body, headers)
            response = connection.getresponse()
            answer = response.read()
        assert response.status < 500, (route.method, path, query, body, answer)
        if response.status >= 400:
            error = json.loads(answer)["error"]
            assert isinstance(error["code"], int)
            assert error["message"]
        else:
            assert response.headers["Content-Type"] in {route.media_type, EVENTS, route.downloads}

    ask()
