"""The web app that a real relay serves: its files, and the headers that protect who opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.relay.relay_world import Relay, open_relay

if TYPE_CHECKING:
    from pathlib import Path

PAGE = b"<!doctype html><title>Loopsy</title>" + b"<p>padding</p>" * 100


async def test_the_app_is_served_with_its_types_and_lifetimes(tmp_path: Path) -> None:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_bytes(PAGE)
    types = {
        "assets/index-abc.js": "text/javascript; charset=utf-8",
        "assets/index-abc.css": "text/css; charset=utf-8",
        "assets/font-abc.woff2": "font/woff2",
        "assets/vt-abc.wasm": "application/wasm",
        "icon.svg": "image/svg+xml",
        "manifest.webmanifest": "application/manifest+json",
        "sw.js": "text/javascript; charset=utf-8",
    }
    for name in types:
        (static / name).write_bytes(name.encode())
    async with open_relay(tmp_path, static=static) as relay:
        reply = await relay.ask("GET", "/")
        assert (reply.status, reply.headers["Location"]) == (302, "/app")
        for path in ("/app", "/app/", "/app/index.html", "/app?x=1"):
            reply = await relay.ask("GET", path)
            assert (reply.status, reply.body) == (200, PAGE), path
            assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
            assert reply.headers["Cache-Control"] == "no-cache"
        for name, content_type in types.items():
            reply = await relay.ask("GET", f"/app/{name}")
            assert (reply.status, reply.body) == (200, name.encode())
            assert reply.headers["Content-Type"] == content_type
            assert ("immutable" in reply.headers["Cache-Control"]) is name.startswith("assets/")
        reply = await relay.ask("HEAD", "/app")
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply.headers["Content-Length"]) == len(PAGE)


async def test_the_app_is_compressed_and_not_sent_twice(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(PAGE)
    async with open_relay(tmp_path, static=tmp_path) as relay:
        reply = await relay.ask("GET", "/app", headers={"Accept-Encoding": "gzip, br"})
        assert reply.headers["Content-Encoding"] == "gzip"
        assert len(reply.body) < len(PAGE)
        etag = {"If-None-Match": reply.headers["ETag"]}
        reply = await relay.ask("GET", "/app", headers=etag)
        assert (reply.status, reply.body) == (304, b"")
        (tmp_path / "index.html").write_bytes(b"a newer build")
        reply = await relay.ask("GET", "/app", headers=etag)
        assert (reply.status, reply.body) == (200, b"a newer build")


async def test_nothing_outside_of_the_app_is_served(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_bytes(PAGE)
    (static / "link").symlink_to(tmp_path / "relay.db")
    (tmp_path / "static-secrets").write_text("secret")
    async with open_relay(tmp_path, static=static) as relay:
        for path in [
            "/app/../relay.db",
            "/app/%2e%2e/relay.db",
            "/app/%2e%2e%2frelay.db",
            "/app/..%5crelay.db",
            "/app/%2e%2e/static-secrets",
            "/app/./index.html",
            "/app//index.html",
            "/app/%2fetc%2fpasswd",
            "/app//etc/passwd",
            "/app/link",
            "/app/index.html%00",
            "/app/index.html/",
            "/app/" + "x" * 5000,
            "/app/%ff",
            "/app/assets",
            "/app/.",
        ]:
            reply = await relay.ask("GET", path)
            assert (reply.status, reply.error[0]) == (404, "not_found"), path


async def test_an_app_that_was_not_built_is_said_in_a_sentence(tmp_path: Path) -> None:
    async with open_relay(tmp_path, static=tmp_path / "missing") as relay:
        reply = await relay.ask("GET", "/app")
        assert (reply.status, reply.error[0]) == (503, "gone")
        assert "not built" in reply.error[1]
        assert (await relay.ask("GET", "/app/assets/x.js")).status == 404


async def test_every_answer_carries_the_security_headers(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(PAGE)
    async with open_relay(tmp_path, static=tmp_path) as relay:
        for path in ("/app", "/health", "/nope", "/api/v1/phones"):
            headers = (await relay.ask("GET", path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            host = f"{relay.address.host}:{relay.address.port}"
            assert f"connect-src 'self' ws://{host} wss://{host};" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "Server" not in headers
            assert "Access-Control-Allow-Origin" not in headers


async def test_a_host_cannot_add_to_the_policy(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        for host in ["x; script-src *", "x *", "*", "[::1] *", "[zz]", "x:1:2", "", "é"]:
            policy = await policy_for(relay, host)
            assert "connect-src 'self';" in policy, host
        assert "connect-src 'self' ws://[::1]:80 wss://[::1]:80;" in await policy_for(
            relay, "[::1]:80"
        )
    async with open_relay(tmp_path, public_url="https://relay.example") as relay:
        assert "connect-src 'self' wss://relay.example;" in await policy_for(relay, "evil.example")


async def policy_for(relay: Relay, host: str) -> str:
    heard = await relay.shout(b"GET /health HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
    assert heard.startswith(b"HTTP/1.1 200 ")
    line = next(
        line for line in heard.split(b"\r\n") if line.startswith(b"content-security-policy")
    )
    return line.decode()
