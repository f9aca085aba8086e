"""Files by HTTP: uploaded, fetched, moved and listed; and what is no upload."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.node.http import spool
from tests.core.node.http_world import Door, open_door
from tests.core.node.machines_world import open_machine, pair, reached
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.home import Home

BOUNDARY = "----a boundary"
RAW = {"Content-Type": "application/octet-stream"}
FORM = {"Content-Type": f'multipart/form-data; boundary="{BOUNDARY}"'}


@pytest.fixture(autouse=True)
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files lie that are on their way; nothing may be left there."""
    folder = tmp_path / "spools"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def form(*parts: tuple[str, bytes] | tuple[str, bytes, str]) -> bytes:
    """Return a form of fields, and of files, which have a name of their own."""
    body = b""
    for name, data, *filename in parts:
        disposition = f'form-data; name="{name}"'
        disposition += f'; filename="{filename[0]}"' if filename else ""
        body += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        body += data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


async def test_an_uploaded_file_is_where_it_is_to_be(
    home: Home, tmp_path: Path, spools: Path
) -> None:
    data = os.urandom(3_000_000) + f"\r\n--{BOUNDARY}".encode()[:-1]
    dest = tmp_path / "grün"
    async with open_door(home) as door:
        for body in (
            form(("destPath", str(dest).encode()), ("file", data, "x.bin")),
            form(("file", data, "x.bin"), ("destPath", str(dest).encode())),
        ):
            dest.unlink(missing_ok=True)
            reply = await door.ask("POST", "/transfer/push", body, headers=FORM)
            assert reply.status == 200, reply
            assert dest.read_bytes() == data
            done = reply.json
            assert (done["path"], done["size"], done["files"]) == (str(dest), len(data), 1)
            assert done["checksum"] == hashlib.sha256(data).hexdigest()
            assert done["skipped"] == []
        path = f"/transfer/push?destPath={tmp_path}/raw.bin"
        assert (await door.ask("POST", path, data, headers=RAW)).status == 200
        assert (tmp_path / "raw.bin").read_bytes() == data
        assert (tmp_path / "raw.bin").stat().st_mode & 0o777 == 0o666 & ~_umask()
        assert (await door.ask("POST", path, b"", headers=RAW)).status == 200
        assert (tmp_path / "raw.bin").read_bytes() == b""
    assert os.listdir(spools) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("filename", "kept"),
    [
        ("x.bin", "x.bin"),
        ("../../x.bin", "x.bin"),
        ("/etc/passwd", "passwd"),
        ("C:\\\\dir\\\\x.bin", "x.bin"),
        ("..", "upload"),
        ("", "upload"),
    ],
)
async def test_a_file_for_a_folder_keeps_the_last_of_its_names(
    home: Home, tmp_path: Path, filename: str, kept: str
) -> None:
    (tmp_path / "into").mkdir()
    body = form(("destPath", f"{tmp_path}/into/".encode()), ("file", b"data", filename))
    async with open_door(home) as door:
        assert (await door.ask("POST", "/transfer/push", body, headers=FORM)).status == 200
    assert [path.name for path in (tmp_path / "into").iterdir()] == [kept]


