"""Files and folders: where a path leads, reading and writing them, and moving them over a call.

Whoever sends files does the same whether it asked or was asked, and so does whoever receives
them; nodes and clients both stand on this room.
"""

from __future__ import annotations

from .confine import Confinement, Place, last_name
from .disk import Disk
from .faults import readable, sight, umask
from .listing import list_place
from .receiving import receive_files
from .sending import send_files
from .walk import find_sources

__all__ = [
    "Confinement",
    "Disk",
    "Place",
    "find_sources",
    "last_name",
    "list_place",
    "readable",
    "receive_files",
    "send_files",
    "sight",
    "umask",
]
