"""How fast files move, and what memory it takes: 1 GB each way, then 10 000 files of 1 kB.

Local is to this machine's own node; sealed is to another node over TCP on the loopback, through
ours, as `loopsy send kai` does it. All of it is synced to the disk, so the floors are synced too:
`cp` with a sync behind it, and `scp` with a sync, whose sshd is started here where there is one.
The `floor` is what no implementation gets around: reading, both digests, sealing and opening, each
socket on the way, writing and syncing, one after the other in buffers that are used again. Its
figure is what all processors of this machine could do of that, `cpu_s` its processor time. Of a
transfer `of_floor` is how much of that speed it has, and `cpu_of_floor` how much more processor
time it takes in all processes together, which other work on the machine hardly changes.
Aims: over 300 MB/s sealed, or what the disk does if that is less; less than 32 MB more of memory in
all processes together.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bench._figures import report
from loopsy_core.wire import AddPeer, Hello, ListPeers
from tests.machine import running_node, temporary_home
from tests.world import holder_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from loopsy_core.client import Client, Moved
    from loopsy_core.home import Home

LARGE: Final = int(os.environ.get("BENCH_MB", "1000")) * 1_000_000
BLOCK: Final = 10_000_000
PIECE: Final = 1_040_000
SMALL_FILES: Final = 10_000
RUNS: Final = 3


def field(pid: int | str, name: str) -> float:
    """Return a memory figure of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(name)


def processor_time(pid: int | str) -> float:
    """Return the seconds of processor time that a process has taken."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def crossed(near: socket.socket, far: socket.socket, pieces: int) -> None:
    """Have pieces of a file cross a pair of sockets, in parts that the buffers have room for."""
    part = bytes(65_000)
    into = bytearray(len(part))
    for _ in range(pieces * PIECE // len(part)):
        near.sendall(part)
        left = len(part)
        while left:
            left -= far.recv_into(into, left)


def floor_of(source: Path, made: Path, *, sealed: bool) -> float:
    """Return the processor time of what cannot be left out of moving a file, in seconds."""
    remove(made)
    began = time.process_time()
    aead, nonce = ChaCha20Poly1305(bytes(32)), bytes(12)
    record = bytearray(65_519)
    closed = bytearray(len(record) + 16)
    digests = [hashlib.sha256(), hashlib.sha256()]
    pieces = source.stat().st_size // PIECE
    with source.open("rb", buffering=0) as there, made.open("wb", buffering=0) as here:
        buffer = memoryview(bytearray(PIECE))
        while count := there.readinto(buffer):
            for digest in digests:
                digest.update(buffer[:count])
            here.write(buffer[:count])
            for _ in range(count // len(record) if sealed else 0):
                aead.encrypt_into(nonce, record, None, closed)
                aead.decrypt_into(nonce, closed, None, record)
        os.fsync(here.fileno())
    with ExitStack() as stack:
        pair = [stack.enter_context(sock) for sock in socket.socketpair()]
        crossed(pair[0], pair[1], pieces)
        if sealed:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            near = stack.enter_context(socket.create_connection(listener.getsockname()))
            crossed(near, stack.enter_context(listener.accept()[0]), pieces)
    return time.process_time() - began


class Memory:
    """How much more memory some processes take, at most, than at the beginning."""

    def __init__(self, *pids: int | str) -> None:
        self._pids = pids
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # forget the peak
        self._before = sum(field(pid, "VmRSS") for pid in pids)

    def growth(self) -> float:
        """Return it in MB; peaks that were not at the same time are added all the same."""
        return sum(field(pid, "VmHWM") for pid in self._pids) - self._before


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    if path.is_dir():
        files = [str(each) for each in path.rglob("*") if each.is_file()]
        for first in range(0, len(files), 500):
            subprocess.run(["sync", *files[first : first + 500]], check=True)
    else:
        subprocess.run(["sync", str(path)], check=True)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def copied(command: list[str], made: Path) -> float:
    """Return the seconds that a command takes to copy, with the sync behind it."""
    remove(made)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    sync(made)
    return time.perf_counter() - began


def free_port() -> int:
    """Return a port such that it and the next one are free."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@contextmanager
