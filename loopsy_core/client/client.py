"""The calls that frontends and scripts make on a node."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from loopsy_core.errors import Gone, NoDaemon
from loopsy_core.home import Home
from loopsy_core.kit import one_error
from loopsy_core.links import connect_local, open_conversation
from loopsy_core.wire import (
    AttachJob,
    EndSession,
    Event,
    ListSessions,
    NodeStatus,
    Operation,
    RunJob,
    SessionInfo,
    SessionList,
    ShowHistory,
    StartSession,
    Status,
    WatchEvents,
    WatchSessions,
    decode,
    decode_event,
)

from .attached import open_attached
from .context import SharedContext
from .file_calls import FileCalls
from .jobs import MOST_OUTPUT, Completed, RunningJob, open_job, run_job
from .line import open_line
from .messages import Mailbox
from .opening import PATIENCE, open_running, open_started
from .output import SessionOutput, open_output
from .tasks import TaskQueue
from .values import Values
from .viewing import Viewing

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager

    from loopsy_core.links import Call, Channel, Conversation

    from .attached import Attached, Drawn
    from .session import RemoteSession

__all__ = ["Client", "open_client", "open_client_over", "open_host_client"]

R = TypeVar("R")


class Client(FileCalls):
    """A node's calls.

    Each method raises what the node answers (`LoopsyError` and its children), and `Gone` when
    the connection is lost: whether the node has acted is not known then. The next call connects
    anew, or raises `NoDaemon`. A cancelled call is taken back on the node's side too.
    """

    def __init__(
        self,
        conversation: Conversation | None,
        peer: str | None = None,
        *,
        again: Callable[[], Awaitable[Conversation]] | None = None,
    ) -> None:
        """Ask over `conversation`; `open_client` makes one to this machine's node.

        What is asked goes to the machine `peer`, where that is not this one. `again` returns
        another conversation when that was lost, or there is none yet; without it, calls raise
        `Gone` from then on.
        """
        self._conversation = conversation
        self._peer = peer
        self.by_our_node = peer is not None
        self._again = again

    def peer(self, name: str) -> Client:
        """Return the same calls on another machine, by its name, its id or a beginning of that.

        Nothing is asked yet: whether it is known and reached, the first call says (`NotFound`,
        `Gone`). `PeerLeft` is raised when it is lost in the middle of a call, which may or may not
        have been acted on.
        """
        return Client(self._conversation, name, again=self._again)

    async def ask(self, operation: Operation[R], *, body: bytes = b"") -> R:
        """Ask any operation of `loopsy_core.wire`, with these bytes, and return its reply."""
        return await (await self._converse()).ask(operation, to=self._peer, body=body)

    async def fetch(self, operation: Operation[R], most: int, what: str) -> tuple[bytes, R]:
        """Ask, and return the bytes that come with the reply, `most` at most, and the reply.

        Raises `BadRequest`, which calls them `what`, for more.
        """
        return await (await self._converse()).fetch(operation, most, what, to=self._peer)

    @asynccontextmanager
    async def open_call(self, operation: Operation[R]) -> AsyncGenerator[Call]:
        """Ask, and talk over the call's stream; leaving the block takes the call back."""
        conversation = await self._converse()
        async with conversation.open_call(operation, to=self._peer) as call:
            yield call

    async def _converse(self) -> Conversation:
        if self._again is not None and (self._conversation is None or self._conversation.closed):
            self._conversation = await self._again()
        if self._conversation is None:
            raise Gone("there is no connection to the node")
        return self._conversation

    @property
    def context(self) -> SharedContext:
        """The values that the node shares."""
        return SharedContext(self)

    @property
    def messages(self) -> Mailbox:
        """The messages that the node keeps and delivers."""
        return Mailbox(self)

    @property
    def tasks(self) -> TaskQueue:
        """The tasks that the node hands out."""
        return TaskQueue(self)

    async def status(self) -> Status:
        """Return how the node is."""
        return await self.ask(NodeStatus())

    async def sessions(self) -> list[SessionInfo]:
        """Return all sessions, the oldest first."""
        return (await self.ask(ListSessions())).sessions

    async def start(
        self,
        argv: Sequence[str] | None = None,
        *,
        kind: str | None = None,
        command: str | None = None,
        auto_approve: bool = False,
        name: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        cols: int = 80,
        rows: int = 24,
    ) -> SessionInfo:
        """Start a program and leave it to itself; `start_session` stays with it.

        It runs on a terminal of its own; without `argv` it is the user's login shell.
        `kind` may be an agent ("claude", say; `ask(ListKinds())` tells which there are); then
        `argv` is what follows its program, and with `auto_approve` it is told to ask nothing.
        `command` names a custom command of the machine instead. `cols` and `rows` are the
        terminal's size in cells, 1 to 1000 each; `cwd` is a directory there, else the home.

        Raises `BadRequest` when program, kind, command or directory are not there, or another
        session has the name.
        """
        if kind is None:
            kind = "shell" if command is None else "custom"
        return await self.ask(
            StartSession(
                argv=None if argv is None else list(argv),
                kind=kind,
                command=command,
                auto_approve=auto_approve,
                name=name,
                cwd=cwd,
                env=dict(env or {}),
                cols=cols,
                rows=rows,
            )
        )

    async def history(self, session: str, *, lines: int | None = None, ansi: bool = False) -> str:
        """Return a session's scrollback and screen as text, or the last `lines` lines of it.

        `session` is as for `end_session`. With `ansi` colours and styles are kept.
        """
        operation = ShowHistory(session=session, ansi=ansi, lines=lines)
        async with self.open_call(operation) as call:
            call.end()
            text = bytearray()
            while (piece := await call.receive()) is not None:
                text += piece if isinstance(piece, bytes) else b""
        return text.decode()

    async def end_session(self, session: str) -> SessionInfo:
        """End a session's program and return the session once it is gone.

        `session` is an id, a unique beginning of one, or a name.
        """
        return await self.ask(EndSession(session=session))

    def start_session(
        self,
        argv: Sequence[str] | None = None,
        *,
        kind: str | None = None,
        command: str | None = None,
        auto_approve: bool = False,
        name: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        cols: int = 80,
        rows: int = 24,
        keep: bool = False,
        patience: float = PATIENCE,
    ) -> AbstractAsyncContextManager[RemoteSession]:
        """Start a program, and read and type on its terminal for as long as the block lasts.

        Leaving the block ends the program, also when an error or a cancellation ends the block:
        SIGHUP, three seconds, SIGKILL. With `keep` it lives on, as it does when somebody
        leaves it in a terminal. Left without an error, it waits up to two seconds until the
        program has taken what was typed.

        `patience` is how many seconds the node may be away before that is an error; until then
        a lost connection is made anew, with nothing missing or doubled in either direction.
        Everything else is as for `start`, and so is what it raises; cancelled while the program
        starts, that is ended, too.
        """
        starting = partial(
            self.start,
            argv,
            kind=kind,
            command=command,
            auto_approve=auto_approve,
            name=name,
            cwd=cwd,
            env=env,
            cols=cols,
            rows=rows,
        )
        return open_started(self, starting, keep=keep, patience=patience)

    def session(
        self, session: str, *, from_beginning: bool = False, patience: float = PATIENCE
    ) -> AbstractAsyncContextManager[RemoteSession]:
        """Read and type on the terminal of a session that is there; leaving lets it live on.

        `session` is an id, a unique beginning of one, or a name. The output that `expect` sees
        is what comes from now on; `from_beginning` has it begin with the oldest that is kept
        (4 MiB), and the first `expect` raises `OutputLost` if that is not all there was.
        `patience` is as for `start_session`. Raises `NotFound` when there is no such session.
        """
        return open_running(self, session, from_beginning=from_beginning, patience=patience)

    def output(
        self, info: SessionInfo, *, after: str | None = None
    ) -> AbstractAsyncContextManager[SessionOutput]:
        """Read what the program of the session `info` writes, without typing or a screen.

        From `after` on, the `position` of a former reader or `BEGINNING`; by default from now on.
        What is not kept any more (4 MiB is) counts as `missed`, or sets `lost`.
        """
        return open_output(self, info, after)

    def attach(
        self, viewing: Viewing | str, *, cols: int, rows: int
    ) -> AbstractAsyncContextManager[tuple[Attached, Drawn | None]]:
        """Show a session and type into it; see `Attached`.

        Pass the same `Viewing` again after a lost connection, and the output goes on where it
        was, with nothing missing or doubled in either direction.
        """
        if isinstance(viewing, str):
            viewing = Viewing(viewing)
        return open_attached(self.open_call(viewing.request(cols, rows)), viewing)

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the machine keeps it, and says so
        most: int = MOST_OUTPUT,
    ) -> Completed:
        """Run a command without a terminal, and return how it ended and all that it wrote.

        `cwd` is a directory there, else the home; `env` is laid over the node's environment. It is
        ended after `timeout` seconds, by default what the machine's settings say. Cancelled, it is
        ended there, with all its process group.

        Raises `BadRequest` when program or directory are not there, or it writes more than `most`
        bytes; `Refused` when the machine's settings deny the program; `Busy` when as many jobs run
        there as may.
        """
        request = RunJob(
            argv=list(argv), cwd=cwd, env=dict(env or {}), timeout=timeout, stdin=stdin is not None
        )
        return await run_job(self, request, stdin, most)

    def start_job(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[RunningJob]:
        """Run a command as `run` does, with its output as it comes; see `RunningJob`.

        Leaving the block before its end cancels it. When the connection is lost it waits a minute
        for `attach_job`.
        """
        request = RunJob(
            argv=list(argv), cwd=cwd, env=dict(env or {}), timeout=timeout, stdin=stdin
        )
        return open_job(self, request)

    def attach_job(
        self, job: str, *, stdout: int = 0, stderr: int = 0
    ) -> AbstractAsyncContextManager[RunningJob]:
        """Pick up a job whose connection was lost, with the output from these offsets on.

        Whoever has it over another connection gets `Busy` there. Raises `NotFound` when there is
        no such job (any more), and `BadRequest` for an offset that never was.
        """
        return open_job(self, AttachJob(job=job, stdout=stdout, stderr=stderr))

    @asynccontextmanager
    async def watch_sessions(self) -> AsyncGenerator[AsyncIterator[SessionList]]:
        """Watch all sessions: iterate over the list as it is now and after each change."""
        async with self.open_call(WatchSessions()) as call:
            yield Values(call, lambda item: decode(item.value, SessionList))

    @asynccontextmanager
    async def watch_events(self) -> AsyncGenerator[AsyncIterator[Event]]:
        """Watch what happens at the node, from now on."""
        async with self.open_call(WatchEvents()) as call:
            yield Values(call, lambda item: decode_event(item.value))


@asynccontextmanager
async def open_client(home: Home | None = None, *, later: bool = False) -> AsyncGenerator[Client]:
    """Connect to this machine's node, for as long as the block lasts.

    When the node goes away and comes back, the next call finds it again.

    `home` is the node's home: `LOOPSY_HOME` or `~/.loopsy` if not given. Raises `NoDaemon` when
    no node runs there; with `later` the first call connects, and it is that which raises.
    """
    home = home or Home.find()

    async def connect() -> Channel:
        try:
            return await connect_local(home.node_socket)
        except Gone:
            raise NoDaemon(
                f"no daemon runs in {home.root}; `loopsy start` starts it, and so does `loopsy up`"
            ) from None

    async with _open(connect, later=later) as client:
        yield client


@asynccontextmanager
async def open_host_client(home: Home | None = None) -> AsyncGenerator[Client]:
    """Connect to this machine's session host itself, which lives on when no node runs.

    It answers what is about sessions and nothing else. Raises `Gone` when no host runs.
    """
    home = home or Home.find()
    async with _open(partial(connect_local, home.host_socket)) as client:
        yield client


@asynccontextmanager
async def open_client_over(channel: Channel) -> AsyncGenerator[Client]:
    """Ask whoever is at the other end of `channel`, for as long as the block lasts."""
    with one_error():
        async with open_conversation(channel, opener=True) as conversation:
            yield Client(conversation)


@asynccontextmanager
async def _open(
    connect: Callable[[], Awaitable[Channel]], *, later: bool = False
) -> AsyncGenerator[Client]:
    with one_error():
        async with open_line(connect) as line:
            yield Client(None if later else await line.converse(), again=line.converse)