async def test_what_is_no_upload_is_refused_and_leaves_nothing(
    home: Home, tmp_path: Path, spools: Path
) -> None:
    dest = ("destPath", f"{tmp_path}/x".encode())
    file = ("file", b"data", "x")
    whole = form(dest, file)
    wrong: list[tuple[bytes, dict[str, str], str]] = [
        (form(dest), FORM, "file"),
        (form(file), FORM, "destPath"),
        (form(dest, file, file), FORM, "one file"),
        (whole[:-20], FORM, "form"),
        (whole[:60], FORM, "form"),
        (b"", FORM, "form"),
        (b"nothing of the kind", FORM, "form"),
        (whole, {"Content-Type": "multipart/form-data"}, "boundary"),
        (whole, {"Content-Type": "multipart/form-data; boundary=" + "x" * 80}, "boundary"),
        (form(("destPath", b"\xff"), file), FORM, "form"),
        (form(("destPath", b"x" * (2 << 20)), file), FORM, "fields"),
        (form(*[(f"f{number}", b"x") for number in range(40)], file), FORM, "fields"),
        (b"--" + BOUNDARY.encode() + b"\r\n\r\ndata", FORM, "form"),
        (b"data", RAW, "destPath"),
        (b"", {}, "sourcePath"),
        (b'{"sourcePath": "relative", "destPath": "x"}', {}, "sourcePath"),
        (b'{"sourcePath": "/no/such/thing", "destPath": "x"}', {}, "there is no folder /no"),
        (b'{"sourcePath": 1}', {}, "sourcePath"),
    ]
    async with open_door(home) as door:
        for body, headers, word in wrong:
            reply = await door.ask("POST", "/transfer/push", body, headers=headers)
            status, code, message = reply.error
            assert (status, code // 1000) in {(400, 4), (404, 4)}, (body[:60], reply)
            assert word in message, (body[:60], message)
    assert not (tmp_path / "x").exists()
    assert os.listdir(spools) == []


async def test_a_file_is_fetched_as_it_is(home: Home, tmp_path: Path, spools: Path) -> None:
    data = os.urandom(2_000_000)
    (tmp_path / "grün.bin").write_bytes(data)
    async with open_door(home) as door:
        body = {"sourcePath": f"{tmp_path}/grün.bin"}
        reply = await door.ask("POST", "/transfer/pull", body)
        assert (reply.status, reply.body == data) == (200, True)
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert reply.headers["X-Loopsy-File-Size"] == reply.headers["Content-Length"] == "2000000"
        assert reply.headers["Content-Disposition"].endswith("filename*=UTF-8''gr%C3%BCn.bin")
        wrong = await door.ask("POST", "/transfer/pull", {"sourcePath": f"{tmp_path}/none"})
        assert wrong.error[:2] == (404, 4002)
        wrong = await door.ask("POST", "/transfer/pull", {"sourcePath": str(tmp_path)})
        assert wrong.error[:2] == (400, 4000)
        assert "saveTo" in wrong.error[2]
        wrong = await door.ask("POST", "/transfer/pull", {})
        assert wrong.error == (400, 4000, "sourcePath: is missing")
    assert os.listdir(spools) == []


async def test_a_folder_is_moved_from_place_to_place(home: Home, tmp_path: Path) -> None:
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "a").write_text("a")
    (tmp_path / "src" / "sub" / "b").write_text("bb")
    async with open_door(home) as door:
        for path, body in (
            ("/transfer/push", {"sourcePath": f"{tmp_path}/src", "destPath": f"{tmp_path}/one"}),
            ("/transfer/pull", {"sourcePath": f"{tmp_path}/src", "saveTo": f"{tmp_path}/two"}),
        ):
            reply = await door.ask("POST", path, body)
            assert reply.status == 200, reply
            assert (reply.json["files"], reply.json["size"]) == (2, 3)
    for copy in ("one", "two"):
        assert (tmp_path / copy / "sub" / "b").read_text() == "bb"


async def test_a_folder_is_listed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "a").write_text("hello")
    (tmp_path / "d" / "l").symlink_to("a")
    (tmp_path / "d" / os.fsdecode(b"\xff")).write_text("")
    async with open_door(home) as door:
        reply = await door.ask("POST", "/transfer/list", {"path": f"{tmp_path}/d"})
        assert (await door.ask("POST", "/transfer/list", {"path": "/none"})).error[1] == 4002
        assert (await door.ask("POST", "/transfer/list", {"path": ""})).error[1] == 4000
    found = {entry["name"]: entry for entry in reply.json["files"]}
    assert list(found) == ["a", "l", "sub", "\\xff"]
    assert [entry["type"] for entry in found.values()] == ["file", "symlink", "directory", "file"]
    modified = (tmp_path / "d" / "a").stat().st_mtime_ns // 1_000_000
    assert found["a"] == {
        "name": "a",
        "path": f"{tmp_path}/d/a",
        "type": "file",
        "size": 5,
        "modified": modified,
        "target": None,
    }
    assert found["l"]["target"] == "a"


