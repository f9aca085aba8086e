"""Every request asked with every preset: refused exactly when the grant is missing, and at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, cast

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, Gone, NotFound, Refused
from loopsy_core.home import AuditLog, PeerId, RateLimitsConfig
from loopsy_core.links import Call, open_conversation
from loopsy_core.node.grants import LOCAL, Asker
from loopsy_core.node.limits import Limits
from loopsy_core.node.router import Router
from loopsy_core.wire import (
    ALL_GRANTS,
    OPERATIONS,
    PRESETS,
    AckMessage,
    AddCommand,
    AddPeer,
    AddTask,
    AskPass,
    AttachJob,
    AttachSession,
    CancelJob,
    CancelTask,
    ClaimTask,
    ConfigureRelay,
    DecideApproval,
    DeleteContext,
    DeliverMessages,
    Delivery,
    EndSession,
    ExtendTask,
    FailTask,
    FetchFiles,
    FinishTask,
    Forget,
    GetContext,
    GrantPeer,
    GrantPhone,
    Hello,
    HostHello,
    InvitePeer,
    JoinPeer,
    ListApprovals,
    ListContext,
    ListFiles,
    ListJobs,
    ListKinds,
    ListPeers,
    ListPhones,
    ListSessions,
    ListTasks,
    NodeStatus,
    NoteRead,
    OfferPairing,
    Operation,
    Preset,
    PullFiles,
    PushFiles,
    RemoveCommand,
    RemovePeer,
    RemoveSession,
    RenamePeer,
    RenamePhone,
    RenameSession,
    ResizeSession,
    RevokePhone,
    RotateKey,
    RunJob,
    SendFiles,
    SendMessage,
    SetContext,
    ShowHistory,
    ShowRelay,
    ShowScreen,
    StartSession,
    StopNode,
    UnsetRelay,
    WatchContext,
    WatchEvents,
    WatchSessions,
    WithdrawApproval,
    encode,
)
from tests.world import PATIENCE, Phone, memory_channels, open_phone, open_world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.links import Asked, Conversation
    from loopsy_core.node import Node
    from loopsy_core.sessions import HostLink

REQUESTS: Final[dict[str, Operation[object]]] = {
    request.op: cast("Operation[object]", request)
    for request in (
        Hello(),
        NodeStatus(),
        HostHello(),
        StopNode(),
        RotateKey(),
        WatchEvents(),
        ListSessions(),
        WatchSessions(),
        StartSession(argv=["true"]),
        ResizeSession(session="s", cols=80, rows=24),
        RenameSession(session="s", name="t"),
        EndSession(session="s"),
        RemoveSession(session="s"),
        AttachSession(session="s", viewer=bytes(16), cols=80, rows=24),
        ShowScreen(session="s"),
        ShowHistory(session="s"),
        RunJob(argv=["true"]),
        AttachJob(job="j"),
        ListJobs(),
        CancelJob(job="j"),
        ListKinds(),
        AddCommand(name="c", argv=["true"]),
        RemoveCommand(name="c"),
        ListApprovals(),
        DecideApproval(request="p", allow=True),
        WithdrawApproval(contact="p"),
        ListPhones(),
        RevokePhone(phone="p"),
        RenamePhone(phone="p", name="q"),
        GrantPhone(phone="p"),
        OfferPairing(),
        Forget(),
        ListPeers(),
        InvitePeer(),
        JoinPeer(address="kai.local", code="000000"),
        AddPeer(address=None, key="k"),
        RemovePeer(peer="p"),
        RenamePeer(peer="p", name="q"),
        GrantPeer(peer="p"),
        AskPass(),
        SetContext(key="k"),
        GetContext(key="k"),
        DeleteContext(key="k"),
        ListContext(),
        WatchContext(),
        SendMessage(to="p", body="b"),
        DeliverMessages(messages=[Delivery("i", 0, "chat", "b", 1.0)]),
        AckMessage(id="i"),
        NoteRead(ids=["i"]),
        AddTask(body="b"),
        ClaimTask(),
        ExtendTask(id="i", attempt=1),
        FinishTask(id="i", attempt=1),
        FailTask(id="i", attempt=1),
        CancelTask(id="i"),
        ListTasks(),
        ConfigureRelay(url="https://relay.test"),
        ShowRelay(),
        UnsetRelay(),
        ListFiles(path=b"/"),
        PushFiles(path=b"/"),
        PullFiles(paths=[b"/"]),
        SendFiles(paths=[b"/"], dest=b"/", sight=""),
        FetchFiles(paths=[b"/"], dest=b"/", sight="", umask=0o022),
    )
}
NEEDED: Final = {  # as PROTOCOL.md has it, written out again
    "-": {"node.hello", "pairing.forget"},
    "view": {
        "node.status",
        "host.hello",
        "sessions.list",
        "sessions.watch",
        "sessions.attach",
        "sessions.screen",
        "sessions.history",
        "kinds.list",
        "relay.show",
        "peers.list",
        "peers.pass",
    },
    "type": {
        "sessions.start",
        "sessions.resize",
        "sessions.rename",
        "sessions.end",
        "sessions.remove",
    },
    "context": {
        "context.set",
        "context.get",
        "context.delete",
        "context.list",
        "context.watch",
    },
    "message": {"messages.send", "messages.ack", "messages.deliver", "messages.read"},
    "task": {
        "tasks.add",
        "tasks.claim",
        "tasks.extend",
        "tasks.finish",
        "tasks.fail",
        "tasks.cancel",
        "tasks.list",
    },
    "exec": {"jobs.run", "jobs.attach", "jobs.list", "jobs.cancel"},
    "files.read": {"files.list", "files.pull"},
    "files.write": {"files.push"},
    "admin": {
        "node.stop",
        "http.rotate_key",
        "events.watch",
        "commands.add",
        "commands.remove",
        "approvals.list",
        "approvals.decide",
        "approvals.withdraw",
        "pairing.offer",
        "phones.list",
        "phones.revoke",
        "phones.rename",
        "phones.grant",
        "relay.configure",
        "relay.unset",
        "peers.invite",
        "peers.join",
        "peers.add",
        "peers.remove",
        "peers.rename",
        "peers.grant",
        "files.send",
        "files.fetch",
    },
}


class Touched(Exception):
    """The request was let through to the node or the host."""


class Untouchable:
    """Stands for a node and its host: whoever reaches for anything of it has passed the check."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Touched(name)


