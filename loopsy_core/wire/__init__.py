"""What is said between Loopsy's parts; no input or output happens here.

The sealing half needs the cryptography library, which takes a while to load; it is imported
when one of its names is first touched, so that local commands start without it. `wire.transfer`,
what is said while files move, is imported on its own for the same reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answers import ANSWER, ANSWER_BEGUN, is_answers, may_be_a_key
from .attached import (
    AttachedItem,
    Claim,
    Ended,
    Picture,
    Resize,
    Resized,
    Resumed,
    Typed,
    ViewerItem,
    Viewers,
    decode_attached,
    decode_viewer_item,
)
from .calls import CHUNK, MAX_OPEN, WIDE, WINDOW, Calls, cost
from .codec import MAX_MESSAGE, Raw, decode, encode
from .envelope import (
    Bytes,
    Close,
    Envelope,
    Joined,
    Left,
    decode_envelope,
    encode_envelope,
)
from .events import (
    ApprovalDecided,
    ApprovalWanted,
    Event,
    PeerLost,
    PeerPaired,
    PeerReached,
    PeerRemoved,
    PhoneConnected,
    PhoneLeft,
    PhonePaired,
    PhoneRevoked,
    RelayChanged,
    SessionEnded,
    SessionStarted,
    WrongCode,
    decode_event,
)
from .frames import FrameDecoder, encode_frames, frame_parts
from .grants import ALL_GRANTS, PRESETS, Grant, Preset
from .messages import (
    Answer,
    Ask,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    Message,
    Ping,
    Pong,
    read_fault,
)
from .operation import MAX_CELLS, MAX_NAME, Limit, Operation, clean_name, read_reply
from .operations import OPERATIONS
from .operations.context import *  # noqa: F403 - its __all__ is the list of requests
from .operations.context import __all__ as _context
from .operations.files import *  # noqa: F403
from .operations.files import __all__ as _files
from .operations.jobs import *  # noqa: F403
from .operations.jobs import __all__ as _jobs
from .operations.kinds import *  # noqa: F403
from .operations.kinds import __all__ as _kinds
from .operations.messages import *  # noqa: F403
from .operations.messages import __all__ as _messages
from .operations.node import *  # noqa: F403
from .operations.node import __all__ as _node
from .operations.peers import *  # noqa: F403
from .operations.peers import __all__ as _peers
from .operations.phones import *  # noqa: F403
from .operations.phones import __all__ as _phones
from .operations.sessions import *  # noqa: F403
from .operations.sessions import __all__ as _sessions
from .operations.tasks import *  # noqa: F403
from .operations.tasks import __all__ as _tasks
from .running import JobItem, JobOutput, JobStarted, OutputName, decode_job_item

if TYPE_CHECKING:
    from .comparing import (
        INVITE_DIGITS,
        Called,
        Calling,
        Compared,
        Verdict,
        call_with_code,
        read_verdict,
    )
    from .greeting import (
        Established,
        Greeting,
        Heard,
        Introduction,
        Knock,
        check_protocol,
        greet,
        greet_with_offer,
        write_introduction,
    )
    from .noise import Cipher, Handshake, Pattern, Unreadable
    from .pairing import CODE_DIGITS, SECRET_BYTES, PairLink, offer_id, pairing_key
    from .sealed import SealedConnection

_SEALING = {
    "INVITE_DIGITS": "comparing",
    "Called": "comparing",
    "Calling": "comparing",
    "Compared": "comparing",
    "Verdict": "comparing",
    "call_with_code": "comparing",
    "read_verdict": "comparing",
    "Established": "greeting",
    "Greeting": "greeting",
    "Heard": "greeting",
    "Introduction": "greeting",
    "Knock": "greeting",
    "check_protocol": "greeting",
    "greet": "greeting",
    "greet_with_offer": "greeting",
    "write_introduction": "greeting",
    "Cipher": "noise",
    "Handshake": "noise",
    "Pattern": "noise",
    "Unreadable": "noise",
    "CODE_DIGITS": "pairing",
    "SECRET_BYTES": "pairing",
    "PairLink": "pairing",
    "offer_id": "pairing",
    "pairing_key": "pairing",
    "SealedConnection": "sealed",
}

__all__ = [
    "ALL_GRANTS",
    "ANSWER",
    "ANSWER_BEGUN",
    "CHUNK",
    "CODE_DIGITS",
    "INVITE_DIGITS",
    "MAX_CELLS",
    "MAX_MESSAGE",
    "MAX_NAME",
    "MAX_OPEN",
    "OPERATIONS",
    "PRESETS",
    "SECRET_BYTES",
    "WIDE",
    "WINDOW",
    "Answer",
    "ApprovalDecided",
    "ApprovalWanted",
    "Ask",
    "AttachedItem",
    "Bytes",
    "Called",
    "Calling",
    "Calls",
    "Cipher",
    "Claim",
    "Close",
    "Compared",
    "Credit",
    "Data",
    "Drop",
    "End",
    "Ended",
    "Envelope",
    "Established",
    "Event",
    "Fault",
    "FrameDecoder",
    "Grant",
    "Greeting",
    "Handshake",
    "Heard",
    "Introduction",
    "Item",
    "JobItem",
    "JobOutput",
    "JobStarted",
    "Joined",
    "Knock",
    "Left",
    "Limit",
    "Message",
    "Operation",
    "OutputName",
    "PairLink",
    "Pattern",
    "PeerLost",
    "PeerPaired",
    "PeerReached",
    "PeerRemoved",
    "PhoneConnected",
    "PhoneLeft",
    "PhonePaired",
    "PhoneRevoked",
    "Picture",
    "Ping",
    "Pong",
    "Preset",
    "Raw",
    "RelayChanged",
    "Resize",
    "Resized",
    "Resumed",
    "SealedConnection",
    "SessionEnded",
    "SessionStarted",
    "Typed",
    "Unreadable",
    "Verdict",
    "ViewerItem",
    "Viewers",
    "WrongCode",
    "call_with_code",
    "check_protocol",
    "clean_name",
    "cost",
    "decode",
    "decode_attached",
    "decode_envelope",
    "decode_event",
    "decode_job_item",
    "decode_viewer_item",
    "encode",
    "encode_envelope",
    "encode_frames",
    "frame_parts",
    "greet",
    "greet_with_offer",
    "is_answers",
    "may_be_a_key",
    "offer_id",
    "pairing_key",
    "read_fault",
    "read_reply",
    "read_verdict",
    "write_introduction",
    *_context,
    *_jobs,
    *_files,
    *_kinds,
    *_messages,
    *_node,
    *_peers,
    *_phones,
    *_sessions,
    *_tasks,
]


def __getattr__(name: str) -> object:
    """Import the sealing half's files when they are first needed (PEP 562)."""
    file = _SEALING.get(name)
    if file is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{file}", __name__), name)
    globals()[name] = value
    return value
