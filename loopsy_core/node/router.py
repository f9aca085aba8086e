"""What each request does here: checks the grant, then acts or passes the call on to the host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from loopsy_core.capabilities import Jobs
from loopsy_core.errors import Busy, Gone, NotFound, Refused
from loopsy_core.kit import Missed
from loopsy_core.links import PASSED_ON, Asked
from loopsy_core.wire import (
    MAX_NAME,
    OPERATIONS,
    AddCommand,
    AddPeer,
    ApprovalList,
    AskPass,
    AttachSession,
    ConfigureRelay,
    DecideApproval,
    EndSession,
    FetchFiles,
    Forget,
    GrantPeer,
    GrantPhone,
    Hello,
    HelloReply,
    HostHello,
    InvitePeer,
    JoinPeer,
    ListApprovals,
    ListFiles,
    ListKinds,
    ListPeers,
    ListPhones,
    ListSessions,
    NodeStatus,
    Nothing,
    OfferPairing,
    PeerList,
    PhoneList,
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
    SessionList,
    ShowHistory,
    ShowRelay,
    ShowScreen,
    StartSession,
    StopNode,
    StopReply,
    UnsetRelay,
    WatchEvents,
    WatchSessions,
    WithdrawApproval,
    decode,
    encode,
)

from .carrying import Carrier
from .machines import LOCAL_NAME
from .recording import Request
from .sharing import Sharing

if TYPE_CHECKING:
    from loopsy_core.home import AuditLog
    from loopsy_core.sessions import HostLink

    from .grants import Asker
    from .limits import Limits
    from .node import Node

__all__ = ["Router"]

_NEEDS_HOST: Final = frozenset((StartSession.op, WatchSessions.op))
"""Requests that start a host when there is none; for all others no host means no session."""
_FOR_HOST: Final = _NEEDS_HOST | {
    HostHello.op,
    ListSessions.op,
    AttachSession.op,
    ResizeSession.op,
    RenameSession.op,
    EndSession.op,
    RemoveSession.op,
    ShowScreen.op,
    ShowHistory.op,
}


class Router:
    """One for all doors."""

    def __init__(self, node: Node, limits: Limits, log: AuditLog) -> None:
        """Act on `node`, within `limits`, and write down in `log` what was asked."""
        self._node = node
        self._limits = limits
        self._log = log

    async def answer(self, asker: Asker, host: HostLink, asked: Asked) -> object:
        """Act on one request of `asker`, who reaches sessions by `host`; return the reply."""
        request = Request(self._log, self._limits, asker, asked, OPERATIONS.get(asked.op))
        try:
            request.begin()
            reply = await self._route(asker, host, asked, request)
        except BaseException as error:
            request.fail(error)
            raise
        if reply is not PASSED_ON:
            request.end("ok")
        return reply

    async def _route(self, asker: Asker, host: HostLink, asked: Asked, request: Request) -> object:
        identity = self._node.identity
        if asked.to is not None and asked.to not in (LOCAL_NAME, identity.id, identity.name):
            return await self._pass_to_machine(asker, asked, asked.to, request)
        if asked.op in _FOR_HOST:
            return await self._pass_to_host(asker, host, asked, request)
        if asked.op in Jobs.ops:
            return await self._node.jobs.answer(asked, asker.contact)
        if asked.op in Sharing.ops:
            return await self._node.sharing.answer(asked, asker)
        return await self._act(asker, asked)

    async def _pass_to_machine(
        self, asker: Asker, asked: Asked, peer: str, request: Request
    ) -> object:
        if asker.contact is not None:
            # Trust goes from one machine to the next, and no further.
            raise Refused("only this machine's own user reaches other machines through it")
        conversation = self._node.machines.reach(peer)
        if asked.op in Carrier.ops:
            return await self._node.carrier.carry(asked, conversation)
        asked.pass_on(conversation, asked.op, bytes(asked.params), on_end=request.end)
        return PASSED_ON

    async def _pass_to_host(
        self, asker: Asker, host: HostLink, asked: Asked, request: Request
    ) -> object:
        params = await self._params_for_host(asker, asked)  # which may wait for the user
        if asked.op in _NEEDS_HOST:
            conversation = await host.need()
        else:
            found = await host.find_kept()
            if found is None:
                if asked.op == ListSessions.op:
                    return SessionList([])
                raise NotFound("there is no session on this machine; `loopsy shell` starts one")
            conversation = found
        host.check(asked.op)
        asked.pass_on(conversation, asked.op, params, on_end=request.end)
        return PASSED_ON

    async def _params_for_host(self, asker: Asker, asked: Asked) -> bytes:
        if asked.op == AttachSession.op:
            attach = decode(asked.params, AttachSession)
            view_only = attach.view_only or not asker.may("type")
            # Contacts cannot choose whom they are taken for.
            name = (asker.contact is None and attach.name) or asker.name[:MAX_NAME]
            return encode(msgspec.structs.replace(attach, view_only=view_only, name=name))
        if asked.op == StartSession.op:
            start = self._node.kinds.resolve(decode(asked.params, StartSession))
            if start.auto_approve:
                await self._node.approvals.need(asker, start.kind)
            return encode(start)
        return bytes(asked.params)

    async def _act(self, asker: Asker, asked: Asked) -> object:
        node = self._node
        match asked.op:
            case Hello.op:
                return HelloReply(
                    node_id=node.identity.id,
                    name=node.identity.name,
                    version=node.version,
                    grants=sorted(asker.grants),
                    contact=asker.contact or "local",
                    port=node.port,
                    relay=node.relaying.url,
                    clock=time.time(),
                )
            case NodeStatus.op:
                return await node.status()
            case StopNode.op:
                alive = await node.sessions_alive()
                node.stop_after(asked)
                return StopReply(alive)
            case WatchEvents.op:
                try:
                    with node.events.subscribe() as events:
                        async for event in events:
                            await asked.send_item(event)
                except Missed as missed:
                    raise Busy(f"{missed.count} events were missed; watch anew") from None
                raise Gone("the node is leaving")
            case RotateKey.op:
                await node.http.rotate_key()
                return Nothing()
            case OfferPairing.op:
                offer = decode(asked.params, OfferPairing)
                return await node.phones.offer(offer, node.relaying)
            case ListFiles.op:
                return await node.files.list_folder(asked, asker.contact)
            case PushFiles.op:
                return await node.files.push(asked, asker.contact)
            case PullFiles.op:
                return await node.files.pull(asked, asker.contact)
            case SendFiles.op | FetchFiles.op:
                raise Refused("these files need not be carried anywhere", why="elsewhere")
            case ListKinds.op:
                return node.kinds.list()
            case AddCommand.op:
                return await node.kinds.add(decode(asked.params, AddCommand))
            case RemoveCommand.op:
                await node.kinds.remove(decode(asked.params, RemoveCommand).name)
                return Nothing()
            case ListApprovals.op:
                return ApprovalList(node.approvals.list())
            case DecideApproval.op:
                decision = decode(asked.params, DecideApproval)
                return await node.approvals.decide(decision.request, allow=decision.allow)
            case WithdrawApproval.op:
                withdraw = decode(asked.params, WithdrawApproval)
                return await node.approvals.withdraw(withdraw.contact)
            case ListPhones.op:
                return PhoneList(node.phones.list())
            case RevokePhone.op:
                phone = decode(asked.params, RevokePhone).phone
                revoked = await node.phones.revoke(phone, node.relaying)
                node.jobs.cancel_all_of(revoked.id)
                return revoked
            case RenamePhone.op:
                return await node.phones.rename(decode(asked.params, RenamePhone))
            case GrantPhone.op:
                phone_info = await node.phones.grant(decode(asked.params, GrantPhone))
                if RunJob.grant not in phone_info.grants:
                    node.jobs.cancel_all_of(phone_info.id)
                return phone_info
            case Forget.op:
                if asker.contact is None:
                    raise Refused("only a paired phone can ask to be forgotten")
                node.forget_after(asked, asker.contact)
                return Nothing()
            case ListPeers.op:
                return PeerList(node.machines.list())
            case InvitePeer.op:
                invite = decode(asked.params, InvitePeer)
                met = await node.pairing.invite(asked, invite, node.lan_addresses)
                return await node.machines.paired(met, invite.preset, invite.expires)
            case JoinPeer.op:
                join = decode(asked.params, JoinPeer)
                met = await node.pairing.join(asked, join)
                return await node.machines.paired(met, join.preset, join.expires)
            case AddPeer.op:
                return await node.machines.add(decode(asked.params, AddPeer))
            case RemovePeer.op:
                removed = await node.machines.remove(decode(asked.params, RemovePeer).peer)
                node.jobs.cancel_all_of(removed.id)
                await node.sharing.forget(removed.id)
                return removed
            case RenamePeer.op:
                rename = decode(asked.params, RenamePeer)
                return await node.machines.rename(rename.peer, rename.name)
            case GrantPeer.op:
                granted = await node.machines.grant(decode(asked.params, GrantPeer))
                if RunJob.grant not in granted.grants:
                    node.jobs.cancel_all_of(granted.id)
                return granted
            case AskPass.op:
                if asker.contact is None or not node.is_machine(asker.contact):
                    raise Refused("only a paired machine may ask for that")
                return await node.relaying.grant_pass()
            case ConfigureRelay.op:
                configure = decode(asked.params, ConfigureRelay)
                return await node.relaying.configure(configure.url, configure.registration_secret)
            case ShowRelay.op:
                return node.relaying.status.value
            case UnsetRelay.op:
                return await node.relaying.unset()
            case _:
                raise AssertionError(asked.op)