class Request:
    """Stands for what was asked."""

    def __init__(self, op: str, params: bytes, to: str | None = None) -> None:
        self.op = op
        self.params = params
        self.to = to


async def answer(asker: Asker, op: str, params: bytes) -> object:
    limits = Limits(RateLimitsConfig(execute=1000, transfer=1000, context=1000))
    router = Router(cast("Node", Untouchable()), limits, AuditLog(Path(os.devnull)))
    asked = cast("Asked", Request(op, params))
    return await router.answer(asker, cast("HostLink", Untouchable()), asked)


def holder(preset: Preset) -> Asker:
    return Asker("phone pixel", frozenset(PRESETS[preset]), PeerId("p"))


def needed(op: str) -> str:
    (grant,) = (grant for grant, ops in NEEDED.items() if op in ops)
    return grant


LIMITED: Final = {
    "execute": {"jobs.run"},
    "transfer": {"files.pull", "files.push"},
    "context": {
        "context.delete", "context.get", "context.list", "context.set", "context.watch",
        "messages.send", "peers.pass", "tasks.add", "tasks.list",
    },
}  # fmt: skip
"""What each of the rateLimits of config.yaml counts."""


@pytest.mark.parametrize("limit", LIMITED)
async def test_each_limit_counts_what_it_is_named_for(limit: str) -> None:
    counted = {op for op, operation in OPERATIONS.items() if operation.limited_as == limit}
    assert counted == LIMITED[limit]
    for op in counted:
        limits = Limits(RateLimitsConfig(**{"execute": 9, "transfer": 9, "context": 9, limit: 1}))
        limits.check(holder("machine"), OPERATIONS[op])
        with pytest.raises(Busy, match=rf"too many requests .* \({limit}\)"):
            limits.check(holder("machine"), OPERATIONS[op])
        limits.check(LOCAL, OPERATIONS[op])
    await trio.lowlevel.checkpoint()