async def test_the_home_of_loopsy_is_for_nobody(home: Home, tmp_path: Path) -> None:
    async with open_door(home) as door:
        key = str(home.api_key)
        for path, body in (
            ("/transfer/pull", {"sourcePath": key}),
            ("/transfer/pull", {"sourcePath": key, "saveTo": f"{tmp_path}/x"}),
            ("/transfer/push", {"sourcePath": key, "destPath": f"{tmp_path}/x"}),
            ("/transfer/list", {"path": str(home.root)}),
        ):
            reply = await door.ask("POST", path, body)
            assert reply.error[:2] == (403, 4001), (path, body, reply)
        before = door.key
        upload = await door.ask("POST", f"/transfer/push?destPath={key}", b"0" * 64, headers=RAW)
        assert upload.error[:2] == (403, 4001)
        assert door.key == before


async def test_files_go_to_another_machine_within_what_it_allows(
    tmp_path: Path, spools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "here") as here, open_machine(tmp_path, "there") as there:
            await pair(there, here)
            peer = (await here.peer(reached)).name
            door = Door(here.node, here.home)
            path = f"/transfer/push?peer={peer}&destPath="
            reply = await door.ask("POST", f"{path}~/sent", b"hello", headers=RAW)
            assert reply.status == 200, reply
            reply = await door.ask("POST", f"{path}{tmp_path}/x", b"hello", headers=RAW)
            assert reply.error[:2] == (403, 4001)
            reply = await door.ask("POST", f"/transfer/pull?peer={peer}", {"sourcePath": "sent"})
            assert (reply.status, reply.body) == (200, b"hello")
            reply = await door.ask("POST", f"/transfer/list?peer={peer}", {"path": "~"})
            assert [entry["name"] for entry in reply.json["files"]] == ["sent"]
    assert (tmp_path / "user" / "sent").read_text() == "hello"
    assert os.listdir(spools) == []


async def test_an_upload_that_is_broken_off_leaves_nothing(
    home: Home, tmp_path: Path, spools: Path
) -> None:
    async with open_door(home) as door:
        stream = await trio.open_tcp_stream("127.0.0.1", door.port)
        async with stream:
            path = f"/transfer/push?destPath={tmp_path}/half"
            raw = "Content-Type: application/octet-stream"
            await stream.send_all(door.head("POST", path, 1000, raw) + b"x" * 500)
            await eventually(lambda: len(os.listdir(spools)) == 1)
        await eventually(lambda: not os.listdir(spools))
        assert not (tmp_path / "half").exists()


async def test_a_full_disk_is_told_and_is_no_bug(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    async with open_door(home) as door:
        path = f"/transfer/push?destPath={tmp_path}/x"
        status, code, message = (await door.ask("POST", path, b"x", headers=RAW)).error
    assert (status, code) == (500, 9001)
    assert "no file can be kept" in message


async def test_an_upload_is_taken_in_no_faster_than_it_can_be_kept(
    home: Home, tmp_path: Path, spools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, sent = 64 << 20, 0
    goes_on = trio.Event()
    write = spool._Writer.write  # noqa: SLF001

    async def write_slowly(writer: spool._Writer, data: bytes) -> None:
        await goes_on.wait()
        await write(writer, data)

    monkeypatch.setattr(spool._Writer, "write", write_slowly)  # noqa: SLF001

    async def send(stream: trio.SocketStream) -> None:
        nonlocal sent
        while sent < size:
            await stream.send_all(bytes(1 << 16))
            sent += 1 << 16

    async with open_door(home) as door, trio.open_nursery() as nursery:
        stream = await trio.open_tcp_stream("127.0.0.1", door.port)
        async with stream:
            path = f"/transfer/push?destPath={tmp_path}/large"
            raw = "Content-Type: application/octet-stream"
            await stream.send_all(door.head("POST", path, size, raw))
            nursery.start_soon(send, stream)
            await eventually(lambda: len(os.listdir(spools)) == 1)
            still = -1
            while still != sent:  # until it stands still, whatever the sockets hold
                still = sent
                await trio.sleep(0.3)
            assert sent < size // 2
            goes_on.set()
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
    assert (tmp_path / "large").stat().st_size == size
