"""What a node keeps on disk: its home folder, settings, key, locks and sockets."""

from __future__ import annotations

from .config import (
    Config,
    DiscoveryConfig,
    ExecutionConfig,
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
    "Config",
    "DiscoveryConfig",
    "ExecutionConfig",
    "Home",
    "Identity",
    "PeerId",
    "RateLimitsConfig",
    "RelayConfig",
    "ServerConfig",
    "TransferConfig",
    "create_identity",
    "create_private",
    "default_config_text",
    "default_name",
    "is_name",
    "load_config",
    "load_identity",
    "lock_file",
    "parse_duration",
    "parse_peer_id",
    "parse_size",
    "peer_id",
    "prepare_home",
    "socket_address",
    "write_private",
]