def test_every_request_is_tried() -> None:
    assert set(REQUESTS) == set(OPERATIONS) == set().union(*NEEDED.values())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("op", REQUESTS)
async def test_a_request_is_refused_exactly_when_the_grant_is_missing(
    op: str, preset: Preset
) -> None:
    grant = needed(op)
    params = encode(REQUESTS[op])
    if grant == "-" or grant in PRESETS[preset]:
        with pytest.raises(Touched):
            await answer(holder(preset), op, params)
        return
    with pytest.raises(Refused, match=f"phone pixel may not ask {op}: it needs '{grant}'"):
        await answer(holder(preset), op, params)
    with pytest.raises(Refused):  # before anybody looks at what it says
        await answer(holder(preset), op, b"\xc1")


@pytest.mark.parametrize("op", sorted(set(REQUESTS) - NEEDED["-"]))
async def test_no_other_grant_is_as_good(op: str) -> None:
    grants = frozenset(ALL_GRANTS) - {needed(op)}
    with pytest.raises(Refused):
        await answer(Asker("phone pixel", grants, PeerId("p")), op, encode(REQUESTS[op]))


def test_no_preset_holds_admin_and_this_machines_user_holds_all() -> None:
    assert not any("admin" in grants for grants in PRESETS.values())
    assert LOCAL.grants == ALL_GRANTS


# Against a whole node.


async def for_ever(do: Callable[[], Awaitable[object]]) -> NoReturn:
    while True:
        await do()


async def ask_raw(conversation: Conversation, op: str, params: object, to: str | None) -> object:
    """Ask what no operation of ours would."""
    call_id = conversation.calls.ask(op, encode(params), to)
    call = Call(conversation, call_id)
    conversation.listen(call_id, call)
    conversation.wake_writer()
    return await call.answer()


@pytest.mark.parametrize(
    ("op", "params", "complaint"),
    [
        ("sessions.fly", {}, "does not know 'sessions.fly'"),
        ("", {}, "does not know ''"),
        ("pairing.offer", {"ttl": "soon"}, "`ttl`"),
        ("pairing.offer", {"ttl": 9.0}, "`ttl`"),
        ("pairing.offer", {"ttl": float("nan")}, "`ttl`"),
        ("pairing.offer", {"preset": "root"}, "`preset`"),
        ("pairing.offer", {"expires": "never"}, "`expires`"),
        ("pairing.offer", [300.0], "Expected `object`, got `array`"),
        ("phones.revoke", {}, "`phone`"),
        ("phones.revoke", {"phone": ""}, "`phone`"),
        ("phones.revoke", {"phone": 7}, "`phone`"),
        ("phones.revoke", None, "Expected `object`"),
        ("relay.configure", {"url": ["https://relay.test"]}, "`url`"),
        ("relay.configure", 7, "Expected `object`"),
        ("sessions.start", {"cols": 0}, "`cols`"),
        ("sessions.start", {"rows": 1001}, "`rows`"),
        ("sessions.start", {"argv": []}, "`argv`"),
        ("sessions.start", {"argv": ["sh", 5]}, "`argv"),
        ("sessions.start", {"env": {"A": 1}}, "`env"),
        ("sessions.resize", {"session": "s", "cols": "wide", "rows": 1}, "`cols`"),
        ("sessions.attach", {"session": "s", "viewer": b"short"}, "`"),
        ("sessions.rename", {"session": "s", "name": "x" * 65}, "`name`"),
        ("sessions.end", "s", "Expected `object`"),
    ],
)
async def test_what_makes_no_sense_is_answered_with_the_field_that_is_wrong(
    op: str, params: object, complaint: str, tmp_path: Path
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            near, far = memory_channels()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.serve_local, far)
                async with open_conversation(near, opener=True) as conversation:
                    with pytest.raises(BadRequest) as said:
                        await ask_raw(conversation, op, params, None)
                    assert complaint in str(said.value)
                    assert (await conversation.ask(Hello())).contact == "local"