def running_sshd(folder: Path) -> Generator[list[str] | None]:
    """Run an sshd on the loopback; yields the beginning of an scp command, None without one."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("scp") is None:
        yield None
        return
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        quiet = ["-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(["ssh-keygen", *quiet], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = free_port()
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "Subsystem": "sftp internal-sftp",
    }
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    (folder / "config").write_text("".join(lines), encoding="utf-8")
    Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=-3) as sshd:
        options = ["-q", "-P", str(port), "-i", str(folder / "user")]
        options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        try:
            wait_for(port)
            yield ["scp", "-r", *options]
        finally:
            sshd.terminate()


def wait_for(port: int) -> None:
    """Wait until somebody listens there."""
    for _ in range(100):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


@asynccontextmanager
async def paired() -> AsyncGenerator[tuple[Home, Client, Home]]:
    """Two nodes that know each other over TCP: the near one's home and client, and the far home."""
    async with AsyncExitStack() as stack:
        homes = [stack.enter_context(temporary_home()) for _ in range(2)]
        ports = [free_port(), free_port()]
        for home, port, name in zip(homes, ports, ("near", "far"), strict=True):
            home.config.write_text(
                f"server: {{port: {port}, name: {name}}}\ndiscovery: {{enabled: false}}\n"
                "rateLimits: {transfer: 100000}\ntransfer: {allowedPaths: [/]}\n",
                encoding="utf-8",
            )
            home.config.chmod(0o600)
        clients = [await stack.enter_async_context(running_node(home, lan=True)) for home in homes]
        keys = [(await client.ask(Hello())).node_id for client in clients]
        others = zip(clients, keys[::-1], ports[::-1], ("far", "near"), strict=True)
        for client, key, port, name in others:
            await client.ask(AddPeer(address=f"127.0.0.1:{port + 1}", key=key, name=name))
        with trio.fail_after(30):
            while (await clients[0].ask(ListPeers())).peers[0].way != "lan":  # noqa: ASYNC110
                await trio.sleep(0.05)
        yield homes[0], clients[0], homes[1]


async def timed(move: Callable[[], Awaitable[Moved]], made: Path) -> float:
    """Return the seconds that a transfer takes."""
    remove(made)
    began = time.perf_counter()
    await move()
    return time.perf_counter() - began


async def measure(folder: Path, near: Client, pids: list[int | str], scp: list[str] | None) -> None:
    """Measure everything once, one after the other, so that a slow moment meets them all."""
    far = near.peer("far")
    for name, what in (("large", folder / "large"), ("small", folder / "small")):
        out = folder / "out" / name

        def figure(case: str, seconds: float, **more: object) -> None:
            if what.name == "large":  # noqa: B023 - called within the same turn
                report(case, LARGE / seconds / 1e6, "MB/s", **more)
            else:
                report(f"{case}, 10 000 files of 1 kB", seconds, "s", **more)

        # In a thread, for our node hangs up on a client that gives no sign of life for long.
        floor = await trio.to_thread.run_sync(copied, ["cp", "-a", str(what), str(out)], out)
        figure("cp and sync", floor)
        if scp is not None:
            target = f"127.0.0.1:{out.parent}/"
            command = [*scp, str(what), target]
            figure("scp and sync", await trio.to_thread.run_sync(copied, command, out))
        for case, client in (("local", near), ("sealed", far)):
            least = 0.0
            if name == "large":
                work = partial(floor_of, what, out, sealed=case == "sealed")
                least = await trio.to_thread.run_sync(work)
                figure(f"floor, {case}", least / (os.cpu_count() or 1), cpu_s=least)
            for way, move in (("send", client.send), ("pull", client.pull)):
                memory = Memory(*pids)
                before = sum(map(processor_time, pids))
                seconds = await timed(partial(move, [what], out.parent), out)
                taken = sum(map(processor_time, pids)) - before
                more: dict[str, object] = {"of_cp": floor / seconds, "memory_mb": memory.growth()}
                if least:
                    more["of_floor"] = least / (os.cpu_count() or 1) / seconds
                    more["cpu_of_floor"] = taken / least
                figure(f"{way}, {case}", seconds, **more)


async def main() -> None:
    """Measure a few times."""
    async with paired() as (near_home, near, far_home):
        folder = near_home.root.parent / "files"
        (folder / "out").mkdir(parents=True)
        os.environ["LOOPSY_HOME"] = str(near_home.root)
        block = os.urandom(BLOCK)
        with (folder / "large").open("wb") as file:
            for _ in range(LARGE // BLOCK):
                file.write(block)
        for number in range(SMALL_FILES):
            path = folder / "small" / f"{number % 100:02}" / str(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(block[number : number + 1000])
        sync(folder / "large")
        pids = [os.getpid(), *(holder_of(home.node_lock) for home in (near_home, far_home))]
        with running_sshd(near_home.root.parent / "sshd") as scp:
            for _ in range(RUNS):
                await measure(folder, near, [pid for pid in pids if pid is not None], scp)


if __name__ == "__main__":
    trio.run(main)
