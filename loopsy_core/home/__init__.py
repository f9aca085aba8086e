"""What a node keeps on disk: its home folder, settings, key, locks and sockets."""

from __future__ import annotations

from .api_key import load_api_key, make_api_key, rotate_api_key
from .audit import AuditLine, AuditLog, follow_audit_log, open_audit_log, read_audit_log
from .config import (
    AGENT_TOOLS,
    Config,
    ContextConfig,
    DiscoveryConfig,
    ExecutionConfig,
    McpConfig,
    RateLimitsConfig,
    RelayConfig,
    ServerConfig,
    TransferConfig,
    default_config_text,
    load_config,
)
from .identity import (
    Identity,
    PeerId,
    create_identity,
    default_name,
    is_name,
    load_identity,
    parse_peer_id,
    peer_id,
)
from .paths import Home
from .prepare import prepare_home
from .private_files import create_private, lock_file, write_private
from .socket_paths import socket_address
from .units import parse_duration, parse_size

__all__ = [
    "AGENT_TOOLS",
    "AuditLine",
    "AuditLog",
    "Config",
    "ContextConfig",
    "DiscoveryConfig",
    "ExecutionConfig",
    "Home",
    "Identity",
    "McpConfig",
    "PeerId",
    "RateLimitsConfig",
    "RelayConfig",
    "ServerConfig",
    "TransferConfig",
    "create_identity",
    "create_private",
    "default_config_text",
    "default_name",
    "follow_audit_log",
    "is_name",
    "load_api_key",
    "load_config",
    "load_identity",
    "lock_file",
    "make_api_key",
    "open_audit_log",
    "parse_duration",
    "parse_peer_id",
    "parse_size",
    "peer_id",
    "prepare_home",
    "read_audit_log",
    "rotate_api_key",
    "socket_address",
    "write_private",
]