async def test_calls_to_an_unknown_machine_are_refused_clearly(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            near, far = memory_channels()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.serve_local, far)
                async with open_conversation(near, opener=True) as conversation:
                    for request in (Hello(), ListSessions(), OfferPairing(), StopNode()):
                        with pytest.raises(NotFound, match="there is no machine"):
                            await conversation.ask(
                                cast("Operation[object]", request), to=Phone().id
                            )
                    assert not world.relay.tokens
                    to_itself = await conversation.ask(Hello(), to=node.identity.id)
                    assert to_itself.node_id == node.identity.id


async def test_a_phone_reaches_no_other_machine_through_this_one(tmp_path: Path) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with open_phone(node.serve_phone, phone.again(node.identity.id)) as client:
                with pytest.raises(Refused, match="own user"):
                    await client.peer("mac").sessions()


async def test_a_viewer_sees_a_session_and_can_do_nothing_to_it(tmp_path: Path) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone, "viewer")
            async with world.local(node) as local:
                session = await local.start(["cat"], cols=80, rows=24)
                async with open_phone(node.serve_phone, phone.again(node.identity.id)) as viewer:
                    assert [each.id for each in await viewer.sessions()] == [session.id]
                    for request in (
                        StartSession(argv=["true"]),
                        ResizeSession(session=session.id, cols=10, rows=10),
                        RenameSession(session=session.id, name="mine"),
                        EndSession(session=session.id),
                    ):
                        with pytest.raises(Refused, match="needs 'type'"):
                            await viewer.ask(cast("Operation[object]", request))
                    async with viewer.attach(session.id, cols=10, rows=10) as (attached, _):
                        await attached.type(b"rm -rf /\r")
                        with pytest.raises(Refused):
                            await for_ever(attached.receive)
                (after,) = await local.sessions()
                assert (after.alive, after.cols, after.rows) == (True, 80, 24)
                assert after.name == session.name
                async with local.attach(session.id, cols=80, rows=24) as (_, drawn):
                    assert drawn is not None
                    assert b"rm" not in drawn.vt
                await local.end_session(session.id)


async def test_a_phone_that_asks_to_be_forgotten_is_answered_and_then_revoked(
    tmp_path: Path,
) -> None:
    phone, other = Phone("leaves"), Phone("stays")
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            await world.pair(node, other)
            async with open_phone(node.serve_phone, phone.again(node.identity.id)) as client:
                await client.ask(Forget())
            async with world.local(node) as local:
                with pytest.raises(Refused, match="only a paired phone"):
                    await local.ask(Forget())
            while not world.relay.revoked:
                await trio.testing.wait_all_tasks_blocked()
            assert [info.name for info in node.phones.list()] == ["stays"]
            assert world.relay.revoked == ["a phone's account"]


async def test_a_phone_that_stays_after_it_asked_to_be_forgotten_is_shown_out(
    tmp_path: Path,
) -> None:
    phone = Phone("clings")
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with open_phone(node.serve_phone, phone.again(node.identity.id)) as client:
                await client.ask(Forget())
                with pytest.raises((Refused, Gone), match="revoked"):
                    await for_ever(lambda: client.ask(Hello()))
            assert not node.phones.list()
